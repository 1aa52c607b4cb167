"""Scripted teachers: they know the true reward and answer through the store, as a person does.

The six teachers and the order of their steps are those of B-Pref (Lee et al. 2021): skip, then mark near-ties, then weigh steps by
gamma, then choose (beta), then make mistakes, then let near-ties override. Two things differ from its published code:

- A threshold is ``eps * mean(last 10 true returns) * H / T`` with eps applied once. (The published code hands the product back in as the
  new mean from the second session on, so that its later sessions run with eps squared.) ``H`` is the length of the longer clip, ``T``
  the mean length of the same 10 episodes; both means are written into the query when it is posted, so every answerer in every session
  uses the numbers of that moment.
- Where the weighted sums are exactly equal, a teacher without ``beta`` says "equal" instead of always preferring the first clip.

Rankings are the same for more clips (`rank`), ratings the number of stars by quantiles of what was shown so far (`rate`).

A skipped query is answered "unsure". Randomness is keyed by (seed, query id): answers do not depend on order, batches or processes.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.streams import Stream, generator
from rlhf_games.feedback.answers import AnswerValue, Choice, Preference, Ranking, Rating
from rlhf_games.feedback.store import AnswerDraft, Query, Store
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.replay import Replay

if TYPE_CHECKING:  # at run time these bring JAX, which reading a configuration does not need
    from rlhf_games.core.game import Game
    from rlhf_games.replay.reader import ClipBatch, ClipReader

RewardsOf: TypeAlias = Callable[[Sequence[Clip]], list[NDArray[Any]]]
"""The true rewards ``[H]`` of each clip's own seat, one entry per step."""


@dataclass(frozen=True)
class TeacherConfig:
    """How a scripted teacher answers. Raises ``ValueError`` naming the field that is out of range."""

    beta: float | None = None
    """Rationality: P[left] = sigmoid(beta * (R_left - R_right)), at least 0; None or infinity never errs. Rankings are drawn by
    Plackett–Luce from beta * R, ratings are of a return with logistic noise of scale 1 / beta."""
    gamma: float = 1.0
    """Weight of step t of H is ``gamma ** (H - t)``, in (0, 1]: below 1 the teacher is short-sighted, later steps weigh more."""
    mistake: float = 0.0
    """Probability in [0, 1] of naming the other clip; of exchanging two clips of a ranking; of a star more or less."""
    skip: float = 0.0
    """Skips where neither clip's return exceeds this share of what an average stretch brings; at least 0."""
    equal: float = 0.0
    """Says "equal" where the returns differ by less than this share of what an average stretch brings; at least 0. Not for ratings."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.beta is not None and not self.beta >= 0:
            raise ValueError(f"TeacherConfig.beta must be at least 0, or None for a teacher that never errs, got {self.beta}")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"TeacherConfig.gamma must be in (0, 1], got {self.gamma}")
        if not 0 <= self.mistake <= 1:
            raise ValueError(f"TeacherConfig.mistake must be in [0, 1], got {self.mistake}")
        for name in ("skip", "equal"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"TeacherConfig.{name} must be at least 0, got {value}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"TeacherConfig.seed must be an integer of at least 0, got {self.seed!r}")


_STARS = 5
"""Of a rating."""

PRESETS: dict[str, TeacherConfig] = {
    "oracle": TeacherConfig(),
    "stochastic": TeacherConfig(beta=1.0),
    "mistake": TeacherConfig(mistake=0.1),
    "skip": TeacherConfig(skip=0.1),
    "equal": TeacherConfig(equal=0.1),
    "myopic": TeacherConfig(gamma=0.9),
}
"""The teachers of B-Pref, with its settings."""


@dataclass(frozen=True)
class Thresholds:
    """In units of a clip's return."""

    skip: float = 0.0
    """Skips where the larger return is at most this; never where this is 0 or less."""
    equal: float = 0.0
    """Equal where returns differ by less than this."""


