"""All answers of a store as rows that can be analysed alone, and the codebook that says what is in them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from rlhf_games.feedback.answers import Preference, Ranking, Rating
from rlhf_games.feedback.store import Answer, Query, Store
from rlhf_games.replay.clip import Clip


class Column(NamedTuple):
    """One column of the export."""

    name: str
    values: str
    """What kind of values, with unit and range."""
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("id", "integer", "Number of the answer; grows with time."),
    Column("uuid", "text", "Made by the annotator's program, once per answer."),
    Column("kind", "text", "preference, ranking, rating, evaluation, takeover, demonstration, advice or question."),
    Column("annotator", "text", "Who answered; a pseudonym where --pseudonyms was given."),
    Column("annotator_kind", "text", "person, teacher (scripted) or recorded (said again from another run)."),
    Column("game", "text", "family/game of what was shown."),
    Column("query_id", "integer or null", "Which question; null for what was said unasked."),
    Column("session", "text or null", "The run (or session) that asked, or that an unasked answer belongs to; null: to all."),
    Column("iteration", "integer or null", "Iteration of the run in which it was asked, from 0."),
    Column("strategy", "text or null", "How the question's clips were chosen."),
    Column("acquisition", "number or null", "What the strategy thought the answer was worth; null where clips were drawn at random."),
    Column("control", "true, false or null", "Chosen uniformly beside another strategy, to measure; never trained on."),
    Column("policy_version", "text or null", "The policy that played the clips: run/iteration."),
    Column("wanted", "integer or null", "Different annotators who were to answer the question."),
    Column(
        "clips",
        "list",
        "The question's clips in canonical order (how they were stored, not how they were shown). Each has length (steps), seat (from 0) "
        "and segments, a list of {episode, start, length}: episode names the replay, start is its first step (from 0), length in steps.",
    ),
    Column("display", "list of integers", "As shown: display[place] is the number of the clip at that place; place 0 is left, or first."),
    Column(
        "value",
        "object",
        "The answer as shown: choice left or right, ranks by place (0 best), stars (1 to 5), value of a cheer or scolding (-1 to 1), ...",
    ),
    Column(
        "meant",
        "text, list, integer or null",
        "The answer to a question in canonical order, whichever side clips were shown on: first, second, tie or unsure; the ranks of the "
        "clips; stars. Null for what was said unasked, and where a ranking or rating was 'can't tell'.",
    ),
    Column("replay_id", "text or null", "Episode that an unasked answer is about."),
    Column("episode", "text or null", "The same, named while it was being played."),
    Column("step", "integer or null", "Step of that episode, from 0."),
    Column("shown_at", "seconds since 1970", "When it could first be seen (by the annotator's clock)."),
    Column("answered_at", "seconds since 1970", "When it was answered (by the annotator's clock)."),
    Column("response_seconds", "seconds", "answered_at − shown_at; meaningful for people only."),
    Column("received_at", "seconds since 1970", "When the store had it (by the store's clock)."),
    Column("retracted_at", "seconds since 1970 or null", "When it was taken back; null where it stands."),
)
"""What an export has, in order."""


def exported(store: Store, *, pseudonyms: bool = False) -> list[dict[str, Any]]:
    """One row of JSON values for each answer ever given, oldest first, with the fields of ``COLUMNS``.

    Args:
      store: to read.
      pseudonyms: name annotators annotator-1, annotator-2, ... in the order of their first answers (the same in every export of the store).
    """
    history = store.history()
    ids = list(dict.fromkeys(answer.query_id for answer, _ in history if answer.query_id is not None))
    queries = {query.id: query for query in store.queries(ids)}
    games, kinds = store.replay_games(), {person.name: person.kind for person in store.annotators()}
    names = dict.fromkeys(answer.annotator for answer, _ in history)
    shown = {name: f"annotator-{number}" if pseudonyms else name for number, name in enumerate(names, 1)}
    rows = []
    for answer, taken_back in history:
        query = None if answer.query_id is None else queries[answer.query_id]
        row = _row(answer, query, games, taken_back)
        row |= {"annotator": shown[answer.annotator], "annotator_kind": kinds.get(answer.annotator, "person")}
        if pseudonyms:
            row["uuid"] = blake2b(answer.uuid.encode(), digest_size=8).hexdigest()
        rows.append({column.name: row[column.name] for column in COLUMNS})
    return rows


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV with a header; lists and objects are JSON, null is an empty cell, truth values are true and false."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in COLUMNS])
    writer.writerows([[_cell(row[column.name]) for column in COLUMNS] for row in rows])
    return buffer.getvalue()


def codebook(title: str) -> str:
    """What every column means, as Markdown."""
    lines = [f"| {column.name} | {column.values} | {column.meaning} |" for column in COLUMNS]
    head = (f"# Codebook of {title}", "", "One row is one answer, those taken back included.", "")
    return "\n".join([*head, "| column | values | meaning |", "|---|---|---|", *lines]) + "\n"


def _row(answer: Answer, query: Query | None, games: Mapping[str, str], taken_back: float | None) -> dict[str, Any]:
    row = {entry.name: getattr(answer, entry.name) for entry in dataclasses.fields(answer)}
    clips = () if query is None else query.clips
    replays = [segment.replay_id for clip in clips for segment in clip.segments]
    replays += [name for name in (answer.replay_id, None if query is None else query.replay_id) if name is not None]
    asked = ("iteration", "strategy", "acquisition", "control", "policy_version", "wanted")
    return row | {
        **{name: None if query is None else getattr(query, name) for name in asked},
        "session": answer.session if query is None else query.session,
        "kind": answer.kind,
        "value": dataclasses.asdict(answer.value),
        "game": next((games[name] for name in replays if name in games), None),
        "clips": [_clip(clip) for clip in clips],
        "meant": None if query is None else _meant(answer),
        "response_seconds": round(answer.answered_at - answer.shown_at, 6),
        "retracted_at": taken_back,
    }


def _clip(clip: Clip) -> dict[str, Any]:
    segments = [{"episode": segment.replay_id, "start": segment.start, "length": segment.length} for segment in clip.segments]
    return {"length": clip.length, "seat": clip.seat, "segments": segments}


def _meant(answer: Answer) -> Any:
    """An answer to a question in canonical order."""
    value = answer.value
    match value:
        case Preference("left" | "right"):
            return "first" if answer.display[0 if value.choice == "left" else 1] == 0 else "second"
        case Preference():
            return "tie" if value.choice == "equal" else "unsure"
        case Ranking(ranks) if ranks:
            return [ranks[answer.display.index(clip)] for clip in range(len(ranks))]
        case Rating():
            return value.stars
    return None


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
