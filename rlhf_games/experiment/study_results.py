"""What came of a study: scores, shares of the true reward's gain, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.ratios import Reference, aggregate_ratios
from rlhf_games.experiment.rundir import read_object
from rlhf_games.experiment.statistics import Floats, Interval, mean, probability_of_improvement
from rlhf_games.experiment.study import TRUE, Study, cells, check_recorded, random_path, run_path


@dataclass(frozen=True)
class Results:
    """The games of a study whose runs are all finished."""

    scores: dict[str, dict[str, Floats]]
    """``[R]`` by game and arm, in the order of the seeds."""
    references: dict[str, Reference]
    """By game."""
    controls: dict[str, dict[str, str]]
    """By game: which arm stands for each control, the best by mean score."""
    arms: tuple[str, ...]
    """What is compared: controls first, then the other arms."""
    missing: int
    """Runs to come."""

    @property
    def without_ratio(self) -> dict[str, str]:
        """Games whose true reward taught too little to measure others by, and why; they have scores and no ratios."""
        return {game: problem for game, reference in self.references.items() if (problem := reference.problem())}

    def runs(self, arm: str, game: str) -> Floats:
        """``[R]`` scores of an arm, or of the arm that stands for a control."""
        return self.scores[game][self.controls[game].get(arm, arm)]

    def measured(self, arm: str) -> dict[str, tuple[Floats, Reference]]:
        """What an arm's ratios are made of, for each game that has ratios."""
        kept = [game for game in self.scores if game not in self.without_ratio]
        return {game: (self.runs(arm, game), self.references[game]) for game in kept}


def read_results(study: Study, folder: Path) -> Results:
    """Reads what the runs of a study came to.

    Raises:
      UserError: the folder holds no run of the study, or a run of other settings than the study says now, or a damaged file.
    """
    if not check_recorded(study, folder):
        raise UserError(f"{folder} holds no run of the study {study.name!r}: name the folder that its runs are in with --out")
    summaries: dict[str, dict[str, list[dict[str, Any]]]] = {}
    missing = 0
    for cell in cells(study):
        path = run_path(folder, cell) / "summary.json"
        if path.exists():
            summaries.setdefault(cell.game.name, {}).setdefault(cell.arm.name, []).append({"from": path, **read_object(path)})
        else:
            missing += 1
    whole = {
        game: arms
        for game, arms in summaries.items()
        if len(arms) == len(study.arms) and all(len(runs) == len(study.seeds) for runs in arms.values())
    }
    scores = {game: {arm: np.array([_number(run, "return") for run in runs]) for arm, runs in arms.items()} for game, arms in whole.items()}
    controls = {game: _best_controls(study, arms) for game, arms in scores.items()}
    names = [*dict.fromkeys(arm.control for arm in study.arms if arm.control), *(arm.name for arm in study.arms if not arm.control)]
    return Results(scores, {game: _reference(folder, game, arms[TRUE]) for game, arms in whole.items()}, controls, tuple(names), missing)


def analyse(results: Results) -> dict[str, Any]:
    """JSON values: scores, ratios and intervals (95 %; null where there is one seed), and who beats the controls.

    Returns:
      ``games``: per game ``random``, ``scores`` by arm, and ``no_ratio`` where the true reward taught too little. ``ratios`` and
      ``ratio_means``: per arm and game. ``iqm``: per arm, over all games that have ratios. ``beats``: per arm, control and game the
      probability that a run of the arm beats one of the control, with its interval. ``controls`` and ``missing`` as in `Results`.
    """
    without = results.without_ratio
    games: dict[str, dict[str, Any]] = {}
    for game, scores in results.scores.items():
        arms = {arm: runs.tolist() for arm, runs in scores.items()}
        games[game] = {"random": results.references[game].random, "scores": arms}
        games[game] |= {"no_ratio": without[game]} if game in without else {}
    measured = {arm: results.measured(arm) for arm in results.arms}
    ratios, means = {}, {}
    for arm, by_game in measured.items():
        ratios[arm] = {game: reference.ratios(runs).tolist() for game, (runs, reference) in by_game.items()}
        means[arm] = {game: _plain(aggregate_ratios({game: one}, mean)) for game, one in by_game.items()}
    return {
        "games": games,
        "ratios": ratios,
        "ratio_means": means,
        "iqm": {arm: _plain(aggregate_ratios(by_game)) for arm, by_game in measured.items() if by_game},
        "beats": {arm: _beats(results, arm) for arm in results.arms if arm != TRUE and arm not in _controls(results)},
        "controls": results.controls,
        "missing": results.missing,
    }


def _beats(results: Results, arm: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The arm's probability of improvement over each control in each game."""
    return {
        control: {
            game: _plain(probability_of_improvement({game: results.runs(arm, game)}, {game: results.runs(control, game)}))
            for game in results.scores
        }
        for control in sorted(_controls(results))
    }


def _controls(results: Results) -> set[str]:
    return {name for table in results.controls.values() for name in table}


def _best_controls(study: Study, arms: Mapping[str, Floats]) -> dict[str, str]:
    best: dict[str, str] = {}
    for arm in study.arms:
        if arm.control and (arm.control not in best or np.mean(arms[arm.name]) > np.mean(arms[best[arm.control]])):
            best[arm.control] = arm.name
    return best


def _reference(folder: Path, game: str, runs: Iterable[Mapping[str, Any]]) -> Reference:
    """The true reward's runs of a game and its untrained policy."""
    path, found = random_path(folder, game), list(runs)
    random = {"from": path, **read_object(path)}
    errors = [_number(table, "return_stderr") if "return_stderr" in table else 0.0 for table in (random, found[0])]
    return Reference(np.array([_number(run, "return") for run in found]), _number(random, "return"), *errors)


def _number(table: Mapping[str, Any], key: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{table['from']}: {key} is {value!r}, not a finite number; delete that run's folder to do it again")
    return float(value)


def _plain(interval: Interval) -> dict[str, float | None]:
    """JSON values: null where there is no interval."""
    low, high = (interval.low, interval.high) if interval.known else (None, None)
    return {"value": interval.value, "low": low, "high": high}
