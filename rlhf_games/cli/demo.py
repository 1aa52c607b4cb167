"""``rlhf-games demo``: an agent learns a game from answers, in a few minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_games.core.literal import literal

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from rlhf_games.experiment.comparison import Arm, ArmResult, Outcome
    from rlhf_games.experiment.loop import Progress
    from rlhf_games.experiment.spec import Experiment


@dataclass(frozen=True)
class Demo:
    """Watch an agent learn a game from a few hundred answers to "which clip is better?", beside the same agent paid the true score,
    constant rewards, and answers drawn by coin flip. Writes a picture, a report with moving clips, summary.json,
    and each agent as a run (runs/feedback, runs/true, ...) to watch and coach.
    """

    seed: int = 0
    """Determines everything."""
    out: Path | None = None
    """New or empty folder for what is written; default: runs/demo-<date and time>."""
    steps: int | None = None
    """Steps of the game for each agent; default: as experiments/demo says. Fewer are quicker and prove less."""
    answers: int | None = None
    """Questions asked; default: as experiments/demo says."""
    open: bool = False
    """Show the report in a browser at the end."""

    def run(self) -> int:
        """Runs all arms and says what came of it."""
        from rlhf_games.experiment import demo
        from rlhf_games.files import new_folder

        if self.out is not None:
            demo.check_folder(self.out)
        experiment = demo.experiment(self.seed, self.steps, self.answers)
        if self.out is not None:
            return self._show(experiment, self.out)
        with new_folder(Path(f"runs/demo-{time.strftime('%Y%m%d-%H%M%S')}")) as out:
            return self._show(experiment, out)

    def _show(self, experiment: Experiment, out: Path) -> int:
        outcome = _run(experiment, out)
        if outcome is None:
            print("stopped; nothing was written")
            return 130
        _tell(outcome, out)
        if self.open:
            import webbrowser

            webbrowser.open((out / "report.html").resolve().as_uri())
        return 0


def _run(experiment: Experiment, out: Path) -> Outcome | None:
    from rlhf_games.experiment.demo import run_demo
    from rlhf_games.experiment.runner import Interruption

    with _display(experiment) as display:
        interruption = Interruption(lambda _: display.says("stopping after this iteration; Ctrl-C again stops at once"))
        with interruption.listening():
            return run_demo(experiment, out, display, interruption)


class _Display:
    """One bar for each arm; above them, what each is and what came of it."""

    def __init__(self, bars: Bars, experiment: Experiment) -> None:
        from rlhf_games.experiment.comparison import arms

        self._bars, self._budget = bars, experiment.feedback.answers
        self._arms = arms(experiment)
        self._rows = {
            arm.label: bars.add_task(arm.label, total=experiment.iterations, start=False, note="", style="dim") for arm in self._arms
        }
        self._arm = self._arms[0]

    def begins(self, arm: Arm) -> None:
        from rich.text import Text

        self._arm = arm
        number = self._arms.index(arm) + 1
        title = literal(f"{number}/{len(self._arms)} {arm.label}")
        self._bars.console.print(Text.assemble((title, "bold"), literal(f": this agent {arm.meaning}")), highlight=False)
        self._bars.start_task(self._rows[arm.label])
        self._bars.update(self._rows[arm.label], style="bold", note="compiling" if number == 1 else "")

    def goes_on(self, progress: Progress) -> None:
        note = f"score {progress.metrics['true_return']:.2f}"
        if self._arm.experiment.learns_from_people:
            note += f" · {progress.metrics['answers']:.0f}/{self._budget} answers"
        self._bars.update(self._rows[self._arm.label], completed=progress.iteration, note=note)

    def ends(self, result: ArmResult) -> None:
        text = f"score {result.mean:.2f} ± {result.stderr:.2f} in {result.seconds:.0f} s"
        self._bars.update(self._rows[result.arm.label], style="none", note=text)
        self._bars.stop_task(self._rows[result.arm.label])
        if not self._bars.console.is_terminal:  # no bars there
            self.says(f"    {text}")

    def says(self, text: str) -> None:
        self._bars.console.print(text, highlight=False)


@contextmanager
def _display(experiment: Experiment) -> Iterator[_Display]:
    from rich.progress import BarColumn, Progress, TimeElapsedColumn

    from rlhf_games.cli.console import LiteralColumn, LiteralConsole, StyledColumn

    note = LiteralColumn("{task.fields[note]}")
    columns = (StyledColumn("{task.description}"), BarColumn(bar_width=18), TimeElapsedColumn(), note)
    console = LiteralConsole(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield _Display(bars, experiment)


def _tell(outcome: Outcome, out: Path) -> None:
    from rlhf_games.cli.console import LiteralConsole
    from rlhf_games.experiment.demo_report import conclusion

    console = LiteralConsole(highlight=False)
    console.print()
    console.print(conclusion(outcome))
    console.print()
    for name, what in (("demo.png", "the picture"), ("report.html", "with moving clips"), ("summary.json", "the numbers")):
        console.print(f"  {out / name}  {what}", soft_wrap=True)
    console.print(
        f"\n{outcome.seconds:.0f} s for {len(outcome.results)} agents; another seed: rlhf-games demo --seed {outcome.experiment.seed + 1}"
    )
    console.print(f"the agents, to watch, ask and coach: rlhf-games arena {out / 'runs' / 'feedback'}", soft_wrap=True)
