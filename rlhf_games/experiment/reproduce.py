"""Runs a finished experiment again and compares number by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import Interruption, Report, create_run, execute, experiment_of
from rlhf_games.feedback.store import Store

_CLOCK = ("time", "seconds")
"""Numbers that no repetition brings back."""


@dataclass(frozen=True)
class Comparison:
    """What came of a repetition."""

    numbers: int
    """Compared, one by one."""
    differences: tuple[str, ...]
    """In words, first the first; empty where all numbers are the same."""
    surroundings: tuple[str, ...]
    """What the run was made on and is different here: packages, commits, devices."""


def reproduce(run: RunDirectory, folder: str | Path, report: Report, interruption: Interruption) -> Comparison | None:
    """Does the experiment of ``run`` again in a new folder and compares metrics and summary.

    Returns:
      What came of it; None where it was stopped before its end (the new folder can be resumed, and compared with `compare`).

    Raises:
      UserError: the run is not finished, or people (or chance) had a part in it, so that it cannot be repeated.
    """
    check_repeatable(run)
    again = create_run(experiment_of(run), folder)
    return None if execute(again, report, interruption) is None else compare(run, again)


def check_repeatable(run: RunDirectory) -> None:
    """Refuses what cannot come out the same again.

    Raises:
      UserError: saying why.
    """
    experiment = experiment_of(run)
    if run.status.state != "finished":
        raise UserError(f"{run.path} is {run.status.state}, not finished: rlhf-games resume {run.path} first")
    if experiment.learns_from_people and experiment.feedback.teacher == "human":
        raise UserError(f"{run.path} was taught by people, who cannot be run again; only runs with a scripted teacher can")
    if experiment.learns_from_people and experiment.feedback.mode != "wait":
        raise UserError(f"{run.path} ran in mode {experiment.feedback.mode!r}, where answers come when they come; only mode 'wait' repeats")
    with Store.open(run.path, create=False, read_only=True) as store:
        ids = store.query_ids(session=store.session)
    if ids != list(range(1, len(ids) + 1)):
        raise UserError(
            f"{run.path} shared its store with others while it learned: chance depends on the numbers of questions, which were theirs too; "
            "only a run that asked the first questions of its store can be repeated"
        )


def compare(first: RunDirectory, second: RunDirectory) -> Comparison:
    """Compares two runs of the same experiment: every metric of every step, the summary, and every answer; times do not count."""
    count, found = _compare_metrics(read_metrics(first.metrics_path), read_metrics(second.metrics_path))
    more, late = _compare_lines("summary.json", first.summary or {}, second.summary or {})
    said, otherwise = _compare_answers(first.path, second.path)
    return Comparison(count + more + said, tuple(found + late + otherwise), tuple(_surroundings(first.versions, second.versions)))


def _compare_metrics(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    count = 0
    found: list[str] = []
    for one, other in zip(first, second, strict=False):
        numbers, differences = _compare_lines(f"metrics.jsonl, step {one['step']}", one, other)
        count, found = count + numbers, found + differences
    if len(first) != len(second):
        found.append(f"metrics.jsonl: {len(first)} lines before, {len(second)} now")
    return count, found


def _compare_answers(first: Path, second: Path) -> tuple[int, list[str]]:
    """Every answer in its order: who gave it to which question, what it says of which clips on which side, and whether it stands."""
    one, other = (_said(folder) for folder in (first, second))
    found = [
        f"store, answer {number}: {name} was {a[name]!r}, now {b[name]!r}"
        for number, (a, b) in enumerate(zip(one, other, strict=False), start=1)
        for name in a
        if a[name] != b[name]
    ]
    if len(one) != len(other):
        found.append(f"store: {len(one)} answers before, {len(other)} now")
    return sum(len(entry) for entry in one), found


def _said(folder: Path) -> list[dict[str, Any]]:
    with Store.open(folder, create=False, read_only=True) as store:
        history = store.history()
        queries = {query.id: query for query in store.queries(sorted({a.query_id for a, _ in history if a.query_id is not None}))}
    found = []
    for answer, taken_back in history:
        query = None if answer.query_id is None else queries[answer.query_id]
        about = (answer.episode, answer.replay_id, answer.step) if query is None else (query.iteration, query.control)
        shown = [[(segment.start, segment.length) for segment in clip.segments] for clip in query.clips] if query is not None else []
        found.append(
            {
                "annotator": answer.annotator,
                "question": about,
                "clips": shown,
                "display": answer.display,
                "answer": answer.value,
                "taken back": taken_back is not None,
            }
        )
    return found


def _compare_lines(where: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[int, list[str]]:
    names = [name for name in {**one, **other} if name.partition("/")[0] not in _CLOCK]
    missing = "nothing"
    found = [
        f"{where}: {name} was {one.get(name, missing)!r}, now {other.get(name, missing)!r}"
        for name in names
        if one.get(name, missing) != other.get(name, missing)
    ]
    return len(names), found


def _surroundings(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name in {**first, **second}:
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _surroundings(one, other, f"{prefix}{name}.")
        elif one != other:
            found.append(f"{prefix}{name}: {one!r} then, {other!r} now")
    return found