def thresholds(config: TeacherConfig, recent_return: float, recent_length: float, clip_length: int) -> Thresholds:
    """B-Pref's thresholds, eps applied once: ``eps * recent_return * clip_length / recent_length``.

    Args:
      config: gives the two eps.
      recent_return: mean true return of the last 10 episodes. Where it is negative nothing is skipped (as in B-Pref) and the margin of
        "equal" scales with its size.
      recent_length: mean length of the same episodes in steps, above 0.
      clip_length: H.
    """
    if not recent_length > 0:
        raise ValueError(f"recent_length must be above 0, got {recent_length}")
    average = recent_return * clip_length / recent_length
    return Thresholds(config.skip * average, config.equal * abs(average))


def decide(left: NDArray[Any], right: NDArray[Any], limits: Thresholds, config: TeacherConfig, rng: np.random.Generator) -> Choice:
    """What the teacher says to one pair.

    Args:
      left: true rewards ``[H]`` of the clip on the left.
      right: the same of the clip on the right; its H may differ.
      limits: from `thresholds`.
      config: the teacher.
      rng: always gives two numbers, whatever the answer.
    """
    chance, slip = rng.random(2)
    total_left, total_right = math.fsum(left.tolist()), math.fsum(right.tolist())
    if limits.skip > 0 and max(total_left, total_right) <= limits.skip:
        return "unsure"
    near = abs(total_left - total_right) < limits.equal
    margin = _weighted(left, config.gamma) - _weighted(right, config.gamma)
    if config.beta is None or math.isinf(config.beta):
        if margin == 0:
            return "equal"
        takes_left = margin > 0
    else:
        takes_left = chance < _sigmoid(config.beta * margin)
    if slip < config.mistake:
        takes_left = not takes_left
    if near:
        return "equal"
    return "left" if takes_left else "right"


def rank(rewards: Sequence[NDArray[Any]], limits: Thresholds, config: TeacherConfig, rng: np.random.Generator) -> tuple[int, ...]:
    """What the teacher says to several clips: the pair's steps, taken for more.

    It skips where no clip's return exceeds the threshold. Else it orders the clips by return, steps weighed by gamma (with ``beta``: a
    Plackett–Luce draw, made by Gumbel noise on ``beta * R``); exchanges two places, drawn uniformly, with the chance of a mistake; and
    ties neighbours whose returns differ by less than the threshold (without ``beta`` also those of exactly equal weighted returns). For
    two clips all rates are those of `decide`.

    Args:
      rewards: true rewards ``[H]`` of the clip at each place.
      limits: from `thresholds`.
      config: the teacher.
      rng: always gives as many numbers, whatever the answer.

    Returns:
      Rank by place, 0 best; ``()`` for a skipped question.
    """
    count = len(rewards)
    noise, slip, swapped = rng.gumbel(size=count), rng.random(), rng.choice(count, 2, replace=False)
    totals = [math.fsum(reward.tolist()) for reward in rewards]
    if limits.skip > 0 and max(totals) <= limits.skip:
        return ()
    weighted = np.array([_weighted(reward, config.gamma) for reward in rewards])
    exact = config.beta is None or math.isinf(config.beta)
    value = weighted if exact else (config.beta or 0.0) * weighted + noise
    order = sorted(range(count), key=lambda place: -value[place])
    tied = [_tied(a, b, totals, weighted, limits, exact) for a, b in pairwise(order)]
    if slip < config.mistake:
        first, second = swapped
        order[first], order[second] = order[second], order[first]
    ranks = np.concatenate([[0], np.cumsum(~np.array(tied, bool))])
    found = [0] * count
    for place, number in zip(order, ranks.tolist(), strict=True):
        found[place] = number
    return tuple(found)


def _tied(a: int, b: int, totals: Sequence[float], weighted: NDArray[Any], limits: Thresholds, exact: bool) -> bool:
    return abs(totals[a] - totals[b]) < limits.equal or bool(exact and weighted[a] == weighted[b])


