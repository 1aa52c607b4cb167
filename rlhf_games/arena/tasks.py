"""Everything that can be done in the arena about a run or a store: one table, from which Home, the help and ``keys.toml`` are made.

How to add a task (say, ``coach``):

1. Write its view (``coach_view.py`` with ``COMMANDS``) and its session, and a function ``open_coach(target, person) -> View`` that returns
   at once: what takes time (database, JAX, checkpoints) is loaded on a worker behind an `OpeningView`. ``answer_tasks.py`` is an example.
   Modules that the table imports must import neither pygame nor JAX nor SQLAlchemy at their top: the list of verbs and the first frame
   would wait for them.
2. Add one line to ``TASKS`` below. It appears in Home (beside how many queries of ``kinds`` wait), and its commands in ``keys.toml``.
3. Add one line to ``VERBS`` in ``rlhf_games/cli/main.py`` and a dataclass in ``rlhf_games/cli/arena.py`` (`Judge` is an example).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlhf_games.arena import answer_tasks, ask_task, coach_task
from rlhf_games.arena.keys import Command
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import Target
from rlhf_games.core.errors import UserError, nearest

if TYPE_CHECKING:
    from rlhf_games.arena.view import View


class Task(NamedTuple):
    """One thing to do about a run or a store."""

    name: str
    """The verb on the command line, and the section in ``keys.toml``."""
    title: str
    words: str
    """One sentence for Home."""
    open: Callable[[Target, Person], View]
    """Makes its first view; quick."""
    commands: Callable[[], Sequence[Command]]
    """Every command of its view, for ``keys.toml``."""
    kinds: tuple[str, ...] = ()
    """Kinds of queries that it answers; Home says how many wait."""
    needs_run: bool = False
    """Whether the folder of a run is needed (its policy, its reward model), not only a store."""

    def offered(self, target: Target) -> bool:
        """Whether it can be done there."""
        return target.folder is not None or not self.needs_run


TASKS: tuple[Task, ...] = (
    Task("judge", "Judge", "Which of two clips is better?", answer_tasks.open_judge, answer_tasks.judge_commands, ("preference",)),
    Task("rank", "Rank", "Which clip is best, which comes next?", answer_tasks.open_rank, answer_tasks.rank_commands, ("ranking",)),
    Task("rate", "Rate", "How good is a clip, from 1 to 5?", answer_tasks.open_rate, answer_tasks.rate_commands, ("rating",)),
    Task(
        "coach",
        "Coach",
        "Cheer and scold the agent while it plays, and take over.",
        coach_task.open_coach,
        coach_task.commands,
        needs_run=True,
    ),
    Task("watch", "Watch", "The agent's latest games, with the learned reward under them.", ask_task.open_watch, ask_task.watch_commands),
    Task("ask", "Ask", "Why did it do that? What if? Teach it and mark what it did.", ask_task.open_ask, ask_task.ask_commands),
    Task(
        "advise",
        "The agent asks",
        "What would you do here? Still pictures where its policy is unsure.",
        ask_task.open_advise,
        ask_task.advise_commands,
        ("advice",),
        needs_run=True,
    ),
)
"""All tasks, in the order of Home."""


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
      UserError: there is none.
    """
    known = {task.name: task for task in TASKS}
    if name not in known:
        raise UserError(f"there is no task {name!r}{nearest(name, known)}")
    return known[name]
