"""The report of one run: what it was, how it went, every metric it wrote, and what it ran on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.experiment import figures
from rlhf_games.experiment.metrics import read_metrics, series
from rlhf_games.experiment.report import Clip, Picture, Table, number, write_report
from rlhf_games.experiment.rundir import RunDirectory, Status

GROUPS: tuple[tuple[str, str], ...] = (
    ("reward_model", "The reward model: losses and measures of each fit."),
    ("feedback", "What people (or a scripted teacher) have said."),
    ("agent", "The learner."),
    ("seconds", "Seconds that each part of an iteration took."),
)
"""Groups of metrics in the order in which they are shown, with their captions; any other prefix comes after them."""

_FEEDBACK = ("answers", "labels", "queries")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pgx", "ale-py", "gymnasium", "pettingzoo")


def write_run_report(run: RunDirectory, path: str | Path | None = None, clips: Sequence[Clip] = ()) -> Path:
    """Writes the report of a run, also of one that still goes on.

    Args:
      run: the run.
      path: of the HTML file; ``report.html`` in the run's folder by default.
      clips: play to show, above the figures.

    Raises:
      UserError: the run has written no metrics yet.
    """
    lines = read_metrics(run.metrics_path)
    if not lines:
        raise UserError(f"{run.path} has no metrics yet: wait until its first iteration is done")
    names = [name for name in dict.fromkeys(name for line in lines for name in line) if name not in ("step", "time")]
    return write_report(
        path or run.path / "report.html",
        str(run.config.get("name") or run.path.resolve().name),
        [_story(run.status, lines)],
        _pictures(lines, names),
        [*_result(run), _last_values(lines, names), *_background(run)],
        clips,
        subtitle="  ·  ".join(_facts(run, lines)),
    )


def grouped(names: Sequence[str]) -> dict[str, list[str]]:
    """Metrics by group, in the order of the report; ``true_return`` has a figure of its own and is left out."""
    found: dict[str, list[str]] = {group: [] for group, _ in GROUPS}
    for name in names:
        prefix, slash, _ = name.partition("/")
        group = prefix if slash else "feedback" if name in _FEEDBACK else "agent"
        if name != "true_return":
            found.setdefault(group, []).append(name)
    return {group: members for group, members in found.items() if members}


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
    for group, members in grouped(list(curves)).items():

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


def _last_values(lines: list[dict[str, Any]], names: Sequence[str]) -> Table:
    rows: list[tuple[object, ...]] = []
    for name in names:
        _, values = series(lines, name)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
        rows.append((name, None if math.isnan(values[-1]) else float(values[-1]), low, high))
    return Table("Last values", ("metric", "last", "lowest", "highest"), rows)


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