def rate(reward: NDArray[Any], known: NDArray[Any], limits: Thresholds, config: TeacherConfig, rng: np.random.Generator) -> int | None:
    """What the teacher says to one clip: the fifth in which its return lies among those of all clips shown so far, worst first.

    So its scale stretches with what it has seen, as a person's does; clips that are worth the same get the same stars, those of the
    middle of their stretch. It skips where the return does not exceed the threshold; ``beta`` adds logistic noise to the return; with
    the chance of a mistake it gives a star more or less.

    Args:
      reward: true rewards ``[H]`` of the clip.
      known: weighted returns of all clips shown so far, this one included.
      limits: from `thresholds`.
      config: the teacher.
      rng: always gives three numbers, whatever the answer.

    Returns:
      1 to 5, or None for a skipped question.
    """
    noise, slip, up = rng.logistic(), rng.random(), rng.random() < 0.5
    if limits.skip > 0 and math.fsum(reward.tolist()) <= limits.skip:
        return None
    value = _weighted(reward, config.gamma)
    if config.beta and not math.isinf(config.beta):
        value += noise / config.beta
    share = _sigmoid(noise) if config.beta == 0 else float(np.mean(known < value) + np.mean(known <= value)) / 2.0
    stars = min(_STARS, 1 + int(_STARS * share))
    if slip < config.mistake:
        stars += 1 if stars == 1 or (up and stars < _STARS) else -1
    return stars


def _weighted(reward: NDArray[Any], gamma: float) -> float:
    weights = gamma ** np.arange(len(reward) - 1, -1, -1, dtype=np.float64)
    return math.fsum((reward.astype(np.float64) * weights).tolist())


def _sigmoid(x: float) -> float:
    # Both branches exponentiate a number of at most 0, which cannot overflow.
    small = math.exp(-abs(x))
    return 1.0 / (1.0 + small) if x >= 0 else small / (1.0 + small)


def query_rng(seed: int, query_id: int) -> np.random.Generator:
    """The randomness that belongs to one query."""
    return generator(Stream.TEACHER, seed, query_id)


class Teacher:
    """Answers preference, ranking and rating queries of a store.

    Leases that an earlier process of the same name left behind are given back at the start, so that a run that was killed goes on at
    once.
    """

    kinds = ("preference", "ranking", "rating")

    def __init__(
        self,
        store: Store,
        config: TeacherConfig,
        rewards_of: RewardsOf,
        annotator: str = "teacher",
        *,
        lease_seconds: float = 300.0,
        clock: Callable[[], float] = time.time,
        session: str | None = None,
    ) -> None:
        """``session``: only queries of this session are answered; None: all."""
        self._session = session
        self._store, self._config, self._rewards_of = store, config, rewards_of
        self._annotator, self._lease_seconds, self._clock = annotator, lease_seconds, clock
        details = asdict(config) | {"beta": None if config.beta is None or math.isinf(config.beta) else config.beta}
        self._rating: dict[int, Query] = {}
        self._worth: dict[int, float] = {}
        store.register(annotator, "teacher", details)
        store.release(annotator)

    def answer_pending(self, limit: int = 64) -> int:
        """Answers up to ``limit`` waiting queries in one transaction; returns how many."""
        queries = self._store.lease_many(self._annotator, limit, kinds=self.kinds, seconds=self._lease_seconds, session=self._session)
        if not queries:
            return 0
        try:
            drafts = self._answers(queries)
        except BaseException:
            self._store.release(self._annotator, [query.id for query in queries])
            raise
        self._store.post_answers(drafts)
        return len(queries)

    def _answers(self, queries: Sequence[Query]) -> list[AnswerDraft]:
        shown_at = self._clock()
        rewards = self._rewards_of([clip for query in queries for clip in query.shown])
        self._see([query for query in queries if query.kind == "rating"])
        begins = np.cumsum([0, *(len(query.shown) for query in queries)]).tolist()
        values = [self._value(query, rewards[begin:end]) for query, (begin, end) in zip(queries, pairwise(begins), strict=True)]
        answered_at = max(shown_at, self._clock())
        return [
            AnswerDraft(self._annotator, value, shown_at, answered_at, str(uuid.uuid4()), query_id=query.id)
            for query, value in zip(queries, values, strict=True)
        ]

    def _value(self, query: Query, rewards: Sequence[NDArray[Any]]) -> AnswerValue:
        limits = self._limits(query, max(len(reward) for reward in rewards))
        rng = query_rng(self._config.seed, query.id)
        if query.kind == "ranking":
            return Ranking(rank(rewards, limits, self._config, rng))
        if query.kind == "rating":
            return Rating(rate(rewards[0], self._seen(query), limits, self._config, rng))
        return Preference(decide(rewards[0], rewards[1], limits, self._config, rng))

    def _limits(self, query: Query, length: int) -> Thresholds:
        if self._config.skip == 0 and self._config.equal == 0:
            return Thresholds()
        if query.recent_return is None or query.recent_length is None:
            raise UserError(
                f"query {query.id} does not say what recent episodes brought, and a teacher that skips or calls pairs equal measures "
                "by that; post queries with recent_return and recent_length, or use a teacher without skip and equal"
            )
        return thresholds(self._config, query.recent_return, query.recent_length, length)

    def _see(self, queries: Sequence[Query]) -> None:
        """Looks at every clip that their sessions have shown for rating so far, answered or not, once."""
        if not queries:
            return
        new = [query_id for query_id in self._store.query_ids(kind="rating", session=self._session) if query_id not in self._rating]
        self._rating |= {query.id: query for query in self._store.queries(new)}
        sessions = {query.session for query in queries}
        unseen = [query for query in self._rating.values() if query.session in sessions and query.id not in self._worth]
        rewards = self._rewards_of([query.clips[0] for query in unseen]) if unseen else []
        for query, reward in zip(unseen, rewards, strict=True):
            self._worth[query.id] = _weighted(reward, self._config.gamma)

    def _seen(self, query: Query) -> NDArray[np.float64]:
        """Weighted returns of what the same session had shown for rating when this was posted, its own iteration included."""
        shown = [other for other in self._rating.values() if other.session == query.session and other.iteration <= query.iteration]
        return np.array([self._worth[other.id] for other in shown if other.id in self._worth])


