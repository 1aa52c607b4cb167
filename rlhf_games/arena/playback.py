"""Where two clips that play together stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlhf_games.arena.films import Footage

SPEEDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
REST = 0.6
"""Seconds that the last pictures stand still before the clips start again, so that their ends are seen."""


def next_speed(speed: float, faster: bool) -> float:
    """The neighbour of ``speed`` in ``SPEEDS``, or the outermost."""
    place = SPEEDS.index(speed) + (1 if faster else -1)
    return SPEEDS[min(len(SPEEDS) - 1, max(0, place))]


class Playback:
    """Plays clips from one common beginning, again and again; a shorter one waits on its last picture for the longer."""

    def __init__(self, now: Callable[[], float], speed: float = 1.0) -> None:
        self._now = now
        self._last = now()
        self._clips: tuple[Footage, ...] = ()
        self._position = 0.0
        self.speed = speed
        """Multiple of the game's natural speed."""
        self.paused = False

    @property
    def duration(self) -> float:
        """Seconds of the longest clip at natural speed."""
        return max((clip.seconds for clip in self._clips), default=0.0)

    def load(self, clips: Sequence[Footage]) -> None:
        """Other clips, from their beginning, running."""
        self._clips = tuple(clips)
        self.restart()
        self.paused = False

    def restart(self) -> None:
        """From the beginning."""
        self._position, self._last = 0.0, self._now()

    def tick(self) -> None:
        """Moves on by the time that has passed."""
        now = self._now()
        passed, self._last = now - self._last, now
        if self.paused or not self._clips:
            return
        self._position += passed * self.speed
        if self._position >= self.duration + REST * self.speed:
            self._position = 0.0

    def step(self, frames: int) -> None:
        """Pauses and moves by pictures of the finest clip, within the clips."""
        if not self._clips:
            return
        self.paused = True
        fps = max(clip.fps for clip in self._clips)
        number = round(min(self._position, self.duration) * fps - 0.5) + frames
        last = max(0, round(self.duration * fps) - 1)
        self._position = (min(last, max(0, number)) + 0.5) / fps

    def frame(self, place: int) -> int:
        """Number of the picture that clip ``place`` shows now."""
        clip = self._clips[place]
        return min(len(clip.frames) - 1, int(self._position * clip.fps))

    def share(self, place: int) -> float:
        """How much of clip ``place`` has been shown, in [0, 1]."""
        return (self.frame(place) + 1) / len(self._clips[place].frames)

    def over(self, place: int) -> bool:
        """Whether clip ``place`` has come to its end in this round."""
        return self._position >= self._clips[place].seconds
