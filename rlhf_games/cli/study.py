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


@dataclass(frozen=True)
class RunStudy:
    """Run a study (games x arms x seeds) and draw its table. Interrupt it as you like: the same command goes on."""

    file: Annotated[Path, tyro.conf.Positional]
    """A study file, for example experiments/minatar-preferences/study.toml."""
    out: Path = Path("runs/study")
    """Folder for all its runs."""
    table_only: bool = False
    """Run nothing; show what is there."""

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
    from rlhf_games.experiment.figures import png, ratio_plot
    from rlhf_games.experiment.study import analyse, read_results
    from rlhf_games.files import write_atomically

    console = wide_console()
    results = read_results(study, folder)
    if results["missing"]:
        console.print(f"{results['missing']} runs are still to come; only whole games are shown")
    if not results["games"]:
        return
    analysis = analyse(results)
    write_atomically(folder / "results.json", json.dumps(results | analysis, indent=2))
    ratios = {game: {arm: runs[game] for arm, runs in results["ratios"].items() if arm != "true"} for game in results["games"]}
    write_atomically(folder / "ratios.png", png(ratio_plot(ratios, title=study.name)))
    console.print(_table(results, analysis))
    console.print(f"{folder / 'results.json'} and {folder / 'ratios.png'} hold the rest")


def _table(results: Mapping[str, Any], analysis: Mapping[str, Any]) -> Any:
    import numpy as np
    from rich.table import Table

    table = Table("arm", *results["games"], "IQM of the ratio (95 %)", title="true return (share of the true reward's)")
    table.add_row("untrained", *(f"{game['random']:.2f}" for game in results["games"].values()), "")
    for arm, runs in results["ratios"].items():
        parts = []
        for name, game in results["games"].items():
            actual = results["controls"][name].get(arm, arm)
            parts.append(f"{np.mean(game['scores'][actual]):.2f} ({np.mean(runs[name]):.2f})" + (f" {actual}" if actual != arm else ""))
        interval = analysis["iqm"][arm]
        table.add_row(arm, *parts, f"{interval['value']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]")
    return table