def clip_rewards(batch: ClipBatch, end_penalty: float = 0.0) -> list[NDArray[np.float64]]:
    """True rewards ``[H]`` per clip of a batch; ``end_penalty`` is taken off at each step that ended an episode.

    A penalty (Christiano et al. 2017 gave one in Atari) lets a teacher object to dying in games whose score does not.
    """
    rewards = batch.reward.astype(np.float64) - end_penalty * batch.ended
    return [row[mask] for row, mask in zip(rewards, batch.mask, strict=True)]


class GameRewards:
    """``RewardsOf`` for the clips of a store: plays their replays again. Any mixture of games."""

    _AT_ONCE = 32
    """Clips read at a time: observations come along, and 32 clips of an emulator are some 50 MB."""

    def __init__(self, store: Store, load_game: Callable[[str, dict[str, Any]], Game], end_penalty: float = 0.0) -> None:
        """``load_game``: builds a game from its name and options, as ``rlhf_games.workspace.load_game`` does."""
        self._store, self._load_game, self._end_penalty = store, load_game, end_penalty
        self._readers: dict[tuple[str, str], ClipReader] = {}
        self._fetched: dict[str, Replay] = {}

    def __call__(self, clips: Sequence[Clip]) -> list[NDArray[Any]]:
        """The true rewards of each clip.

        Raises:
          UserError: a game cannot be loaded, or a replay does not reproduce.
        """
        self._fetched = self._store.replays([segment.replay_id for clip in clips for segment in clip.segments])
        by_reader: dict[int, tuple[ClipReader, list[int]]] = {}
        for place, clip in enumerate(clips):
            reader = self._reader(self._fetched[clip.segments[0].replay_id])
            by_reader.setdefault(id(reader), (reader, []))[1].append(place)
        found: dict[int, NDArray[Any]] = {}
        for reader, places in by_reader.values():
            for start in range(0, len(places), self._AT_ONCE):
                piece = places[start : start + self._AT_ONCE]
                batch = reader.read([clips[place] for place in piece])
                found.update(zip(piece, clip_rewards(batch, self._end_penalty), strict=True))
        return [found[place] for place in range(len(clips))]

    def _reader(self, replay: Replay) -> ClipReader:
        key = (replay.game, repr(sorted(replay.options.items())))
        if key not in self._readers:
            from rlhf_games.replay.reader import ClipReader

            game = self._load_game(replay.game, dict(replay.options))
            self._readers[key] = ClipReader(game, lambda replay_id: self._fetched[replay_id], cache_bytes=64 << 20)
        return self._readers[key]
