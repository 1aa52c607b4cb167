"""``rlhf-games check game`` and ``rlhf-games check agent``: the contract suites, rule by rule, for authors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import tyro

from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.core.agent import Agent
    from rlhf_games.testing import Verdict

_Settings: TypeAlias = tyro.conf.UseAppendAction[tuple[str, ...]]


@dataclass(frozen=True)
class CheckGame:
    """Check a game against the contract: shapes, masks, seeds, exact replay, batches, branches, pictures.

    Exit status 0 if every rule holds, 1 if one is broken.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """The game, as family/game."""
    set: Annotated[_Settings, tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """An option of the game, as KEY=VALUE; may be given several times."""
    steps: int = 1_000
    """Decisions played by each rule that plays."""
    deterministic: bool = False
    """Say that the game has no chance in it, so that seeds may make no difference."""

    def run(self) -> int:
        """Checks and prints one line per rule."""
        if self.steps < 1:
            raise UserError(f"--steps must be at least 1, got {self.steps}")
        from rlhf_games import workspace
        from rlhf_games.cli.backend import demand_device
        from rlhf_games.testing import GAME_RULES, GameSubject, verdicts

        demand_device()
        game = workspace.load_game(self.name, _settings(self.set))
        subject = GameSubject(game, steps=self.steps, deterministic=self.deterministic, rebuild=workspace.load_game)
        return _report([(self.name, [rule.name for rule in GAME_RULES], verdicts(GAME_RULES, subject))])


@dataclass(frozen=True)
class CheckAgent:
    """Check an agent against the contract: shapes, legality, probabilities, keys, updates.

    It meets made-up observations of several kinds of games (grid, vector, real-valued actions, pixels), or with --game of one real game,
    which is quicker. Exit status 0 if every rule holds, 1 if one is broken.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """The agent."""
    set: Annotated[_Settings, tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """A setting of the agent, as KEY=VALUE; may be given several times."""
    game: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """Check on this game's shapes only, as family/game."""

    def run(self) -> int:
        """Checks and prints one line per rule."""
        from rlhf_games import workspace

        if not self.game:
            print(
                f"{self.name} is checked on several kinds of games, pixels last and slowest; --game NAME checks it on one game only",
                flush=True,
            )
        from rlhf_games.cli.backend import demand_device
        from rlhf_games.testing import AGENT_RULES, AgentSubject, example_specs, verdicts

        demand_device()
        specs = (workspace.load_game(self.game).spec,) if self.game else example_specs()
        names = [rule.name for rule in AGENT_RULES]
        config = _settings(self.set)

        def agent() -> Agent:
            return workspace.load_agent(self.name, config)

        return _report(
            [(f"{self.name} on {spec.name}: {spec.aim}", names, verdicts(AGENT_RULES, AgentSubject(agent(), spec))) for spec in specs]
        )


def _settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """``KEY=VALUE`` arguments as a nested mapping."""
    from rlhf_games.config import parse_set

    settings: dict[str, Any] = {}
    for text in texts:
        keys, value = parse_set(text)
        table = settings
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise UserError(f"--set {text}: {key} was set to a plain value before")
        table[keys[-1]] = value
    return settings


def _report(subjects: list[tuple[str, list[str], Iterator[Verdict]]]) -> int:
    """Prints verdicts as they come, with the rule under way shown; returns the exit status."""
    from rich.text import Text

    from rlhf_games.cli.console import LiteralConsole
    from rlhf_games.core.literal import literal

    console = LiteralConsole(highlight=False)
    broken = checked = 0
    for number, (title, names, found) in enumerate(subjects, 1):
        place = f"{number}/{len(subjects)} " if len(subjects) > 1 else ""
        console.print(Text(literal(place + title), style="bold"), soft_wrap=True)
        for rule, name in enumerate(names, 1):
            with console.status(Text(f"  rule {rule} of {len(names)}: {name} ...")):
                verdict = next(found)
            checked += 1
            broken += bool(verdict.problem)
            mark = ("FAIL", "bold red") if verdict.problem else ("pass", "green")
            console.print(Text.assemble("  ", mark, f"  {verdict.name:<13} {verdict.sentence}"), soft_wrap=True)
            if verdict.problem:
                console.print(Text(literal(f"        {verdict.problem}"), style="red"), soft_wrap=True)
    console.print(f"{checked - broken} of {checked} rules hold" + (f", {broken} broken" if broken else ""))
    return 1 if broken else 0
