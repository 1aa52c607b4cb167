"""``rlhf-games report``: one HTML file about one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlhf_games.core.literal import literal


@dataclass(frozen=True)
class Report:
    """Write a report of a run: curves of everything it measured and what they mean, answered questions as clips, annotators and their
    answers, settings, what it ran on. One HTML file that needs no network. It shows true scores: not for people who still answer.
    """

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of the run; it may still be going on."""
    output: Path | None = None
    """The HTML file; RUN/report.html by default."""

    no_clips: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no questions as clips: quicker, and a smaller file."""

    def run(self) -> int:
        """Writes the report and prints where it is."""
        from rlhf_games.experiment.run_report import write_run_report
        from rlhf_games.experiment.rundir import RunDirectory

        print(literal(str(write_run_report(RunDirectory.open(self.run_folder), self.output, questions=not self.no_clips))))
        return 0
