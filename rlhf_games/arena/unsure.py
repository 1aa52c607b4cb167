"""Where a policy is unsure: states of recorded episodes that are worth a person's advice. No pygame; for a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.insight import CHUNK, Mind, explained
from rlhf_games.arena.reel import LoadGame
from rlhf_games.arena.tape import Tape
from rlhf_games.core.spaces import Discrete

if TYPE_CHECKING:
    from rlhf_games.core.game import Game
    from rlhf_games.feedback.store import Query, Store

PER_EPISODE = 3
"""Questions about one episode, at most."""
APART = 1.5
"""Seconds of play between two questions about one episode, at least."""
_LONGEST = 2_000
"""Decisions of an episode that are looked through: the later ones of very long episodes are left out."""
_LEASE_SECONDS = 600.0


class Still(NamedTuple):
    """A question: what would you do here?"""

    tape: Tape
    t: int
    seat: int
    uncertainty: float | None
    """Entropy of the policy as a share of the greatest possible, in [0, 1]; None where a learner asks."""
    query_id: int | None = None
    policy: str = ""
    """Who is unsure."""


class Finder:
    """Finds questions; leases those that wait in the store and gives them back. Used on one worker alone."""

    def __init__(self, store: Store, load_game: LoadGame, annotator: str) -> None:
        self._store, self._load_game, self._annotator = store, load_game, annotator
        self._games: dict[str, Game] = {}
        self._leased: list[int] = []
        self._begun = False

    def waiting(self, count: int) -> list[Still]:
        """Up to ``count`` questions that a learner has posted; until they are given back nobody else gets them."""
        if not self._begun:
            self._begun = True
            self._store.release(self._annotator)  # what a session that died has held
        found = self._store.lease_many(self._annotator, count, kinds=("advice",), seconds=_LEASE_SECONDS)
        self._leased += [query.id for query in found]
        return [self._still(query) for query in found]

    def unsure(self, mind: Mind, replay_id: str, answered: set[int]) -> list[Still]:
        """The states of an episode in which the policy is least sure, far from each other and from those ``answered``."""
        tape = self._tape(replay_id, _LONGEST)
        if not isinstance(tape.spec.actions, Discrete):
            return []
        count = min(tape.length, tape.checked - 1)
        parts = [uncertainty(mind, tape, start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        if not parts:
            return []
        shares = np.concatenate(parts)
        chosen = far_apart(shares, PER_EPISODE, max(1, round(APART * tape.spec.decisions_per_second)), answered)
        return [Still(tape, t, seat, float(shares[t, seat]), policy=mind.about.policy) for t, seat in chosen]

    def give_back(self) -> None:
        """What was leased and is not answered may be asked of others."""
        if self._leased:
            self._store.release(self._annotator, self._leased)

    def _still(self, query: Query) -> Still:
        assert query.replay_id is not None
        assert query.step is not None
        tape = self._tape(query.replay_id, query.step + 1)
        seat = int(np.argmax(tape.acting(query.step)))
        return Still(tape, query.step, seat, None, query.id, query.policy_version)

    def _tape(self, replay_id: str, until: int) -> Tape:
        replay = self._store.replay(replay_id)
        name = f"{replay.game} {sorted(replay.options.items())}"
        if name not in self._games:
            self._games[name] = self._load_game(replay.game, replay.options)
        tape = Tape(self._games[name], replay)
        while not tape.done and tape.checked <= until:
            tape.play(CHUNK)
        tape.close()
        return tape


def uncertainty(mind: Mind, tape: Tape, start: int, stop: int) -> NDArray[np.float64]:
    """``[n, P]`` entropy of the policy at decisions ``start .. stop - 1``, as a share of a blind choice's; -1 where nothing is chosen."""
    seen = tape.look(start, stop)
    probabilities = explained(mind, seen)[0].astype(np.float64)
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-12)), axis=-1)
    choices = seen.legal.sum(-1)
    acting = np.stack([tape.acting(t) for t in range(start, stop)])
    share: NDArray[np.float64] = np.where(acting & (choices > 1), entropy / np.log(np.maximum(choices, 2)), -1.0)
    return share


def far_apart(unsure: NDArray[np.float64], count: int, apart: int, answered: set[int]) -> list[tuple[int, int]]:
    """The most uncertain decisions and their seats, most uncertain first, at least ``apart`` from each other and from ``answered``.

    Args:
      unsure: ``[T, P]``, -1 where nothing is chosen.
      count: at most this many.
      apart: decisions.
      answered: decisions that were answered before.
    """
    best, seat = unsure.max(1), unsure.argmax(1)
    taken, chosen = list(answered), list[tuple[int, int]]()
    for t in np.argsort(-best, kind="stable").tolist():
        if len(chosen) == count or best[t] < 0:
            break
        if all(abs(t - other) >= apart for other in taken):
            taken.append(t)
            chosen.append((t, int(seat[t])))
    return chosen
