"""The report of one run: what it was, how it went, every metric it wrote, and what it ran on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.experiment import answering_report, figures
from rlhf_games.experiment.glossary import GROUPS, agent_meanings, grouped, meaning
from rlhf_games.experiment.metrics import read_metrics, series
from rlhf_games.experiment.report import Clip, Picture, Table, number, write_report
from rlhf_games.experiment.rundir import RunDirectory, Status
from rlhf_games.feedback.store import Store

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pgx", "ale-py", "gymnasium", "pettingzoo")


def write_run_report(run: RunDirectory, path: str | Path | None = None, clips: Sequence[Clip] = (), *, questions: bool = True) -> Path:
    """Writes the report of a run, also of one that still goes on. It shows true scores: it is for researchers, not for those who answer.

    Args:
      run: the run.
      path: of the HTML file; ``report.html`` in the run's folder by default.
      clips: play to show, above the figures.
      questions: show answered questions as clips too; their games are played again.

    Raises:
      UserError: the run has written no metrics yet.
    """
    lines = read_metrics(run.metrics_path)
    if not lines:
        raise UserError(f"{run.path} has no metrics yet: wait until its first iteration is done")
    answers = _answers(run, questions)
    names = [name for name in dict.fromkeys(name for line in lines for name in line) if name not in ("step", "time")]
    return write_report(
        path or run.path / "report.html",
        str(run.config.get("name") or run.path.resolve().name),
        [_story(run.status, lines), *answers.notes],
        [*_pictures(lines, names), *answers.pictures],
        [*_result(run), *answers.tables, _last_values(lines, names, _agent(run)), *_background(run)],
        [*clips, *answers.clips],
        subtitle="  ·  ".join(_facts(run, lines)),
    )


class _Answers(NamedTuple):
    """What the report says about answers."""

    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    clips: Sequence[Clip] = ()
    notes: Sequence[str] = ()


def _answers(run: RunDirectory, questions: bool) -> _Answers:
    """From the run's store, wherever it is; where it cannot be read, the report says so and goes on without it."""
    try:
        with Store.open(run.path, create=False, read_only=True) as store:
            session = store.session or str(run.config.get("name"))
            rows = answering_report.answers_of(store, session)
            shown, note = answering_report.clips_of(run, store, session) if questions and rows else ([], "")
    except UserError as error:
        return _Answers(notes=[f"Answers cannot be shown: {error}"])
    drawn = answering_report.picture(rows)
    return _Answers(answering_report.tables(rows), [drawn] if drawn else [], shown, [note] if note else [])


def _agent(run: RunDirectory) -> dict[str, str]:
    """What the run's agent says about its own metrics."""
    choice = run.config.get("agent")
    return agent_meanings(str(choice.get("name"))) if isinstance(choice, Mapping) else {}


def _pictures(lines: list[dict[str, Any]], names: Sequence[str]) -> list[Picture]:
    curves = {name: series(lines, name) for name in names}
    curves = {name: (steps, values) for name, (steps, values) in curves.items() if np.isfinite(values).any()}
    pictures = []
    if "true_return" in curves:
        curve = curves["true_return"]

        def draw_return(theme: figures.Theme) -> Any:
            return figures.learning_curves({"this run": [curve]}, title="True return", measure="mean of whole episodes", theme=theme)

        pictures.append(
            Picture.drawn("What the game itself paid; the agent learns from it only where the experiment says so.", draw_return)
        )
    captions = dict(GROUPS)
    for group, members in grouped([name for name in curves if name != "true_return"]).items():

        def draw_group(theme: figures.Theme, group: str = group, members: list[str] = members) -> Any:
            title = group.replace("_", " ").capitalize()
            return figures.panels({name.removeprefix(group + "/"): curves[name] for name in members}, title=title, theme=theme)

        pictures.append(Picture.drawn(captions.get(group, f"Metrics named {group}/…"), draw_group))
    return pictures


def _story(status: Status, lines: list[dict[str, Any]]) -> str:
    """What happened, in a sentence or two."""
    how = {
        "created": "The run has not begun",
        "running": "The run is still going on",
        "finished": "The run finished",
        "stopped": "The run was stopped",
        "failed": "The run failed",
        "died": "The run broke off",
    }[status.state]
    ended = f"{how}{f' ({status.reason})' if status.reason else ''}; this report ends at step {number(lines[-1]['step'])}."
    steps, values = series(lines, "true_return")
    finite = np.flatnonzero(np.isfinite(values))
    if not finite.size:
        return ended
    first, last, best = finite[0], finite[-1], finite[np.argmax(values[finite])]
    went = f"The true return went from {number(float(values[first]))} to {number(float(values[last]))}"
    return f"{ended} {went}; the highest was {number(float(values[best]))} at step {number(int(steps[best]))}."


def _facts(run: RunDirectory, lines: list[dict[str, Any]]) -> Iterator[str]:
    for name in ("game", "agent"):
        choice = run.config.get(name)
        known = choice.get("name") if isinstance(choice, Mapping) else choice
        if known:
            yield str(known)
    if "seed" in run.config:
        yield f"seed {run.config['seed']}"
    yield f"{number(lines[-1]['step'])} steps"
    if all("time" in line for line in lines) and len(lines) > 1:
        yield str(timedelta(seconds=round(lines[-1]["time"] - lines[0]["time"])))


def _result(run: RunDirectory) -> list[Table]:
    """The summary, once there is one: among others the evaluation over whole episodes."""
    summary = run.summary
    return [] if summary is None else [Table("Result", ("measure", "value"), list(_flat(summary)))]


def _last_values(lines: list[dict[str, Any]], names: Sequence[str], agent: Mapping[str, str]) -> Table:
    rows: list[tuple[object, ...]] = []
    for name in names:
        _, values = series(lines, name)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
        rows.append((name, None if math.isnan(values[-1]) else float(values[-1]), low, high, meaning(name, agent)))
    return Table("Metrics: last value, range, and what they mean", ("metric", "last", "lowest", "highest", "meaning"), rows)


def _background(run: RunDirectory) -> list[Table]:
    """Configuration, seeds and versions, folded away."""
    about = run.versions
    packages = about.get("packages", {})
    surroundings: list[tuple[object, ...]] = [
        (name, str(about[name])) for name in ("python", "platform", "device", "processors") if name in about
    ]
    surroundings += [(name, packages[name]) for name in _PACKAGES if name in packages]
    surroundings += [
        (source["folder"], source["commit"] + (" and changes" if source["changed"] else "")) for source in about.get("sources", [])
    ]
    return [
        Table("Configuration", ("setting", "value"), [(name, str(value)) for name, value in _flat(run.config)], folded=True),
        Table("Seeds", ("seed", "value"), [(name, str(value)) for name, value in _flat(run.seeds)], folded=True),
        Table("What it ran on", ("part", "version"), surroundings, folded=True),
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
