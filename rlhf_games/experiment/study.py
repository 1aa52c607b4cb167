"""A study: the same experiment over several games, arms and seeds; every run in a folder of its own, so that it can be interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_games.config import from_mapping, to_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.changes import differences
from rlhf_games.experiment.rundir import RunDirectory, read_object
from rlhf_games.experiment.runner import Interruption, Report, create_run, execute
from rlhf_games.experiment.spec import Experiment
from rlhf_games.files import is_folder_name, write_atomically

TRUE = "true"
"""Name of the arm that ratios are taken against."""


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
    """One must be called ``true``: it is what ratios are taken against. Names of games and arms are names of folders."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """The same in all arms, each once."""
    base: dict[str, Any] = field(default_factory=dict)
    """Settings that all runs share."""

    def __post_init__(self) -> None:
        if not self.games or not self.seeds:
            raise ValueError("a study needs at least one game and one seed")
        if not any(arm.name == TRUE and not arm.control for arm in self.arms):
            raise ValueError(f"a study needs an arm called {TRUE!r}, trained on the game's own score, to compare with (and no control)")
        if not is_folder_name(self.name):
            raise ValueError(f"name: {self.name!r} cannot be the name of a folder: use letters, digits, - and _")
        for kind, names in (("games", [game.name for game in self.games]), ("arms", [arm.name for arm in self.arms])):
            for name in names:
                if not is_folder_name(name):
                    raise ValueError(f"{kind}: {name!r} cannot be the name of a folder of runs: use letters, digits, - and _")
            if twice := _repeated([name.casefold() for name in names]):
                raise ValueError(f"{kind}: {twice[0]!r} is there twice (upper and lower case are one)")
        if twice := _repeated(self.seeds):
            raise ValueError(f"seeds: {twice[0]} is there twice, and would count twice")
        if clash := {arm.control for arm in self.arms} & {arm.name for arm in self.arms if not arm.control}:
            raise ValueError(f"arms: {min(clash)!r} is the name of an arm and of a control: rename one")

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


def _repeated(values: Sequence[Any]) -> list[Any]:
    """The values that are there more than once."""
    return [value for i, value in enumerate(values) if value in values[:i]]


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
    check_recorded(study, folder)
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


def check_recorded(study: Study, folder: Path) -> int:
    """Compares what every run in the folder was told with what the study says now.

    Returns:
      How many runs there are.

    Raises:
      UserError: a run has other settings; or a setting of the study is wrong.
    """
    found = 0
    for cell in cells(study):
        path, experiment = run_path(folder, cell), study.experiment(cell.game, cell.arm, cell.seed)
        if not (path / "config.json").exists():
            continue
        found += 1
        recorded = from_mapping(Experiment, RunDirectory.open(path).config, str(path / "config.json"))
        if recorded != experiment:
            raise UserError(
                f"{path} holds a run of other settings than the study says now ({differences(recorded, experiment)}); "
                "use another folder, or delete that one"
            )
    return found


def run_path(folder: Path, cell: Cell) -> Path:
    """The folder of one run."""
    return folder / cell.game.name / cell.arm.name / str(cell.seed)


def random_path(folder: Path, game: str) -> Path:
    """The file with the untrained policy's score in a game."""
    return folder / game / "random.json"


def _run_folder(study: Study, cell: Cell, folder: Path) -> RunDirectory:
    """The run of a cell, made where it is missing."""
    path = run_path(folder, cell)
    if (path / "config.json").exists():
        return RunDirectory.open(path)
    return create_run(study.experiment(cell.game, cell.arm, cell.seed), path)


def _random_return(study: Study, cell: Cell, folder: Path, bench: Bench) -> None:
    """Plays the untrained policy (nearly uniform) once per game."""
    path = random_path(folder, cell.game.name)
    experiment = study.experiment(cell.game, cell.arm, cell.seed)
    about = to_mapping(experiment.game)
    if path.exists() and read_object(path).get("game", about) == about:
        return
    episodes = bench.trainer.evaluate(bench.trainer.start(0, experiment.record.lanes), 0, experiment.evaluation_episodes)
    returns = episodes.returns[:, 0].astype(np.float64)
    error = float(returns.std() / np.sqrt(len(returns)))
    write_atomically(path, json.dumps({"return": float(returns.mean()), "return_stderr": error, "game": about}))
