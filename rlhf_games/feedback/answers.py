"""What people (and scripted teachers) can say, one frozen dataclass per kind, with a strict JSON form.

Values are *as shown*: ``left`` and every place index refer to the display order of the query, never to the canonical order of its
clips. ``labels.py`` undoes the display order. Every constructor raises ``ValueError`` naming the field that is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from rlhf_games.core.parse import parse_json

Choice: TypeAlias = Literal["left", "right", "equal", "unsure"]
Aspect: TypeAlias = Literal["policy", "value", "reward", "what-if"]
ActionValue: TypeAlias = int | tuple[int | float, ...]
"""One seat's action: an index (discrete) or one number per dimension (several choices, or a box)."""


_LARGEST = 2**31 - 1
"""Of seats, lengths and action indices."""


def _integer(owner: str, name: str, value: object, low: int, high: int | None = None) -> None:
    limit = f"at least {low}" if high is None else f"in {low}..{high}"
    most = _LARGEST if high is None else high
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= most:
        raise ValueError(f"{owner}.{name} must be an integer {limit}, got {_shown(value)}")


def _shown(value: object) -> str:
    """A value from outside, in a message."""
    try:
        return repr(value)[:200]
    except ValueError:  # an integer of thousands of digits
        return "an enormous number"


def _number(owner: str, name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{owner}.{name} must be a number in {low:g}..{high:g}, got {value!r}")


def _text(owner: str, name: str, value: object) -> None:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError(f"{owner}.{name} must be text without NUL characters, got {value!r}")


def _action(owner: str, name: str, value: object) -> None:
    if isinstance(value, tuple):
        if not value:
            raise ValueError(f"{owner}.{name} must have at least one entry, got ()")
        for entry in value:
            number = isinstance(entry, (int, float)) and not isinstance(entry, bool)
            if not number or not abs(entry) < math.inf or (isinstance(entry, int) and abs(entry) > _LARGEST):
                raise ValueError(f"{owner}.{name} must hold finite numbers, integers of at most 32 bits, got {_shown(value)}")
    else:
        _integer(owner, name, value, 0)


@dataclass(frozen=True)
class Preference:
    """Which of two clips, shown side by side, is better."""

    kind: ClassVar[str] = "preference"
    choice: Choice
    """``unsure`` (can't tell) is an answer too: it never becomes a label and is not asked again of the same annotator."""
    strength: int = 1
    """1 better, 2 much better; 1 where the choice is ``equal`` or ``unsure``."""

    def __post_init__(self) -> None:
        if self.choice not in get_args(Choice):
            raise ValueError(f"Preference.choice must be one of {', '.join(get_args(Choice))}, got {self.choice!r}")
        _integer("Preference", "strength", self.strength, 1, 2)
        if self.strength == 2 and self.choice not in ("left", "right"):
            raise ValueError(f"Preference.strength must be 1 where the choice is {self.choice!r}, got 2")


@dataclass(frozen=True)
class Ranking:
    """An order of K clips shown in a grid, ties allowed; it teaches as a whole (`rlhf_games.feedback.likelihoods.ranking_log_prob`)."""

    kind: ClassVar[str] = "ranking"
    ranks: tuple[int, ...]
    """Rank of the clip at each place, 0 best, equal numbers for a tie, no number left out; ``()`` means can't tell."""

    def __post_init__(self) -> None:
        if not isinstance(self.ranks, tuple):
            raise ValueError(f"Ranking.ranks must be a tuple, got {self.ranks!r}")
        for rank in self.ranks:
            _integer("Ranking", "ranks", rank, 0)
        if len(self.ranks) == 1 or (self.ranks and set(self.ranks) != set(range(max(self.ranks) + 1))):
            raise ValueError(f"Ranking.ranks must rank at least 2 clips and use every number from 0 up, got {self.ranks!r}")


@dataclass(frozen=True)
class Rating:
    """One clip on a scale from 1 (worst) to 5 (best); what a star means is fitted for each annotator.

    Where nobody asked: everything in the row's replay from the row's ``step`` on.
    """

    kind: ClassVar[str] = "rating"
    stars: int | None
    """1..5, or None for can't tell."""

    def __post_init__(self) -> None:
        if self.stars is not None:
            _integer("Rating", "stars", self.stars, 1, 5)


@dataclass(frozen=True)
class Evaluation:
    """A cheer or a scolding; the row's ``step`` is the decision on the screen when the key went down.

    While the game ran, it is about what the person saw 0.2 to 4 seconds before; where the game stood still, about the decision ``step``
    itself (`rlhf_games.feedback.credit`). Answers of older versions have neither ``speed`` nor ``since_end``: they were given live.
    """

    kind: ClassVar[str] = "evaluation"
    value: float
    """In [-1, 1], not 0: the sign says good or bad, the size how much."""
    seat: int = 0
    speed: float = 1.0
    """How fast the game ran, as a multiple in [0, 100] of its natural speed; 0: it stood still."""
    since_end: float | None = None
    """Seconds from the episode's end, after the decision ``step``, to the key; None: the episode had not ended."""

    def __post_init__(self) -> None:
        number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        if not number or not 0 < abs(self.value) <= 1:
            raise ValueError(f"Evaluation.value must be in [-1, 1] and not 0, got {self.value!r}")
        _integer("Evaluation", "seat", self.seat, 0)
        _number("Evaluation", "speed", self.speed, 0.0, 100.0)
        if self.since_end is not None:
            _number("Evaluation", "since_end", self.since_end, 0.0, 1e9)
            if self.speed == 0:
                raise ValueError(f"Evaluation.since_end must be None where the game stood still, got {self.since_end!r}")


@dataclass(frozen=True)
class Demonstration:
    """A person played seat ``seat`` in the row's replay from the row's ``step`` on: better than what the run's first policy did."""

    kind: ClassVar[str] = "demonstration"
    length: int
    """Decisions shown, at least 1."""
    seat: int = 0

    def __post_init__(self) -> None:
        _integer("Demonstration", "length", self.length, 1)
        _integer("Demonstration", "seat", self.seat, 0)


@dataclass(frozen=True)
class Takeover:
    """A person took the controls from the agent at the row's ``step`` of the row's replay and gave them back later.

    Where ``instead`` is known, it says that this was better than what the agent would have done.
    """

    kind: ClassVar[str] = "takeover"
    length: int
    """Decisions the person made, at least 1."""
    seat: int = 0
    instead: str = ""
    """Id of the replay in which the agent went on from the same state ("what it would have done"); empty where not simulated."""

    def __post_init__(self) -> None:
        _integer("Takeover", "length", self.length, 1)
        _integer("Takeover", "seat", self.seat, 0)
        _text("Takeover", "instead", self.instead)


@dataclass(frozen=True)
class Advice:
    """What a person would do in a state the agent asked about."""

    kind: ClassVar[str] = "advice"
    action: ActionValue | None
    """The action, or None for can't tell."""
    seat: int = 0

    def __post_init__(self) -> None:
        if self.action is not None:
            _action("Advice", "action", self.action)
        _integer("Advice", "seat", self.seat, 0)


@dataclass(frozen=True)
class Question:
    """A person asked the agent something about the row's ``step`` of the row's replay. Logged; it teaches nothing by itself."""

    kind: ClassVar[str] = "question"
    aspect: Aspect
    action: ActionValue | None = None
    """The action of a what-if branch."""
    seat: int = 0

    def __post_init__(self) -> None:
        if self.aspect not in get_args(Aspect):
            raise ValueError(f"Question.aspect must be one of {', '.join(get_args(Aspect))}, got {self.aspect!r}")
        if self.action is not None:
            _action("Question", "action", self.action)
        if (self.action is not None) != (self.aspect == "what-if"):
            raise ValueError(f"Question.action must be given for what-if and for nothing else, got {self.action!r} for {self.aspect!r}")
        _integer("Question", "seat", self.seat, 0)


AnswerValue: TypeAlias = Preference | Ranking | Rating | Evaluation | Demonstration | Takeover | Advice | Question
KINDS: dict[str, type[AnswerValue]] = {cls.kind: cls for cls in get_args(AnswerValue)}
"""Every kind of answer by its name in the store."""


def to_json(value: AnswerValue) -> str:
    """The value as canonical JSON: sorted keys, no spaces."""
    return json.dumps(dataclasses.asdict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(kind: str, text: str) -> AnswerValue:
    """Reads what ``to_json`` wrote.

    Raises:
      ValueError: unknown kind, not JSON, a field missing, unknown or out of range; the message names it.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of answer {kind!r}; known are: {', '.join(KINDS)}")
    cls = KINDS[kind]
    try:
        table = parse_json(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{cls.__name__}: not valid JSON: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{cls.__name__}: expected a JSON object, got {text[:200]!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := sorted(set(table) - set(fields)):
        raise ValueError(f"{cls.__name__} has no field {unknown[0]!r}; its fields are: {', '.join(fields)}")
    for name, field in fields.items():
        if name not in table and field.default is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__}.{name} is missing")
    values: dict[str, Any] = {name: tuple(entry) if isinstance(entry, list) else entry for name, entry in table.items()}
    try:
        return cls(**values)
    except TypeError as error:
        # An unhashable or uncomparable JSON value (a nested list, an object) where a scalar belongs.
        raise ValueError(f"{cls.__name__}: a field has the wrong type: {error}") from error
