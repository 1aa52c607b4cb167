"""A clip: the piece of play that one question is about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json


@dataclass(frozen=True)
class Segment:
    """Consecutive steps of one replay: ``start`` to ``start + length - 1``, counted from 0."""

    replay_id: str
    start: int
    length: int

    def __post_init__(self) -> None:
        _check_text("replay_id", self.replay_id)
        _check_integer("start", self.start, 0)
        _check_integer("length", self.length, 1)

    @property
    def stop(self) -> int:
        """The step after the last one."""
        return self.start + self.length


@dataclass(frozen=True)
class Clip:
    """What one seat saw, did and earned over one or more segments, in the order of play.

    More than one segment means that the clip goes on into the lane's next episode. Two clips that compare equal are identical;
    `rlhf_games.replay.cut.same_steps` also finds clips of different replays that show the same steps.
    """

    segments: tuple[Segment, ...]
    seat: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.segments))
        if not self.segments or not all(isinstance(segment, Segment) for segment in self.segments):
            raise ValueError(f"a clip needs at least one Segment, got {self.segments!r}")
        _check_integer("seat", self.seat, 0)

    @property
    def length(self) -> int:
        """Steps, over all segments."""
        return sum(segment.length for segment in self.segments)

    def to_json(self) -> str:
        """One line of JSON; equal clips give equal text."""
        segments = [[segment.replay_id, segment.start, segment.length] for segment in self.segments]
        return json.dumps({"segments": segments, "seat": self.seat}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Clip:
        """Reads what `to_json` wrote.

        Raises:
          UserError: the text is not a clip.
        """
        try:
            table: Any = parse_json(text)
            if not isinstance(table, dict) or set(table) != {"segments", "seat"}:
                raise ValueError('expected an object with "segments" and "seat"')
            return cls(tuple(Segment(*entry) for entry in table["segments"]), table["seat"])
        except (ValueError, TypeError) as error:
            raise UserError(f"not a clip: {str(text)[:200]!r}: {error}; the row or file it comes from is damaged") from error


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text that is not empty, got {value!r}")


def _check_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise ValueError(f"{name} must be an integer in [{least}, 2**31), got {str(value)[:80]}")
