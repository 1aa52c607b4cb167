"""Which answers measure instead of training, and which the members resample: functions of ids and clips, not of what was answered.

A question's side is decided when it is posted and never changes. No step of a question both trains and measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from rlhf_games.feedback.labels import UNSOLICITED, Label
from rlhf_games.replay.clip import Clip

_FIRST_COUNTS = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(12)])
"""Probabilities of Poisson(1) counts up to 0, 1, 2 ..."""


class Side(IntEnum):
    """What an answer is used for."""

    TRAINS = 0
    MEASURES = 1
    NEITHER = 2
    """It shows steps of both others. Rare: questions about steps that were asked about before are avoided."""


class Posted(Protocol):
    """What must be known of a question: `rlhf_games.feedback.store.Query` has it."""

    @property
    def id(self) -> int:
        """Ascending in the order of posting."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """What it shows."""

    @property
    def control(self) -> bool:
        """Drawn uniformly for the control arm."""


class Place(NamedTuple):
    """Where an answer belongs."""

    side: Side
    unit: Hashable
    """Answers of one unit are resampled together: all about one question, all unsolicited ones about one episode, and what shows steps of
    an older unit."""


class _Window(NamedTuple):
    start: int
    stop: int
    question: int


class Holdout:
    """Decides for questions, in the order of posting, and for unsolicited answers.

    A question that shows steps of older questions goes where they went, or nowhere where they went both ways. Of the others, those of the
    control arm measure (they were drawn uniformly, so they are what an active strategy can be judged by), and those for which a hash of
    ``seed`` and the question's id falls below ``share``.

    Unsolicited answers (marks, demonstrations, ratings of whole episodes) about one episode go together: where one of them shows steps of
    questions, all follow these; else a hash of ``seed`` and the episode decides.
    """

    def __init__(self, seed: int, share: float, episode_of: Callable[[str], Hashable] = str) -> None:
        """Nothing is posted yet.

        Args:
          seed: draws.
          share: in [0, 1): of questions, and of episodes with unsolicited answers.
          episode_of: maps ids of replays that are the same episode to the same thing.
        """
        self._seed, self._share, self._episode_of = seed, share, episode_of
        self._places: dict[int, Place] = {}
        self._windows: dict[Hashable, list[_Window]] = {}
        self._joined = DisjointSet()

    def post(self, questions: Iterable[Posted]) -> None:
        """Takes note of questions, oldest first; those that are known stay where they are."""
        for question in sorted(questions, key=lambda question: question.id):
            if question.id not in self._places:
                place = self._places[question.id] = self._question(question)
                # what is used for nothing stands in nobody's way
                for episode, start, stop in self._steps(question.clips) if place.side != Side.NEITHER else ():
                    self._windows.setdefault(episode, []).append(_Window(start, stop, question.id))

    def places(self, labels: Sequence[Label]) -> list[Place]:
        """Where each label belongs, in their order. Questions that were not posted here are taken as posted in the order of their ids."""
        self.post(_Asked(label) for label in labels if label.query_id < UNSOLICITED)
        episodes: dict[Hashable, list[Clip]] = {}
        for label in labels:
            if label.query_id >= UNSOLICITED:
                episodes.setdefault(self._episode(label), []).extend(label.clips)
        unsolicited = {episode: self._unsolicited(episode, clips) for episode, clips in episodes.items()}
        return [self._places[label.query_id] if label.query_id < UNSOLICITED else unsolicited[self._episode(label)] for label in labels]

    def observation(self, unit: Hashable) -> Hashable:
        """What a unit is counted as: units that share steps, directly or through others, count as one observation."""
        self._joined.add(unit)
        root: Hashable = self._joined[unit]
        return root

    def _question(self, question: Posted) -> Place:
        followed = self._followed(question.clips)
        if followed is not None:
            return followed
        measures = question.control or uniform("holdout", self._seed, question.id) < self._share
        return Place(Side.MEASURES if measures else Side.TRAINS, question.id)

    def _episode(self, label: Label) -> Hashable:
        return self._episode_of(label.clips[0].segments[0].replay_id)

    def _unsolicited(self, episode: Hashable, clips: Iterable[Clip]) -> Place:
        followed = self._followed(clips)
        if followed is not None:
            return followed
        unit = ("episode", episode)
        measures = uniform("holdout", self._seed, unit) < self._share
        return Place(Side.MEASURES if measures else Side.TRAINS, unit)

    def _followed(self, clips: Iterable[Clip]) -> Place | None:
        """Where the questions went that show some of the same steps; None where there are none. Joins their units."""
        met = {
            window.question
            for episode, start, stop in self._steps(clips)
            for window in self._windows.get(episode, ())
            if start < window.stop and window.start < stop
        }
        if not met:
            return None
        units = [self._places[question].unit for question in sorted(met)]
        sides = {self._places[question].side for question in met}
        if len(sides) > 1:
            return Place(Side.NEITHER, units[0])
        for unit in units:
            self._joined.add(unit)
            self._joined.merge(units[0], unit)
        return Place(sides.pop(), units[0])

    def _steps(self, clips: Iterable[Clip]) -> Iterator[tuple[Hashable, int, int]]:
        for segment in (segment for clip in clips for segment in clip.segments):
            yield self._episode_of(segment.replay_id), segment.start, segment.stop


class _Asked(NamedTuple):
    """A question as one of its labels shows it."""

    label: Label

    @property
    def id(self) -> int:
        return self.label.query_id

    @property
    def clips(self) -> tuple[Clip, ...]:
        return self.label.clips

    @property
    def control(self) -> bool:
        return self.label.control


def bootstrap_counts(seed: int, members: int, units: Sequence[Hashable]) -> NDArray[np.float32]:
    """``[M, n]`` how often each member's resampling draws each of ``n`` answers: Poisson(1), which the bootstrap's counts tend to.

    A count depends on seed, member and the answer's unit only: answers that come later change nothing (Oza & Russell 2001), and what
    belongs together is seen by a member as a whole or not at all.
    """
    drawn = [[uniform("bootstrap", seed, member, unit) for unit in units] for member in range(members)]
    counts = np.searchsorted(_FIRST_COUNTS, np.array(drawn, np.float64).reshape(members, len(units)), side="right")
    return counts.astype(np.float32)


def uniform(*about: object) -> float:
    """A number in [0, 1) that depends on the arguments only, the same on every machine."""
    digest = blake2b(repr(about).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
