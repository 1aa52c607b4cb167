"""``rlhf-games audit``: does a game give its reward away?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rlhf_games.core.errors import UserError
from rlhf_games.core.literal import literal

if TYPE_CHECKING:
    from rlhf_games.experiment.audit import Verdict
    from rlhf_games.experiment.spec import Experiment


@dataclass(frozen=True)
class Audit:
    """Leak audit: train on constant rewards, on noise and on the true score, with episode ends visible and hidden.

    Where an agent that is told nothing plays about as well as one that is paid the score, results under feedback prove nothing about
    the feedback. Writes audit.json and pictures.
    """

    games: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="GAME")]
    """Names as `rlhf-games games` lists them."""
    steps: int = 500_000
    """Steps of the game that each arm learns from."""
    seeds: int = 2
    """Runs of each arm."""
    constants: tuple[float, ...] = (-0.1, 0.0, 0.1, 1.0)
    """Constant rewards per step to try: each teaches something else (negative ones to end soon, small ones to go on)."""
    out: Path = Path("audit")
    """Folder for audit.json and the pictures."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = field(default=())
    """Change a setting of the experiment in all arms, for example --set rollout.games=32; may be given many times."""

    def run(self) -> int:
        """Trains, then prints and writes what came of it."""
        from rlhf_games.experiment.audit import table

        if self.seeds < 1:
            raise UserError(f"--seeds must be at least 1, got {self.seeds}")
        base = self._base()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {self.out}: cannot be made: {error.strerror or error}; name another folder") from error
        verdicts = self._train(base)
        settings = {"steps": base.steps, "seeds": self.seeds, "constants": list(self.constants), "set": list(self.set)}
        text = json.dumps({**settings, "audits": table(verdicts)}, indent=1, ensure_ascii=False)
        (self.out / "audit.json").write_text(text + "\n", encoding="utf-8")
        pictures = _draw(verdicts, self.out)
        _print(verdicts)
        print(literal("\n".join(map(str, ("", self.out / "audit.json", *pictures)))))
        return 0

    def _base(self) -> Experiment:
        """What all arms share."""
        from rlhf_games.experiment.files import load_experiment

        changes = [f"steps={self.steps}", "iterations=4", "feedback.budget=0", 'name="audit"', *self.set]
        for change in self.set:
            if change.partition("=")[0].strip().partition(".")[0] in ("seed", "reward", "episode_ends", "feedback"):
                raise UserError(f"--set {change}: the audit sets seeds, rewards and episode ends itself, and asks nobody")
        return load_experiment("", changes)

    def _train(self, base: Experiment) -> list[Verdict]:
        from tempfile import TemporaryDirectory

        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        from rlhf_games.cli.console import LiteralColumn, LiteralConsole
        from rlhf_games.experiment.audit import ENDS, arms, audit

        total = len(dict.fromkeys(self.games)) * len(ENDS) * len(arms(self.constants)) * self.seeds * base.iterations
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), LiteralColumn("{task.description}"))
        with Progress(*columns, console=LiteralConsole(stderr=True)) as bar, TemporaryDirectory() as folder:
            task = bar.add_task("compiling", total=total)

            def told(what: str, _: Any) -> None:
                bar.update(task, advance=1, description=what)

            return audit(base, self.games, self.constants, range(self.seeds), Path(folder), told)


def _draw(verdicts: Sequence[Verdict], out: Path) -> list[Path]:
    """One picture for each game and kind of ends."""
    from rlhf_games.experiment.audit import TRUE
    from rlhf_games.experiment.figures import leak_audit_plot, png

    made = []
    for verdict in verdicts:
        figure = leak_audit_plot(verdict.scores, [arm for arm in verdict.scores if arm != TRUE], title=_title(verdict))
        made.append(out / f"{verdict.game.replace('/', '-')}-ends-{verdict.ends}.png")
        made[-1].write_bytes(png(figure))
    return made


def _title(verdict: Verdict) -> str:
    says = {True: "leaks", False: "honest", None: "too little was learned"}[verdict.leaks]
    return f"{verdict.game}, ends {verdict.ends}: {says}"


def _print(verdicts: Sequence[Verdict]) -> None:
    import numpy as np
    from rich.table import Table

    from rlhf_games.cli.console import wide_console

    listing = Table(title="mean true return")
    for name in ("game", "episode ends", *verdicts[0].scores, "best control"):
        listing.add_column(name, justify="left" if name in ("game", "episode ends") else "right")
    for verdict in verdicts:
        share = "?" if verdict.share is None else f"{verdict.share:.0%} of true"
        listing.add_row(verdict.game, verdict.ends, *(f"{np.mean(runs):.2f}" for runs in verdict.scores.values()), share)
    console = wide_console()
    console.print(listing)
    for verdict in verdicts:
        console.print(verdict.words, highlight=False, soft_wrap=True)
