"""``rlhf-games study``: many runs, one table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlhf_games.experiment.study import Study
    from rlhf_games.experiment.study_results import Results


@dataclass(frozen=True)
class RunStudy:
    """Run a study (games x arms x seeds) and draw its table. Interrupt it as you like: the same command goes on."""

    file: Annotated[Path, tyro.conf.Positional]
    """A study file, for example experiments/minatar-preferences/study.toml."""
    out: Path = Path("runs/study")
    """Folder for all its runs."""
    table_only: bool = False
    """Run nothing; show what is there. Runs of other settings than the file says now are refused."""

    def run(self) -> int:
        """Runs what is left, then shows and writes the results."""
        from rlhf_games.config import load_toml
        from rlhf_games.experiment.study import Study

        study = load_toml(Study, self.file)
        done = self.table_only or _run(study, self.out)
        _show(study, self.out)
        return 0 if done else 130


def _run(study: Study, folder: Path) -> bool:
    from rlhf_games.cli.progress import study_progress
    from rlhf_games.experiment.runner import Interruption
    from rlhf_games.experiment.study import run_study

    with study_progress(study) as progress:
        interruption = Interruption(progress.say)
        with interruption.listening():
            return run_study(study, folder, progress.announce, progress, interruption)


def _show(study: Study, folder: Path) -> None:
    from rlhf_games.cli.console import wide_console
    from rlhf_games.experiment.study_results import analyse, read_results
    from rlhf_games.files import write_atomically

    console = wide_console()
    results = read_results(study, folder)
    if results.missing:
        console.print(f"{results.missing} runs are still to come; only whole games are shown")
    if not results.scores:
        return
    analysis = analyse(results)
    write_atomically(folder / "results.json", json.dumps(analysis, indent=2, allow_nan=False))
    _draw(study, analysis, folder / "ratios.png")
    console.print(_table(results, analysis))
    for game, problem in results.without_ratio.items():
        console.print(f"{game}: {problem}", highlight=False, soft_wrap=True)
    drawn = f" and {folder / 'ratios.png'} hold" if (folder / "ratios.png").exists() else " holds"
    console.print(f"{folder / 'results.json'}{drawn} the rest", highlight=False, soft_wrap=True)


def _draw(study: Study, analysis: Mapping[str, Any], path: Path) -> None:
    """The picture of all ratios; no picture where there is none, also not an older one."""
    from rlhf_games.experiment.figures import png, ratio_plot
    from rlhf_games.experiment.study import TRUE
    from rlhf_games.files import write_atomically

    games = [game for game, found in analysis["games"].items() if "no_ratio" not in found]
    if not games:
        path.unlink(missing_ok=True)
        return
    arms = [arm for arm in analysis["ratios"] if arm != TRUE]
    runs = {game: {arm: analysis["ratios"][arm][game] for arm in arms} for game in games}
    bars = {game: {arm: _ends(analysis["ratio_means"][arm][game]) for arm in arms} for game in games}
    write_atomically(path, png(ratio_plot(runs, title=study.name, intervals=bars)))


def _ends(interval: Mapping[str, float | None]) -> tuple[float, float] | None:
    low, high = interval["low"], interval["high"]
    return None if low is None or high is None else (low, high)


def _table(results: Results, analysis: Mapping[str, Any]) -> Any:
    import numpy as np
    from rich.table import Table

    games = list(results.scores)
    table = Table("arm", *games, "IQM of the ratio (95 %)", title="true return (share of the true reward's)")
    table.add_row("untrained", *(f"{results.references[game].random:.2f}" for game in games), "")
    for arm in results.arms:
        parts = []
        for game in games:
            actual, ratios = results.controls[game].get(arm, arm), analysis["ratios"][arm].get(game)
            share = "no ratio" if ratios is None else f"{np.mean(ratios):.2f}"
            parts.append(f"{np.mean(results.runs(arm, game)):.2f} ({share})" + (f" {actual}" if actual != arm else ""))
        table.add_row(arm, *parts, _interval(analysis["iqm"].get(arm)))
    return table


def _interval(found: Mapping[str, float | None] | None) -> str:
    """``0.88 [0.82, 0.96]``, or why there is no interval or nothing at all."""
    if found is None:
        return "no ratio"
    ends = _ends(found)
    return f"{found['value']:.2f} " + ("(one seed: no interval)" if ends is None else f"[{ends[0]:.2f}, {ends[1]:.2f}]")
