"""A teacher that says again what was answered in another run.

The same seeds lead to the same questions as long as the same answers are given, so a run can be repeated exactly without the people who
answered it. Questions are recognised by what their clips show (`rlhf_games.replay.cut.same_steps`), not by their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeAlias

from rlhf_games.feedback.answers import AnswerValue, Preference, Ranking
from rlhf_games.feedback.store import Answer, AnswerDraft, Query, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.cut import same_steps

_PREFIX = "recorded:"
"""Before the names of those who had answered."""
_Content: TypeAlias = tuple[str, tuple[str, ...]]
"""What a question is about: its kind, and what its clips show, whatever their order."""


class _Said(NamedTuple):
    """A recorded answer."""

    answer: Answer
    shown: tuple[str, ...]
    """What the clips showed, by place."""


class RecordedTeacher:
    """Answers the queries of a store from what stands in another. Fulfils what the loop wants of `rlhf_games.feedback.teachers.Teacher`.

    A query that was not answered there stays unanswered, and one that wants more answers than were given there stays open: people may
    answer it still, but nobody is waited for.
    """

    def __init__(self, store: Store, source: str | Path, session: str | None = None) -> None:
        """Reads what was said.

        Args:
          store: whose questions are answered.
          source: the folder of a run, or a store; read once, now, and not changed.
          session: only questions of this session are answered; None: all.

        Raises:
          UserError: there is no such store.
        """
        self._store, self._session = store, session
        self.seen: set[int] = set()
        """Queries that it has looked at: whatever was said there about them is said, and those still wanted get no more from it."""
        self.silent: set[int] = set()
        """Queries that nobody answered there."""
        with Store.open(source, create=False, read_only=True) as other:
            self._said = _read(other)
            self._where = other.name
        for name in {said.answer.annotator for answers in self._said.values() for said in answers}:
            store.register(_annotator(name), "recorded", {"from": self._where, "annotator": name})

    @property
    def unmatched(self) -> int:
        """How many queries nobody answered there."""
        return len(self.silent)

    @property
    def matched(self) -> int:
        """Queries that got an answer (or several, where several people had answered), by an earlier process too."""
        mine = set(self._store.query_ids(session=self._session))
        said = {answer.query_id for answer in self._store.answers().answers if answer.annotator.startswith(_PREFIX)}
        return len(mine & said)

    def answer_pending(self, limit: int = 64) -> int:
        """Answers what it can of up to ``limit`` queries that it has not seen yet, oldest first; returns how many it saw."""
        wanted = self._store.query_ids(still_wanted=True, session=self._session)
        waiting = [query_id for query_id in wanted if query_id not in self.seen][:limit]
        queries = self._store.queries(waiting)
        drafts = []
        for query, shown in zip(queries, _shown(self._store, queries), strict=True):
            said = self._said.get(_content(query.kind, shown), ())
            drafts += [_draft(entry, query, shown) for entry in said]
            self.silent |= set() if said else {query.id}
        self._store.post_answers(drafts)
        self.seen.update(waiting)
        return len(waiting)


def _read(store: Store) -> dict[_Content, tuple[_Said, ...]]:
    """Everything that stands in a store, by question."""
    answers = [answer for answer in store.answers().answers if answer.query_id is not None]
    ids = list(dict.fromkeys(answer.query_id for answer in answers if answer.query_id is not None))
    queries = store.queries(ids)
    keys = dict(zip(ids, ((query, _keys(store, query)) for query in queries), strict=True))
    found: dict[_Content, tuple[_Said, ...]] = {}
    for answer in answers:
        assert answer.query_id is not None
        query, contents = keys[answer.query_id]
        shown = tuple(contents[index] for index in answer.display) or contents
        content = _content(query.kind, shown)
        found[content] = (*found.get(content, ()), _Said(answer, shown))
    return found


def _shown(store: Store, queries: Sequence[Query]) -> list[tuple[str, ...]]:
    """What each query shows, by place."""
    found = []
    for query in queries:
        contents = _keys(store, query)
        found.append(tuple(contents[index] for index in query.display) or contents)
    return found


def _keys(store: Store, query: Query) -> tuple[str, ...]:
    """What the clips of a query show, in canonical order; of a query about a state, that state."""
    clips = list(query.clips)
    if query.replay_id is not None and query.step is not None:
        clips.append(Clip((Segment(query.replay_id, query.step, 1),)))
    replays = store.replays([segment.replay_id for clip in clips for segment in clip.segments])
    return tuple(same_steps(clip, replays.__getitem__) for clip in clips)


def _content(kind: str, shown: Sequence[str]) -> _Content:
    return kind, tuple(sorted(shown))


def _draft(said: _Said, query: Query, shown: tuple[str, ...]) -> AnswerDraft:
    """The same answer to the query as it is shown now."""
    answer = said.answer
    uuid = blake2b(f"{answer.uuid} {query.id}".encode(), digest_size=16).hexdigest()  # said twice after a crash, it is stored once
    value = _as_shown(answer.value, said.shown, shown)
    return AnswerDraft(_annotator(answer.annotator), value, answer.shown_at, answer.answered_at, uuid, query_id=query.id)


def _as_shown(value: AnswerValue, before: tuple[str, ...], now: tuple[str, ...]) -> AnswerValue:
    """An answer about places, for other places."""
    if isinstance(value, Ranking) and value.ranks:
        return Ranking(tuple(value.ranks[before.index(key)] for key in now))
    if isinstance(value, Preference) and value.choice in ("left", "right"):
        better = before[0 if value.choice == "left" else 1]
        return Preference("left" if now[0] == better else "right", value.strength)
    return value


def _annotator(name: str) -> str:
    """What is said again is not said by the person: it must not count as theirs."""
    return f"{_PREFIX}{name}"[:100].rstrip()
