"""What goes into the store and what comes out of it: typed records, and strict readers of rows.

A row that does not hold what it should is refused by a ``UserError`` that names table, row and field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json
from rlhf_games.feedback.answers import KINDS, AnswerValue, Ranking, from_json
from rlhf_games.replay.clip import Clip

CLIPS_PER_KIND: dict[str, tuple[int, int | None]] = {"preference": (2, 2), "ranking": (2, None), "rating": (1, 1), "advice": (0, 0)}
"""Kinds of answers that can be asked for, with the smallest and the largest number of clips."""
_SAME_QUESTION = ("kind", "replay_id", "step", "strategy", "session", "iteration", "control", "wanted")
"""Fields in which the same question, posted twice, agrees (the clips too)."""


@dataclass(frozen=True)
class QueryDraft:
    """A question to be posted. Raises ``ValueError`` naming the field that is wrong."""

    kind: str
    """``preference``, ``ranking``, ``rating`` or ``advice``."""
    clips: tuple[Clip, ...] = ()
    """In canonical order; the store draws the order of display."""
    strategy: str = ""
    """How the clips were chosen."""
    acquisition: float | None = None
    """What the strategy thought the answer was worth."""
    session: str = ""
    """Which feedback session or run asks."""
    iteration: int = 0
    policy_version: str = ""
    reward_version: str = ""
    control: bool = False
    """Drawn uniformly beside an active strategy, which it is compared with: answers to it measure the reward model and never train it."""
    wanted: int = 1
    """How many different annotators shall answer."""
    display: tuple[int, ...] | None = None
    """``display[place]`` is the index of the clip shown there; None: drawn when posted."""
    replay_id: str | None = None
    """The still state of an ``advice`` query: replay and step."""
    step: int | None = None
    recent_return: float | None = None
    """Mean true return of the last 10 episodes at this time: what a scripted teacher's thresholds scale with."""
    recent_length: float | None = None
    """Mean length of the same episodes, in decisions."""
    key: str | None = None
    """Unique name of this question, if any: posting it again (after a crash) gives the same query instead of a second one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips", tuple(self.clips))
        _check_texts(self, ("strategy", "session", "policy_version", "reward_version", "replay_id", "key"))
        _check_integers(self, ("iteration", "wanted", "step"))
        if self.kind not in CLIPS_PER_KIND:
            raise ValueError(f"QueryDraft.kind must be one of {', '.join(CLIPS_PER_KIND)}, got {self.kind!r}")
        low, high = CLIPS_PER_KIND[self.kind]
        if len(self.clips) < low or (high is not None and len(self.clips) > high):
            raise ValueError(f"QueryDraft.clips: {self.kind} needs {low}{'' if low == high else ' or more'} clips, got {len(self.clips)}")
        if self.display is not None and sorted(self.display) != list(range(len(self.clips))):
            raise ValueError(f"QueryDraft.display must be a permutation of {len(self.clips)} places, got {self.display!r}")
        if (self.replay_id is None) != (self.step is None) or (self.kind == "advice") != (self.step is not None):
            raise ValueError(f"QueryDraft.replay_id and step belong to advice queries, both or none; got {self.replay_id!r}, {self.step!r}")
        if self.wanted < 1:
            raise ValueError(f"QueryDraft.wanted must be at least 1, got {self.wanted}")
        for name in ("acquisition", "recent_return", "recent_length"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"QueryDraft.{name} must be finite, got {value}")


@dataclass(frozen=True)
class Query:
    """A posted question."""

    id: int
    kind: str
    clips: tuple[Clip, ...]
    """In canonical order."""
    display: tuple[int, ...]
    """``display[place]`` is the index of the clip shown there."""
    strategy: str
    acquisition: float | None
    session: str
    iteration: int
    policy_version: str
    reward_version: str
    control: bool
    wanted: int
    replay_id: str | None
    step: int | None
    recent_return: float | None
    recent_length: float | None
    key: str | None
    posted_at: float
    withdrawn: bool
    leased_by: str | None
    leased_until: float | None

    @property
    def shown(self) -> tuple[Clip, ...]:
        """The clips by place: ``shown[0]`` is on the left."""
        return tuple(self.clips[index] for index in self.display)

    def asks(self, draft: QueryDraft) -> bool:
        """Whether a draft is the same question, whatever its key and wherever its clips are shown."""
        return self.clips == draft.clips and all(getattr(self, name) == getattr(draft, name) for name in _SAME_QUESTION)


@dataclass(frozen=True)
class AnswerDraft:
    """An answer to be posted: to a query, or free-standing about a step of a replay or of an episode still being played."""

    annotator: str
    value: AnswerValue
    shown_at: float
    """When the person could first see what the answer is about (seconds since 1970)."""
    answered_at: float
    uuid: str
    """Made by the client once per answer: a retried post is stored once."""
    query_id: int | None = None
    replay_id: str | None = None
    episode: str | None = None
    """Client-made name of an episode that has no replay yet; ``Store.link_episode`` tells later which replay it became."""
    step: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, tuple(KINDS.values())):
            raise ValueError(f"AnswerDraft.value must be one of {', '.join(c.__name__ for c in KINDS.values())}, got {self.value!r}")
        check_name(self.annotator)
        _check_texts(self, ("uuid", "replay_id", "episode"))
        _check_integers(self, ("query_id", "step"))
        if not self.uuid or len(self.uuid) > 100:
            raise ValueError(f"AnswerDraft.uuid must have 1 to 100 characters, got {self.uuid!r}")
        if not (math.isfinite(self.shown_at) and math.isfinite(self.answered_at) and self.shown_at <= self.answered_at):
            raise ValueError(f"AnswerDraft.shown_at must not be after answered_at, got {self.shown_at} and {self.answered_at}")
        about = sum(entry is not None for entry in (self.query_id, self.replay_id, self.episode))
        if about != 1:
            raise ValueError(f"AnswerDraft needs exactly one of query_id, replay_id and episode, got {about}")
        if (self.step is None) != (self.query_id is not None):
            raise ValueError(f"AnswerDraft.step must be a number from 0 for a replay or episode, None for a query; got {self.step!r}")


@dataclass(frozen=True)
class Answer:
    """A stored answer."""

    id: int
    """Grows with time over answers and retractions alike."""
    uuid: str
    query_id: int | None
    annotator: str
    value: AnswerValue
    display: tuple[int, ...]
    """The query's display order as it was shown; ``()`` for a free-standing answer."""
    replay_id: str | None
    episode: str | None
    step: int | None
    shown_at: float
    answered_at: float
    received_at: float
    session: str | None = None
    """Of a free-standing answer: the only session that it belongs to, None: all; an answer to a query belongs to the query's."""

    @property
    def kind(self) -> str:
        """Name of the kind of answer."""
        return self.value.kind


