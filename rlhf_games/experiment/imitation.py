"""From what people showed to arrays that an agent imitates."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from rlhf_games.core.agent import Lessons
from rlhf_games.feedback.lessons import Lesson, LessonReader
from rlhf_games.feedback.store import Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader

_GROWS_BY = 1024
"""Steps are padded to a multiple of this, so that imitating is compiled again only once in so many."""
_PIECE, _PIECES = 64, 64
"""Steps in a row, and how many such rows, that are read together."""


class LessonBook:
    """The lessons of a store, with what the agent saw. Not for several threads at once."""

    def __init__(self, store: Store, reader: ClipReader) -> None:
        self._reader, self._lessons = reader, LessonReader(store, reader.spec)
        self._arrays: Lessons | None = None

    def poll(self) -> bool:
        """Reads what is new; returns whether anything changed."""
        changed = self._lessons.poll()
        if changed:
            self._arrays = None
        return changed

    def __bool__(self) -> bool:
        return bool(self._lessons.lessons)

    def __len__(self) -> int:
        """Steps shown."""
        return sum(lesson.clip.length for lesson in self._lessons.lessons)

    def arrays(self) -> Lessons:
        """All steps, padded with weight 0. Every step counts alike. The same arrays until the next change.

        Raises:
          ReplayMismatch: a replay does not reproduce.
          ValueError: there are no lessons.
        """
        if not self:
            raise ValueError("nobody has shown anything yet")
        if self._arrays is None:
            self._arrays = self._read(self._lessons.lessons)
        return self._arrays

    def _read(self, lessons: tuple[Lesson, ...]) -> Lessons:
        spec, count = self._reader.spec, len(self)
        capacity = -(-count // _GROWS_BY) * _GROWS_BY
        observation = np.zeros((capacity, *spec.observation.shape), spec.observation.dtype)
        action = np.zeros((capacity, *spec.actions.shape), spec.actions.dtype)
        begin = 0
        pieces = [piece for lesson in lessons for piece in _pieces(lesson)]
        for at in range(0, len(pieces), _PIECES):
            some = pieces[at : at + _PIECES]
            batch = self._reader.read([piece.clip for piece in some], _PIECE)
            for row, piece in enumerate(some):
                steps = slice(begin, begin + piece.clip.length)
                observation[steps] = batch.observation[row, : piece.clip.length]
                action[steps] = batch.action[row, : piece.clip.length]
                if piece.action is not None:
                    action[steps] = np.asarray(piece.action, action.dtype).reshape(spec.actions.shape)
                begin += piece.clip.length
        return Lessons(jnp.asarray(observation), jnp.asarray(action), jnp.asarray((np.arange(capacity) < count).astype(np.float32)))


def _pieces(lesson: Lesson) -> list[Lesson]:
    """The lesson, cut to at most ``_PIECE`` steps: a demonstration may be a whole episode."""
    (whole,) = lesson.clip.segments
    starts = range(whole.start, whole.stop, _PIECE)
    segments = [Segment(whole.replay_id, start, min(_PIECE, whole.stop - start)) for start in starts]
    return [replace(lesson, clip=Clip((segment,), lesson.clip.seat)) for segment in segments]
