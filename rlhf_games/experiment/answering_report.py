"""What a report says about answers: who gave them, how they agree, how they are distributed, and questions as they were shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import combinations
from typing import Any

import numpy as np

from rlhf_games import workspace
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import Game
from rlhf_games.experiment import figures
from rlhf_games.experiment.films import SEAM_WORDS, Pictures, side_by_side, with_ends
from rlhf_games.experiment.report import Clip, Picture, Table
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.feedback.export import exported
from rlhf_games.feedback.labels import ASKED, PairLabel, RankingLabel, RatingLabel, asked_label
from rlhf_games.feedback.store import Answer, Query, Store
from rlhf_games.feedback.teachers import clip_rewards
from rlhf_games.replay.cut import clip_ends
from rlhf_games.replay.frames import FrameReader
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay

_SHOWN = 4
"""Answered questions that a report shows, evenly from the first to the last."""

Row = Mapping[str, Any]
"""An answer as `rlhf_games.feedback.export.exported` gives it."""


def answers_of(store: Store, session: str) -> list[Row]:
    """What counts for a run: answers to its own questions and what was said unasked, those taken back too."""
    return [row for row in exported(store) if row["session"] in (None, session)]


def tables(rows: Sequence[Row]) -> list[Table]:
    """Annotators, how pairs of them agree, and what was answered."""
    standing = [row for row in rows if row["retracted_at"] is None]
    found = [_annotators(rows, standing)] if rows else []
    if agreement := _agreement(standing):
        found.append(agreement)
    return found + ([_distribution(standing)] if standing else [])


def picture(rows: Sequence[Row]) -> Picture | None:
    """How often each answer was given; None where nothing was asked about."""
    counts = distribution([row for row in rows if row["retracted_at"] is None])
    if not counts:
        return None
    caption = "How often each answer was given. Sides are as they were shown: left and right should be about as frequent."
    shown = {f"{kind}: {answer}": count for (kind, answer), count in counts.items()}
    return Picture.drawn(caption, lambda theme: figures.bars(shown, title="Answers", measure="answers that stand", theme=theme))


def distribution(standing: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Answers that stand by kind and content, in a fixed order: a tie is one content, whichever clips it is about."""
    counts = Counter((row["kind"], _content(row)) for row in standing)
    return dict(sorted(counts.items()))


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Agreement of two annotators beyond chance: 1 always, 0 as often as by chance (Cohen 1960); None where both always say the same."""
    share = float(np.mean([a == b for a, b in zip(first, second, strict=True)]))
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[word] * theirs[word] for word in ours) / len(first) ** 2
    return None if chance == 1.0 else (share - chance) / (1.0 - chance)


def _content(row: Row) -> str:
    value = row["value"]
    match row["kind"]:
        case "preference":
            much = "much " if value["strength"] == 2 else ""
            words = {"left": f"left {much}better", "right": f"right {much}better", "equal": "equal", "unsure": "can't tell"}
            return words[value["choice"]]
        case "ranking":
            return "can't tell" if not value["ranks"] else "with ties" if len(set(value["ranks"])) < len(value["ranks"]) else "without ties"
        case "rating":
            return "can't tell" if value["stars"] is None else f"{value['stars']} of 5"
        case "evaluation":
            return "good" if value["value"] > 0 else "bad"
        case "question":
            return str(value["aspect"])
    return "given"


def _annotators(rows: Sequence[Row], standing: Sequence[Row]) -> Table:
    found = []
    for name in dict.fromkeys(row["annotator"] for row in rows):
        mine = [row for row in standing if row["annotator"] == name]
        person = any(row["annotator_kind"] == "person" for row in rows if row["annotator"] == name)
        asked = [row for row in mine if row["query_id"] is not None]
        times = [row["response_seconds"] for row in asked] if person else []
        unsure = sum(row["meant"] in (None, "unsure") for row in asked)
        middle, late = np.quantile(times, [0.5, 0.9]).tolist() if times else (None, None)
        kind = next(row["annotator_kind"] for row in rows if row["annotator"] == name)
        taken_back = sum(row["annotator"] == name for row in rows) - len(mine)
        found.append((name, kind, len(asked), len(mine) - len(asked), taken_back, unsure, middle, late))
    header = ("annotator", "kind", "asked", "unasked", "taken back", "can't tell", "seconds", "90 %")
    return Table("Annotators: answers that stand, and seconds from seeing to answering (median, and nine of ten within)", header, found)


def _agreement(standing: Sequence[Row]) -> Table | None:
    """Pairs of annotators who answered the same questions."""
    said: dict[str, dict[int, str]] = {}
    for row in standing:
        if row["query_id"] is not None:
            said.setdefault(row["annotator"], {})[row["query_id"]] = str(row["meant"])
    found = []
    for one, other in combinations(said, 2):
        if both := sorted(said[one].keys() & said[other].keys()):
            first, second = ([said[name][query] for query in both] for name in (one, other))
            share = sum(a == b for a, b in zip(first, second, strict=True)) / len(both)
            found.append((f"{one}, {other}", len(both), share, cohen_kappa(first, second)))
    caption = "Agreement on questions that both answered: share of equal answers, and Cohen's κ (0 by chance, 1 always)"
    return Table(caption, ("annotators", "questions", "equal", "κ"), found) if found else None


def _distribution(standing: Sequence[Row]) -> Table:
    counts = distribution(standing)
    totals = Counter(row["kind"] for row in standing)
    rows = [(kind, answer, count, count / totals[kind]) for (kind, answer), count in counts.items()]
    return Table("Answers that stand, as they were shown", ("kind", "answer", "count", "share of the kind"), rows)


def question_clips(store: Store, session: str, game: Game, length: int, count: int = _SHOWN) -> Iterator[Clip]:
    """Answered questions of a session as they were shown, with the answer and the true score of each clip: for researchers, not for judges.

    Args:
      store: of the run.
      session: whose questions.
      game: that the run played.
      length: steps of a clip.
      count: how many, evenly from the first to the last; questions that were answered "can't tell" are left out.
    """
    answers = [answer for answer in store.answers(kinds=ASKED).answers if answer.query_id is not None]
    queries = {query.id: query for query in store.queries(list(dict.fromkeys(answer.query_id or 0 for answer in answers)))}
    clear = [(answer, queries[answer.query_id or 0]) for answer in answers if queries[answer.query_id or 0].session == session]
    clear = [(answer, query) for answer, query in clear if asked_label(answer, query) is not None]
    places = sorted({round(place) for place in np.linspace(0, len(clear) - 1, min(count, len(clear))).tolist()})
    steps = ClipReader(game, store.replay)
    with closing(FrameReader(game, store.replay)) as films:
        for place in places:
            answer, query = clear[place]
            scores = [float(np.sum(rewards)) for rewards in clip_rewards(steps.read(query.clips, length))]
            origin = f"iteration {query.iteration}, {query.strategy or 'by hand'}"
            caption = f"Answer {place + 1} of {len(clear)} ({answer.kind}, {origin}), by {answer.annotator}: {_said(answer, query)}."
            yield f"{caption} {SEAM_WORDS}", answered(answer, query, films, scores, store.replay), films.fps / 2


def answered(answer: Answer, query: Query, films: FrameReader, scores: Sequence[float], fetch_replay: Callable[[str], Replay]) -> Pictures:
    """The clips of a question side by side as they were shown, the best one framed, each with its place in the answer and its score.

    Where an episode ends, a clip has an amber edge (`SEAM_WORDS`). Made to be shown at half speed.

    Args:
      answer: which was not "can't tell".
      query: what was asked.
      films: draws clips.
      scores: true score of each clip, in canonical order.
      fetch_replay: gives the replays of the clips.
    """
    words, best = _verdict(answer, query)
    headers = [f"{words[index]} · scored {scores[index]:g}" for index in query.display]
    marked = None if best is None else query.display.index(best)
    shown = [query.clips[index] for index in query.display]
    return side_by_side([with_ends(films.film(clip), films.fps / 2, clip_ends(clip, fetch_replay)) for clip in shown], headers, marked)


def _verdict(answer: Answer, query: Query) -> tuple[list[str], int | None]:
    """Words for each clip in canonical order, and which one is best; None where none is."""
    match asked_label(answer, query):
        case PairLabel(kind="tie"):
            return ["equal", "equal"], None
        case PairLabel(kind=kind):
            return (["better", "worse"], 0) if kind == "first" else (["worse", "better"], 1)
        case RankingLabel(ranks=ranks):
            return [f"rank {rank + 1}" for rank in ranks], ranks.index(0) if ranks.count(0) == 1 else None
        case RatingLabel(stars=stars):
            return [f"{stars} of 5"], None
    raise ValueError(f"answer {answer.id} says nothing about clips")


def _said(answer: Answer, query: Query) -> str:
    words, best = _verdict(answer, query)
    if answer.kind == "preference":
        return "the framed clip is better" if best is not None else "both are equal"
    return "the order is written above the clips" if answer.kind == "ranking" else f"{words[0]} stars"


def clips_of(run: RunDirectory, store: Store, session: str) -> tuple[list[Clip], str]:
    """Questions of a run's session as they were shown; or none, and why its game cannot be loaded or played again."""
    game, query = run.config.get("game"), run.config.get("feedback", {}).get("query", {})
    if not isinstance(game, Mapping) or "clip_length" not in query:
        return [], ""
    try:
        loaded = workspace.load_game(str(game.get("name")), game.get("options", {}))
        return list(question_clips(store, session, loaded, int(query["clip_length"]))), ""
    except UserError as error:
        return [], f"Questions cannot be shown as clips: {error}"