@dataclass(frozen=True)
class AnswerPage:
    """What is new since a cursor."""

    answers: tuple[Answer, ...]
    """Effective (not retracted) answers after the cursor, oldest first."""
    retracted: tuple[int, ...]
    """Ids of answers up to the cursor that were retracted after it."""
    cursor: int
    """Where the next page begins."""


@dataclass(frozen=True)
class Progress:
    """Numbers for people."""

    answered: int
    """Effective answers to queries."""
    open: int
    """Queries that somebody should still answer, leased ones included."""
    leased: int
    """Open queries that somebody is looking at now."""
    withdrawn: int
    retracted: int
    per_minute: float
    """Answers per minute over the window asked for."""


@dataclass(frozen=True)
class Annotator:
    """Who answers."""

    name: str
    kind: str
    """``person``, ``teacher`` or ``recorded``."""
    details: dict[str, Any]
    since: float
    answers: int
    """Effective answers of every kind."""


def _check_texts(draft: QueryDraft | AnswerDraft, fields: tuple[str, ...]) -> None:
    """No database takes every Python string: NUL and lone surrogates are refused here, by the name of the field."""
    for name in fields:
        value = getattr(draft, name)
        if value is None:
            continue
        if not isinstance(value, str) or "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{type(draft).__name__}.{name} must be text without NUL or surrogates, got {value!r}")


def _check_integers(draft: QueryDraft | AnswerDraft, fields: tuple[str, ...]) -> None:
    for name in fields:
        value = getattr(draft, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31):
            raise ValueError(f"{type(draft).__name__}.{name} must be an integer in [0, 2**31), got {value!r}")


def check_name(name: str) -> None:
    """Raises ``ValueError`` unless ``name`` can name an annotator: 1 to 100 printable characters, no space at either end."""
    if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable() or name != name.strip():
        raise ValueError(f"an annotator's name must have 1 to 100 printable characters and no space at either end, got {name!r}")


_ORDERS = {json.dumps(order): order for size in range(4) for order in permutations(range(size))}
"""The orders of few places by their JSON: nearly all that there are."""


