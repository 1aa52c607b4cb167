"""``rlhf-games arena``, ``judge`` and ``play``: the window in which people play and judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import tyro

from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.arena.person import Person
    from rlhf_games.arena.view import View


@dataclass(frozen=True)
class Arena:
    """Open the arena: choose a run and what to do for it (judge its clips, play its game, ...), or play any game."""

    run_folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The folder of a run, or a store; left out: choose among the runs in ./runs."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""
    store: str = "runs/plays.sqlite"
    """Where the episodes that you keep go."""
    task: str = ""
    """Begin with this task of the run, for example judge; Esc leads back to all of them."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        from rlhf_games.arena import runs, start, tasks

        target = runs.find_target(self.run_folder) if self.run_folder else None
        views: list[Callable[[Person], View]] = [lambda person: start.home(target, person, self.store)]
        if self.task:
            if target is None:
                raise UserError(f"--task {self.task} needs a run: rlhf-games arena RUN --task {self.task}")
            views.insert(0, partial(tasks.find_task(self.task).open, target))
        start.show(self.annotator, *views)
        return 0


@dataclass(frozen=True)
class Judge:
    """Judge pairs of clips: which is better? Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|STORE")]
    """The folder of a run, the file of a store, or a postgresql:// URL."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""
    hide_score: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Begin with the games' score covered in the clips, where the game says where that is; H shows it."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        return _do("judge", self.target, self.annotator, self.hide_score)


@dataclass(frozen=True)
class Rank:
    """Rank clips: which is best, which comes next? Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|STORE")]
    """The folder of a run, the file of a store, or a postgresql:// URL."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""
    hide_score: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Begin with the games' score covered in the clips, where the game says where that is; H shows it."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        return _do("rank", self.target, self.annotator, self.hide_score)


@dataclass(frozen=True)
class Rate:
    """Rate clips from 1 (worst) to 5 (best), one at a time. Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|STORE")]
    """The folder of a run, the file of a store, or a postgresql:// URL."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""
    hide_score: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Begin with the games' score covered in the clips, where the game says where that is; H shows it."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        return _do("rate", self.target, self.annotator, self.hide_score)


@dataclass(frozen=True)
class Coach:
    """Cheer and scold the agent of a run while it plays, and take over from it. Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, also of one that is still learning: what it has learned plays at once."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""
    hand_back: float = 0.3
    """Seconds after you let go of the last control key until the agent has the game back."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        from rlhf_games.arena import coach_task, runs, start

        target = runs.find_target(self.target)
        start.show(self.annotator, lambda person: coach_task.open_coach(target, person, self.hand_back))
        return 0


@dataclass(frozen=True)
class Watch:
    """Watch the agent's latest games, newest policy first, with the learned reward drawn under them. Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, also of one that is still learning."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        return _do("watch", self.target, self.annotator)


@dataclass(frozen=True)
class Ask:
    """Question an agent about any decision of its games, try other actions, teach and mark. Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, also of one that is still learning."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        return _do("ask", self.target, self.annotator)


@dataclass(frozen=True)
class Advise:
    """Let an agent ask you: what would you do here? Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, also of one that is still learning."""
    annotator: str = ""
    """Your name, as your answers will carry it; remembered. Default: the remembered name; the first time you are asked."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        return _do("advise", self.target, self.annotator)


@dataclass(frozen=True)
class Play:
    """Play a game yourself and keep episodes as demonstrations, for a run too. Opens a window; F1 lists the keys."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GAME|RUN")]
    """family/game, as `rlhf-games games` lists it; or the folder of a run: its game, and what you keep and rate goes to that run."""
    annotator: str = ""
    """Your name, as your episodes will carry it; remembered. Default: the remembered name; the first time you are asked."""
    store: str = ""
    """Where the episodes of a GAME that you keep go: a file (made when needed), a run's folder, or a postgresql:// URL; default:
    runs/plays.sqlite. Those of a RUN go to the run."""
    people: int = 1
    """People at the keyboard, 1 or 2; seats that nobody sits in play uniformly random legal actions."""

    def run(self) -> int:
        """Shows the window until it is closed; returns 0."""
        from pathlib import Path

        from rlhf_games import workspace
        from rlhf_games.arena import runs, start

        if Path(self.target).is_dir() and self.target not in {card.name for card in workspace.cards()}:
            if self.store:
                raise UserError(f"what is played for a run goes to the run: leave --store {self.store} out, or name a game")
            target = runs.find_target(self.target)
            start.show(self.annotator, lambda person: start.play_for(target, person, self.people))
        else:
            start.show(self.annotator, lambda person: start.play(self.target, person, self.store or start.PLAYS, self.people))
        return 0


def _do(task: str, target: str, annotator: str, hide_score: bool = False) -> int:
    """Opens the window at one of the tasks of `rlhf_games.arena.tasks`; returns 0 when it is closed."""
    from rlhf_games.arena import runs, start, tasks

    open_task, about = tasks.find_task(task).open, runs.find_target(target)
    start.show(annotator, lambda person: open_task(about, replace(person, hide_score=hide_score)))
    return 0
