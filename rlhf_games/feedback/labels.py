"""From answers as they were shown to labels a learner can use: canonical order, whichever side or place each clip was shown on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal, Protocol, TypeAlias

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Preference, Ranking, Rating
from rlhf_games.feedback.store import Answer, Query, Store
from rlhf_games.replay.clip import Clip

ASKED = ("preference", "ranking", "rating")
"""Kinds of answers to questions about clips."""
FREE = ("evaluation", "takeover", "demonstration", "rating")
"""Kinds of answers that people give by themselves."""
UNSOLICITED = 1 << 48
"""Added to an answer's id in place of a question's where nobody asked: unique, the oldest lowest, and above every question."""


@dataclass(frozen=True)
class PairLabel:
    """One annotator's verdict on a pair of clips, in the query's canonical order, whichever side each was shown on."""

    query_id: int
    """Of the question; unique and above all questions' where nobody asked."""
    answer_id: int
    annotator: str
    first: Clip
    second: Clip
    kind: Literal["first", "second", "tie"]
    """Which clip is better."""
    strength: int
    """1 better, 2 much better; 1 for a tie."""
    control: bool
    """The query was asked for a control arm."""
    source: Literal["preference", "takeover", "demonstration"] = "preference"
    """The kind of answer that it comes from."""
    part: int = 0
    """Number of the label among those of its answer."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Both."""
        return self.first, self.second


@dataclass(frozen=True)
class RankingLabel:
    """One annotator's order of several clips."""

    source: ClassVar[str] = "ranking"
    part: ClassVar[int] = 0
    query_id: int
    answer_id: int
    annotator: str
    clips: tuple[Clip, ...]
    """In the query's canonical order."""
    ranks: tuple[int, ...]
    """Rank of each of them: 0 best, equal numbers for a tie, no number left out."""
    control: bool


@dataclass(frozen=True)
class RatingLabel:
    """One annotator's stars for a clip."""

    source: ClassVar[str] = "rating"
    part: ClassVar[int] = 0
    query_id: int
    answer_id: int
    annotator: str
    clips: tuple[Clip, ...]
    """The clip."""
    stars: int
    """1 (worst) to 5."""
    control: bool


@dataclass(frozen=True)
class EvaluationLabel:
    """One annotator's cheer or scolding, and the steps that can be meant."""

    source: ClassVar[str] = "evaluation"
    part: ClassVar[int] = 0
    control: ClassVar[bool] = False
    query_id: int
    """Unique and above all questions'."""
    answer_id: int
    annotator: str
    clips: tuple[Clip, ...]
    """The steps that can be meant (`rlhf_games.feedback.credit.credited`)."""
    value: float
    """In [-1, 1], not 0."""
    credit: tuple[float, ...]
    """In [0, 1], one for each of these steps."""


