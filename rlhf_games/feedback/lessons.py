"""What people showed an agent to do: advice, takeovers and demonstrations, as steps of replays with the right action.

All three are states with the action of somebody who knows better: what behavioural cloning learns from, and, gathered over time from the
agent's own states (advice, takeovers), what DAgger and its human-gated form do (Ross et al. 2011, arXiv 1011.0686; Kelly et al. 2019,
arXiv 1810.02890).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Box, Discrete
from rlhf_games.feedback.answers import ActionValue, Advice, Demonstration, Takeover
from rlhf_games.feedback.store import Answer, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import fits

KINDS = ("advice", "takeover", "demonstration")
"""Kinds of answers that show actions."""


@dataclass(frozen=True)
class Lesson:
    """Consecutive steps in which one seat's actions are right."""

    answer_id: int
    clip: Clip
    """The steps, one segment."""
    action: ActionValue | None
    """What is right at the only step; None: at every step what was done there."""


class LessonReader:
    """Follows a store for one game: cheap to ask again and again, and it forgets what people take back."""

    def __init__(self, store: Store, spec: GameSpec) -> None:
        """A reader at the beginning of ``store``; answers about other games, options or versions say nothing to it."""
        self._store, self._spec = store, spec
        self._lessons: dict[int, Lesson | None] = {}
        self._without_replay: set[int] = set()
        self._cursor = 0

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """All that stand, in the order of their answers."""
        return tuple(lesson for _, lesson in sorted(self._lessons.items()) if lesson is not None)

    def poll(self) -> bool:
        """Reads what is new; returns whether ``lessons`` changed."""
        before = self.lessons
        page = self._store.answers(self._cursor, kinds=KINDS)
        self._cursor = page.cursor
        for answer_id in page.retracted:
            self._lessons.pop(answer_id, None)
            self._without_replay.discard(answer_id)
        again = self._store.answers_about(self._without_replay) if self._without_replay else ()
        for answer in (*again, *page.answers):
            self._take(answer)
        return self.lessons != before

    def _take(self, answer: Answer) -> None:
        replay_id, step = self._place(answer)
        if replay_id is None or step is None:
            self._without_replay.add(answer.id)
            return
        self._without_replay.discard(answer.id)
        self._lessons[answer.id] = self._lesson(answer, replay_id, step)

    def _place(self, answer: Answer) -> tuple[str | None, int | None]:
        """Replay and step that an answer is about; no replay where its episode has none yet."""
        if answer.query_id is None:
            return answer.replay_id, answer.step
        (query,) = self._store.queries([answer.query_id])
        return query.replay_id, query.step

    def _lesson(self, answer: Answer, replay_id: str, step: int) -> Lesson | None:
        value = answer.value
        assert isinstance(value, Advice | Takeover | Demonstration), "the store gives the kinds that were asked for"
        replay = self._store.replay(replay_id)
        if not fits(replay, self._spec):
            return None
        length = min(1 if isinstance(value, Advice) else value.length, replay.length - step)
        if length < 1 or value.seat >= self._spec.players:
            return None
        action = value.action if isinstance(value, Advice) else None
        if isinstance(value, Advice) and (action is None or not _possible(action, self._spec)):
            return None
        return Lesson(answer.id, Clip((Segment(replay_id, step, length),), value.seat), action)


def _possible(action: ActionValue, spec: GameSpec) -> bool:
    """Whether the game has the action at all."""
    space = spec.actions
    if isinstance(space, Discrete):
        return isinstance(action, int) and 0 <= action < space.n
    if not isinstance(action, tuple):
        return False
    if isinstance(space, Box):
        low, high = (bound.reshape(-1) for bound in space.bounds)
        given = np.asarray(action, np.float32)
        return given.shape == low.shape and bool(((low <= given) & (given <= high)).all())
    return len(action) == len(space.sizes) and all(0 <= choice < size for choice, size in zip(action, space.sizes, strict=True))
