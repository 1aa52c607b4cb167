"""From preference answers as they were shown to labels a learner can use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import Answer, Query, Store
from rlhf_games.replay.clip import Clip


@dataclass(frozen=True)
class PairLabel:
    """One annotator's verdict on a pair of clips, in the query's canonical order, whichever side each was shown on."""

    query_id: int
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

    def __init__(self, store: Store, session: str | None = None) -> None:
        """``session``: only answers to queries of this session; None: all."""
        self._store, self._session = store, session
        self._labels: dict[int, PairLabel | None] = {}
        self._cursor = 0

    @property
    def labels(self) -> tuple[PairLabel, ...]:
        """All labels that stand, in the order of their answers."""
        return tuple(label for label in self._labels.values() if label is not None)

    @property
    def answered(self) -> int:
        """Preference answers that stand, "can't tell" included: what a budget of questions is counted in."""
        return len(self._labels)

    def poll(self) -> bool:
        """Reads what is new; returns whether ``labels`` or ``answered`` changed."""
        page = self._store.answers(self._cursor, kinds=("preference",))
        self._cursor = page.cursor
        gone = [answer_id for answer_id in page.retracted if answer_id in self._labels]
        for answer_id in gone:
            del self._labels[answer_id]
        ids = list(dict.fromkeys(answer.query_id for answer in page.answers if answer.query_id is not None))
        queries = {query.id: query for query in self._store.queries(ids)} if ids else {}
        count = len(self._labels)
        for answer in page.answers:
            query = None if answer.query_id is None else queries[answer.query_id]
            if query is not None and self._session in (None, query.session):
                self._labels[answer.id] = pair_label(answer, query)
        return bool(gone) or len(self._labels) > count
