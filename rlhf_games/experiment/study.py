"""A study: the same experiment over several games, arms and seeds; every run in a folder of its own, so that it can be interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_games.config import from_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import Interruption, Report, create_run, execute
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.statistics import aggregate, normalised_ratio, probability_of_improvement
from rlhf_games.files import write_atomically


@dataclass(frozen=True)
class Variation:
    """Settings that make one game or one arm of a study."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the experiment, as in an experiment file; they go over the study's ``base``."""
    control: str = ""
    """Arms with the same word here are one control: the best of them by mean score counts (``constant`` rewards, say)."""


@dataclass(frozen=True)
class Study:
    """What a study file says."""

    name: str
    games: tuple[Variation, ...]
    arms: tuple[Variation, ...]
    """One must be called ``true``: it is what ratios are taken against."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """The same in all arms."""
    base: dict[str, Any] = field(default_factory=dict)
    """Settings that all runs share."""

    def __post_init__(self) -> None:
        if not self.games or not self.seeds:
            raise ValueError("a study needs at least one game and one seed")
        if "true" not in {arm.name for arm in self.arms}:
            raise ValueError("a study needs an arm called 'true', trained on the game's own score, to compare with")

    def experiment(self, game: Variation, arm: Variation, seed: int) -> Experiment:
        """The experiment of one run; raises ``UserError`` where its settings are wrong."""
        settings = merged(merged(self.base, game.settings), arm.settings)
        settings |= {"name": f"{game.name}/{arm.name}/{seed}", "seed": seed}
        return from_mapping(Experiment, settings, f"study {self.name!r}, game {game.name!r}, arm {arm.name!r}")


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    game: Variation
    arm: Variation
    seed: int


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables within tables; what is in ``over`` wins."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def cells(study: Study) -> Iterator[Cell]:
    """All runs: game by game (programs are compiled once for a game), within a game seed by seed, so that a part is a small whole."""
    for game in study.games:
        for seed in study.seeds:
            for arm in study.arms:
                yield Cell(game, arm, seed)


def run_study(study: Study, folder: Path, announce: Callable[[int, int, Cell], None], report: Report, interruption: Interruption) -> bool:
    """Does all runs that are not finished yet; returns False where it was interrupted.

    Args:
      study: what to do.
      folder: gets ``<game>/<arm>/<seed>``, each the folder of a run.
      announce: is told the number of a run, of how many, and which, before it begins.
      report: is told after each iteration of a run.
      interruption: asked between iterations and runs.

    Raises:
      UserError: a setting is wrong, or a folder holds another experiment than the study says.
    """
    todo = list(cells(study))
    bench: tuple[str, Bench] | None = None
    for number, cell in enumerate(todo):
        run = _run_folder(study, cell, folder)
        if run.status.state == "finished":
            continue
        if interruption():
            return False
        announce(number, len(todo), cell)
        experiment = study.experiment(cell.game, cell.arm, cell.seed)
        if bench is None or bench[0] != cell.game.name:
            bench = (cell.game.name, Bench(experiment))
            _random_return(study, cell, folder, bench[1])
        elif not bench[1].fits(experiment):  # an arm with another agent or another network
            bench = (cell.game.name, Bench(experiment))
        if execute(run, report, interruption, bench[1]) is None:
            return False
    return True


def _run_folder(study: Study, cell: Cell, folder: Path) -> RunDirectory:
    path = folder / cell.game.name / cell.arm.name / str(cell.seed)
    experiment = study.experiment(cell.game, cell.arm, cell.seed)
    if not (path / "config.json").exists():
        return create_run(experiment, path)
    run = RunDirectory.open(path)
    if from_mapping(Experiment, run.config, str(path)) != experiment:
        raise UserError(f"{path} holds a run of other settings than the study says now; use another folder, or delete that one")
    return run


def _random_return(study: Study, cell: Cell, folder: Path, bench: Bench) -> None:
    """Plays the untrained policy (nearly uniform) once per game."""
    path = folder / cell.game.name / "random.json"
    if path.exists():
        return
    experiment = study.experiment(cell.game, cell.arm, cell.seed)
    episodes = bench.trainer.evaluate(bench.trainer.start(0, experiment.record.lanes), 0, experiment.evaluation_episodes)
    write_atomically(path, json.dumps({"return": float(np.mean(episodes.returns[:, 0]))}))


def read_results(study: Study, folder: Path) -> dict[str, Any]:
    """Scores and ratios of the games whose runs are all finished.

    Returns:
      ``games``: per game ``random`` and per arm the scores by seed; ``ratios``: per arm and game ``(score - random) / (true - random)``,
      with the true arm's mean score below; ``controls``: which arm stands for each control in each game; ``missing``: runs to come.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    missing = 0
    for cell in cells(study):
        path = folder / cell.game.name / cell.arm.name / str(cell.seed) / "summary.json"
        if not path.exists():
            missing += 1
            continue
        score = _read_return(path)
        scores.setdefault(cell.game.name, {}).setdefault(cell.arm.name, []).append(score)
    whole = {
        game: arms
        for game, arms in scores.items()
        if len(arms) == len(study.arms) and all(len(runs) == len(study.seeds) for runs in arms.values())
    }
    random = {game: _read_return(folder / game / "random.json") for game in whole}
    controls = {game: _best_controls(study, arms) for game, arms in whole.items()}
    ratios: dict[str, dict[str, list[float]]] = {}
    for game, arms in whole.items():
        chosen = {name: arms[arm] for name, arm in controls[game].items()} | {a.name: arms[a.name] for a in study.arms if not a.control}
        for name, runs in chosen.items():
            ratio = normalised_ratio(runs, random[game], float(np.mean(arms["true"])))
            ratios.setdefault(name, {})[game] = ratio.tolist()
    games = {game: {"random": random[game], "scores": arms} for game, arms in whole.items()}
    return {"games": games, "ratios": ratios, "controls": controls, "missing": missing}


def _best_controls(study: Study, arms: Mapping[str, list[float]]) -> dict[str, str]:
    best: dict[str, str] = {}
    for arm in study.arms:
        if arm.control and (arm.control not in best or np.mean(arms[arm.name]) > np.mean(arms[best[arm.control]])):
            best[arm.control] = arm.name
    return best


def analyse(results: Mapping[str, Any]) -> dict[str, Any]:
    """IQM of the ratios of each arm with its 95 % interval, and each arm's probability of beating each control in each game."""
    ratios: Mapping[str, Mapping[str, list[float]]] = results["ratios"]
    names = {name for table in results["controls"].values() for name in table}
    analysis: dict[str, Any] = {"iqm": {}, "beats": {}}
    for arm, by_game in ratios.items():
        interval = aggregate(by_game)
        analysis["iqm"][arm] = {"value": interval.value, "low": interval.low, "high": interval.high}
        if arm in names or arm == "true":
            continue
        for control in sorted(names):
            for game, runs in by_game.items():
                chance = probability_of_improvement({game: runs}, {game: ratios[control][game]})
                analysis["beats"].setdefault(arm, {}).setdefault(control, {})[game] = [chance.value, chance.low, chance.high]
    return analysis


def _read_return(path: Path) -> float:
    try:
        return float(parse_json(path.read_bytes())["return"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as the result of a run ({error!r}): remove it and run the study again") from error
