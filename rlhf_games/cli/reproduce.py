"""``rlhf-games reproduce``: the same run again, compared number by number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rlhf_games.core.literal import literal

if TYPE_CHECKING:
    from rlhf_games.experiment.reproduce import Comparison

_SHOWN = 10


@dataclass(frozen=True)
class Reproduce:
    """Run a finished experiment again in a new folder and compare all its numbers (times aside). Exit status 1 where one differs."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a finished run with a scripted teacher in mode "wait"."""
    out: str = ""
    """Folder for the repetition; default: RUN-reproduced."""

    def run(self) -> int:
        """Runs, compares and says what came of it."""
        from rlhf_games.cli.progress import run_progress
        from rlhf_games.experiment.reproduce import reproduce
        from rlhf_games.experiment.rundir import RunDirectory
        from rlhf_games.experiment.runner import Interruption, experiment_of

        run = RunDirectory.open(self.run_folder)
        out = self.out or f"{run.path.resolve()}-reproduced"
        with run_progress(experiment_of(run)) as progress:
            interruption = Interruption(progress.say)
            with interruption.listening():
                found = reproduce(run, out, progress, interruption)
        if found is None:
            print(literal(f"stopped; go on with: rlhf-games resume {out}"))
            return 130
        _say(found)
        return 1 if found.differences else 0


def _say(found: Comparison) -> None:
    if not found.differences:
        print(f"reproduced: all {found.numbers} numbers are the same")
    else:
        print(f"not reproduced: {len(found.differences)} of {found.numbers} numbers differ; the first: {literal(found.differences[0])}")
        for line in found.differences[1:_SHOWN]:
            print(literal(f"  {line}"))
    if found.surroundings:
        print("made on something else:")
        for line in found.surroundings[:_SHOWN]:
            print(literal(f"  {line}"))