class Row:
    """Strict access to one row of ``table``; every complaint names the table, the row and the field."""

    def __init__(self, store: str, table: str, values: Mapping[str, Any]) -> None:
        self._store, self._table, self._values = store, table, values

    def fail(self, field: str, problem: object) -> UserError:
        """The complaint about one field."""
        row = self._values.get("id", self._values.get("name"))
        where = f"{self._store}: table {self._table}, row {row!r}"
        return UserError(f"{where}, field {field}: {problem}; the store was changed by hand or is damaged: restore it from a copy")

    def integer(self, field: str, low: int = 0) -> int:
        """An integer of at least ``low``."""
        value = self._values[field]
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.fail(field, f"expected an integer of at least {low}, got {value!r}")
        return value

    def number(self, field: str) -> float:
        """A finite number."""
        value = self._values[field]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.fail(field, f"expected a finite number, got {value!r}")
        return float(value)

    def text(self, field: str) -> str:
        """Text."""
        value = self._values[field]
        if not isinstance(value, str):
            raise self.fail(field, f"expected text, got {value!r}")
        return value

    def boolean(self, field: str) -> bool:
        """True or False."""
        value = self._values[field]
        if value not in (True, False):
            raise self.fail(field, f"expected a truth value, got {value!r}")
        return bool(value)

    def missing(self, field: str) -> bool:
        """Whether the field is NULL."""
        return self._values[field] is None

    def permutation(self, field: str, size: int) -> tuple[int, ...]:
        """JSON list holding each of ``0..size-1`` once."""
        known = _ORDERS.get(self._values[field])
        if known is not None and len(known) == size:
            return known
        entries = self.json(field)
        if not isinstance(entries, list) or any(type(entry) is not int for entry in entries) or sorted(entries) != list(range(size)):
            raise self.fail(field, f"expected an order of {size} places, got {entries!r}")
        return tuple(entries)

    def json(self, field: str) -> Any:
        """Any JSON value."""
        try:
            return parse_json(self.text(field))
        except ValueError as error:
            raise self.fail(field, f"not valid JSON: {error}") from error


def read_query(row: Row, clips: tuple[Clip, ...]) -> Query:
    """A query from its row and its clips."""
    kind = row.text("kind")
    low, high = CLIPS_PER_KIND.get(kind, (1, 0))
    if len(clips) < low or (high is not None and len(clips) > high):
        raise row.fail("kind", f"{kind!r} with {len(clips)} clips is no known kind of query")
    return Query(
        id=row.integer("id", 1),
        kind=kind,
        clips=clips,
        display=row.permutation("display", len(clips)),
        strategy=row.text("strategy"),
        acquisition=None if row.missing("acquisition") else row.number("acquisition"),
        session=row.text("session"),
        iteration=row.integer("iteration"),
        policy_version=row.text("policy_version"),
        reward_version=row.text("reward_version"),
        control=row.boolean("control"),
        wanted=row.integer("wanted", 1),
        replay_id=None if row.missing("replay_id") else row.text("replay_id"),
        step=None if row.missing("step") else row.integer("step"),
        recent_return=None if row.missing("recent_return") else row.number("recent_return"),
        recent_length=None if row.missing("recent_length") else row.number("recent_length"),
        key=None if row.missing("key") else row.text("key"),
        posted_at=row.number("posted_at"),
        withdrawn=not row.missing("withdrawn_at"),
        leased_by=None if row.missing("leased_by") else row.text("leased_by"),
        leased_until=None if row.missing("leased_until") else row.number("leased_until"),
    )


_value = lru_cache(maxsize=4096)(from_json)
"""People say the same few things again and again, and what they say never changes."""


def read_answer(row: Row) -> Answer:
    """An answer from its row."""
    display = row.json("display")
    size = len(display) if isinstance(display, list) else 0
    try:
        value = _value(row.text("kind"), row.text("payload"))
    except ValueError as error:
        raise row.fail("payload", error) from error
    if isinstance(value, Ranking) and value.ranks and len(value.ranks) != size:
        raise row.fail("payload", f"{len(value.ranks)} ranks for {size} clips")
    return Answer(
        id=row.integer("id", 1),
        uuid=row.text("uuid"),
        query_id=None if row.missing("query_id") else row.integer("query_id", 1),
        annotator=row.text("annotator"),
        value=value,
        display=row.permutation("display", size),
        replay_id=None if row.missing("replay_id") else row.text("replay_id"),
        episode=None if row.missing("episode") else row.text("episode"),
        step=None if row.missing("step") else row.integer("step"),
        shown_at=row.number("shown_at"),
        answered_at=row.number("answered_at"),
        received_at=row.number("received_at"),
        session=None if row.missing("session") else row.text("session"),
    )
