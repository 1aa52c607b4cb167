"""A scripted person who cheers and scolds: watches episodes of a store and presses keys as late, as seldom and as wrongly as it is told to.

What happens at a step is good where it earned more than 0, bad where less. The key goes down a while later (uniform between the fastest
and the slowest reaction that `rlhf_games.feedback.credit` allows for), so the answer's step is later than what it is about; a reaction that
would come after the episode's end does not come. Randomness is keyed by seed and replay: answers do not depend on order or processes,
and watching an episode again posts nothing twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core import streams
from rlhf_games.feedback.answers import Evaluation
from rlhf_games.feedback.credit import FASTEST, SLOWEST
from rlhf_games.feedback.store import AnswerDraft, Store
from rlhf_games.feedback.teachers import RewardsOf
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay

_PIECE = 128
"""Steps of an episode that are played again at a time: observations come along."""


@dataclass(frozen=True)
class EvaluatorConfig:
    """How a scripted person cheers. Raises ``ValueError`` naming the field that is out of range."""

    dropped: float = 0.0
    """Probability in [0, 1] that nothing is said about something."""
    flipped: float = 0.0
    """Probability in [0, 1] of scolding what was good, and of cheering what was bad."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dropped", "flipped"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"EvaluatorConfig.{name} must be in [0, 1], got {getattr(self, name)}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"EvaluatorConfig.seed must be an integer of at least 0, got {self.seed!r}")


def reactions(reward: NDArray[Any], rate: float, config: EvaluatorConfig, rng: np.random.Generator) -> list[tuple[int, float]]:
    """What the person does about an episode: the decision on the screen when the key goes down, and the value; in the order of the keys.

    Args:
      reward: ``[T]`` true rewards.
      rate: decisions per second.
      config: the person.
      rng: always gives as many numbers, whatever the rewards.
    """
    count = len(reward)
    moment, late, said, wrong = rng.random((4, count))
    pressed = np.arange(count) + moment + rate * (FASTEST + (SLOWEST - FASTEST) * late)
    found = []
    for step in np.argsort(pressed, kind="stable").tolist():
        if reward[step] != 0 and said[step] >= config.dropped and pressed[step] < count:
            sign = -1.0 if (reward[step] < 0) != (wrong[step] < config.flipped) else 1.0
            found.append((math.floor(pressed[step]), sign))
    return found


class Evaluator:
    """Watches the replays of a store as they come. Each needs a name of its own."""

    def __init__(
        self, store: Store, config: EvaluatorConfig, rewards_of: RewardsOf, rate_of: Callable[[Replay], float], annotator: str = "evaluator"
    ) -> None:
        """Args: ``rate_of`` gives a replay's game's decisions per second; ``rewards_of`` as for a `Teacher`."""
        self._store, self._config, self._rewards_of, self._rate_of = store, config, rewards_of, rate_of
        self._annotator = annotator
        self._watched: set[str] = set()
        store.register(annotator, "teacher", asdict(config))

    def watch(self, limit: int = 16) -> int:
        """Watches up to ``limit`` episodes that it has not seen, seat 0 of each; returns how many."""
        new = [replay_id for replay_id in self._store.replay_ids() if replay_id not in self._watched][:limit]
        for replay in self._store.replays(new).values():
            pieces = [Clip((Segment(replay.id, start, min(_PIECE, replay.length - start)),)) for start in range(0, replay.length, _PIECE)]
            self._store.post_answers(self._drafts(replay, np.concatenate(self._rewards_of(pieces))))
            self._watched.add(replay.id)
        return len(new)

    def _drafts(self, replay: Replay, reward: NDArray[Any]) -> list[AnswerDraft]:
        rng = streams.generator(streams.Stream.EVALUATOR, self._config.seed, int(replay.id[:16], 16))
        now = time.time()
        found = []
        for step, value in reactions(reward, self._rate_of(replay), self._config, rng):
            name = str(UUID(bytes=rng.bytes(16)))
            found.append(
                AnswerDraft(self._annotator, Evaluation(value), now, now, f"{self._annotator[:60]}/{name}", replay_id=replay.id, step=step)
            )
        return found
