"""From what people showed to arrays that an agent imitates, and how often each of it was imitated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.agent import Lessons
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Box, Discrete, MultiDiscrete
from rlhf_games.feedback.lessons import Lesson, LessonReader
from rlhf_games.feedback.store import Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader

_GROWS_BY = 1024
"""Steps are padded to a multiple of this, so that imitating is compiled again only once in so many."""
_PIECE, _PIECES = 64, 64
"""Steps in a row, and how many such rows, that are read together."""


class _Shown(NamedTuple):
    """The ``n`` steps of one lesson, from the side of its seat."""

    observation: NDArray[Any]
    """``[n, ...]``."""
    action: NDArray[Any]
    """``[n, ...]``."""
    legal: NDArray[np.bool_]
    """``[n, A]``."""
    allowed: NDArray[np.bool_]
    """``[n]``: it was the seat's move, and the shown action is legal there."""


class LessonBook:
    """The lessons of a store, with what the agent saw. Not for several threads at once.

    Each step that was shown is drawn ``draws`` times in all: half of that when it is new, and half of what is left each time after that,
    so that it is not forgotten at once and does not outweigh what the agent learns from its reward.
    """

    def __init__(self, store: Store, reader: ClipReader, draws: int) -> None:
        self._reader, self._lessons, self._draws = reader, LessonReader(store, reader.spec), draws
        self._shown: dict[int, _Shown] = {}
        self._drawn: dict[int, float] = {}
        """By answer: how often each of its steps was drawn so far."""
        self._due: dict[int, float] = {}
        """By answer: how often each of its steps was to be drawn when last asked."""
        self._arrays: Lessons | None = None

    def poll(self) -> bool:
        """Reads what is new; returns whether anything changed."""
        changed = self._lessons.poll()
        if changed:
            self._arrays = None
        return changed

    def __len__(self) -> int:
        """Steps shown."""
        return sum(lesson.clip.length for lesson in self._lessons.lessons)

    def due(self, *, new: bool = False) -> Lessons | None:
        """What is to be imitated now, padded with weight 0; None where nothing is.

        Args:
          new: only what was never imitated, and all its draws at once: nothing comes after this.

        Raises:
          ReplayMismatch: a replay does not reproduce.
        """
        self._due = {lesson.answer_id: self._weight(lesson.answer_id, new) for lesson in self._lessons.lessons}
        if not any(self._due.values()):
            return None
        if self._arrays is None:
            self._arrays = self._gathered()
        shown = [self._shown[lesson.answer_id].allowed * np.float32(self._due[lesson.answer_id]) for lesson in self._lessons.lessons]
        weight = np.zeros(len(self._arrays.weight), np.float32)
        weight[: len(self)] = np.concatenate(shown)
        return self._arrays._replace(weight=jnp.asarray(weight)) if weight.any() else None

    def imitated(self, draws: float) -> None:
        """Takes note that so many rows were drawn of what was due, in proportion to its weights."""
        due = {answer_id: weight * int(self._shown[answer_id].allowed.sum()) for answer_id, weight in self._due.items() if weight}
        share = draws / sum(due.values())
        for answer_id in due:
            self._drawn[answer_id] = self._drawn.get(answer_id, 0.0) + share * self._due[answer_id]

    def state(self) -> dict[str, float]:
        """How often each answer's steps were drawn, as JSON values."""
        return {str(answer_id): drawn for answer_id, drawn in self._drawn.items()}

    def restore(self, state: Mapping[str, float]) -> None:
        """Goes on from what ``state`` gave."""
        self._drawn = {int(answer_id): float(drawn) for answer_id, drawn in state.items()}

    def _weight(self, answer_id: int, new: bool) -> float:
        left = self._draws - self._drawn.get(answer_id, 0.0)
        if new:
            return 0.0 if self._drawn.get(answer_id) else left
        if left < 1:
            return 0.0
        return left / 2 if left > 2 else left

    def _gathered(self) -> Lessons:
        """All lessons one after the other; weights are left at 0."""
        standing = self._lessons.lessons
        self._read([lesson for lesson in standing if lesson.answer_id not in self._shown])
        shown = [self._shown[lesson.answer_id] for lesson in standing]
        capacity = -(-len(self) // _GROWS_BY) * _GROWS_BY

        def padded(arrays: list[NDArray[Any]], fill: Any) -> Any:
            whole = np.concatenate(arrays)
            return jnp.asarray(np.concatenate([whole, np.full((capacity - len(whole), *whole.shape[1:]), fill, whole.dtype)]))

        return Lessons(
            padded([one.observation for one in shown], 0),
            padded([one.action for one in shown], 0),
            jnp.zeros(capacity, jnp.float32),
            padded([one.legal for one in shown], True),
        )

    def _read(self, lessons: list[Lesson]) -> None:
        """Looks at lessons that were not looked at yet."""
        pieces = [piece for lesson in lessons for piece in _pieces(lesson)]
        parts: dict[int, list[_Shown]] = {lesson.answer_id: [] for lesson in lessons}
        for at in range(0, len(pieces), _PIECES):
            some = pieces[at : at + _PIECES]
            batch = self._reader.read([piece.clip for piece in some], _PIECE)
            choices = self._reader.choices([piece.clip.segments[0] for piece in some])
            for row, (piece, choice) in enumerate(zip(some, choices, strict=True)):
                action = batch.action[row, : piece.clip.length].copy()
                if piece.action is not None:
                    action[:] = np.asarray(piece.action, action.dtype).reshape(self._reader.spec.actions.shape)
                legal, acting = choice.legal[:, piece.clip.seat], choice.acting[:, piece.clip.seat]
                seen = batch.observation[row, : piece.clip.length].copy()
                # What stands in a recording for a seat that waits is nobody's choice.
                parts[piece.answer_id].append(_Shown(seen, action, legal, acting & _allowed(action, legal, self._reader.spec)))
        for answer_id, some_parts in parts.items():
            self._shown[answer_id] = _Shown(*(np.concatenate(arrays) for arrays in zip(*some_parts, strict=True)))


def _allowed(action: NDArray[Any], legal: NDArray[np.bool_], spec: GameSpec) -> NDArray[np.bool_]:
    """``[n]``: which actions ``[n, ...]`` the masks ``[n, A]`` allow."""
    space = spec.actions
    if isinstance(space, Box):
        return np.ones(len(action), bool)
    sizes = space.sizes if isinstance(space, MultiDiscrete) else (space.n,)
    starts = np.cumsum((0, *sizes[:-1]))
    columns = action[:, None] if isinstance(space, Discrete) else action
    allowed: NDArray[np.bool_] = np.all(np.take_along_axis(legal, columns + starts, axis=1), axis=1)
    return allowed


def _pieces(lesson: Lesson) -> list[Lesson]:
    """The lesson, cut to at most ``_PIECE`` steps: a demonstration may be a whole episode."""
    (whole,) = lesson.clip.segments
    starts = range(whole.start, whole.stop, _PIECE)
    segments = [Segment(whole.replay_id, start, min(_PIECE, whole.stop - start)) for start in starts]
    return [replace(lesson, clip=Clip((segment,), lesson.clip.seat)) for segment in segments]