class Label(Protocol):
    """What all labels have."""

    @property
    def source(self) -> str:
        """The kind of answer that it comes from."""

    @property
    def query_id(self) -> int:
        """What was asked; unique where nobody asked."""

    @property
    def answer_id(self) -> int:
        """The answer in the store."""

    @property
    def part(self) -> int:
        """Number of the label among those of its answer."""

    @property
    def annotator(self) -> str:
        """Who said it."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """What it is about."""

    @property
    def control(self) -> bool:
        """The question was drawn uniformly for the control arm."""


Asked: TypeAlias = PairLabel | RankingLabel | RatingLabel


def ties(label: Label) -> list[bool]:
    """Of each pair of clips that a question compared, whether they were called equal; nothing where nobody could have said so."""
    match label:
        case PairLabel(source="preference"):
            return [label.kind == "tie"]
        case RankingLabel():
            return [a == b for a, b in combinations(label.ranks, 2)]
    return []


class FreeLabels(Protocol):
    """Makes labels of answers that nobody asked for."""

    def labels_of(self, answers: Sequence[Answer]) -> list[tuple[Label, ...] | None]:
        """What each answer says to this run; nothing where it says nothing, None where that cannot be known yet."""


def asked_label(answer: Answer, query: Query) -> Asked | None:
    """The label of an answer to a question about clips; None where the annotator could not tell."""
    if answer.query_id != query.id or answer.kind != query.kind or sorted(answer.display) != list(range(len(query.clips))):
        raise UserError(f"answer {answer.id} ({answer.kind}) is no {query.kind} about query {query.id}: the store is damaged")
    match answer.value:
        case Preference():
            return pair_label(answer, query)
        case Ranking(()) | Rating(None):
            return None
        case Ranking(ranks) if len(ranks) == len(query.clips):
            canonical = tuple(ranks[answer.display.index(clip)] for clip in range(len(ranks)))
            return RankingLabel(query.id, answer.id, answer.annotator, query.clips, canonical, query.control)
        case Rating(int(stars)) if len(query.clips) == 1:
            return RatingLabel(query.id, answer.id, answer.annotator, query.clips, stars, query.control)
    raise UserError(
        f"answer {answer.id} ({answer.kind}) does not fit the {len(query.clips)} clips of query {query.id}: the store is damaged"
    )


def pair_label(answer: Answer, query: Query) -> PairLabel | None:
    """The label of a preference answer; None where the annotator could not tell."""
    value = answer.value
    if not isinstance(value, Preference) or answer.query_id != query.id or len(answer.display) != 2 or len(query.clips) != 2:
        raise UserError(f"answer {answer.id} ({answer.kind}) is no preference about query {query.id}: the store is damaged")
    if value.choice == "unsure":
        return None
    kind: Literal["first", "second", "tie"] = "tie"
    if value.choice != "equal":
        better = answer.display[0 if value.choice == "left" else 1]
        kind = "first" if better == 0 else "second"
    first, second = query.clips
    return PairLabel(query.id, answer.id, answer.annotator, first, second, kind, value.strength, query.control)


def pair_labels(answers: Iterable[Answer], queries: Mapping[int, Query]) -> list[PairLabel]:
    """Labels of all preference answers, in their order; answers of other kinds and "can't tell" give none."""
    found = [
        pair_label(answer, queries[answer.query_id]) for answer in answers if answer.kind == "preference" and answer.query_id is not None
    ]
    return [label for label in found if label is not None]


class LabelReader:
    """Follows a store: cheap to ask again and again, and it forgets what people take back."""

    def __init__(
        self, store: Store, session: str | None = None, free: FreeLabels | None = None, asked: Collection[int] | None = None
    ) -> None:
        """A reader at the beginning of the store.

        Args:
          store: to follow.
          session: only answers to queries of this session; None: all.
          free: makes labels of answers that nobody asked for; None: these are left alone.
          asked: ids of queries, which may change: answers to others do not count while they are not among them; None: all count.
        """
        self._store, self._session, self._free, self._counting = store, session, free, asked
        self._labels: dict[int, tuple[Label, ...]] = {}
        self._asked: dict[int, int] = {}
        """By answer: the query."""
        self._unclear: set[int] = set()
        self._cursor = 0

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels that stand, in the order of their answers."""
        return tuple(label for answer in sorted(self._labels) if self._counts(answer) for label in self._labels[answer])

    @property
    def answered(self) -> int:
        """Answers to questions about clips that stand, "can't tell" included: what a budget of questions is counted in."""
        return sum(map(self._counts, self._asked))

    def _counts(self, answer_id: int) -> bool:
        """Whether it answers a question that counts, or none."""
        return self._counting is None or answer_id not in self._asked or self._asked[answer_id] in self._counting

    @property
    def cursor(self) -> int:
        """Up to where the store's log of answers was read."""
        return self._cursor

    def poll(self) -> bool:
        """Reads what is new; returns whether ``labels`` or ``answered`` changed."""
        page = self._store.answers(self._cursor, kinds=ASKED if self._free is None else tuple(dict.fromkeys(ASKED + FREE)))
        self._cursor = page.cursor
        gone = [answer_id for answer_id in page.retracted if answer_id in self._labels or answer_id in self._unclear]
        for answer_id in gone:
            self._labels.pop(answer_id, None)
            self._asked.pop(answer_id, None)
            self._unclear.discard(answer_id)
        count = len(self._labels)
        self._take_asked([answer for answer in page.answers if answer.query_id is not None])
        again = self._store.answers_about(self._unclear) if self._unclear else ()
        self._take_free([*again, *(answer for answer in page.answers if answer.query_id is None)])
        return bool(gone) or len(self._labels) > count

    def _take_asked(self, answers: Iterable[Answer]) -> None:
        found = list(answers)
        ids = list(dict.fromkeys(answer.query_id for answer in found if answer.query_id is not None))
        queries = {query.id: query for query in self._store.queries(ids)} if ids else {}
        for answer in found:
            query = queries[answer.query_id or 0]
            if self._session in (None, query.session):
                label = asked_label(answer, query)
                self._labels[answer.id] = () if label is None else (label,)
                self._asked[answer.id] = query.id

    def _take_free(self, answers: Sequence[Answer]) -> None:
        if self._free is None or not answers:
            return
        for answer, labels in zip(answers, self._free.labels_of(answers), strict=True):
            if labels is None:
                self._unclear.add(answer.id)
            else:
                self._unclear.discard(answer.id)
                self._labels[answer.id] = labels
