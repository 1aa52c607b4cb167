"""``rlhf-games settings``: every key that an experiment file or ``--set`` may have."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rlhf_games.config_keys import Setting


@dataclass(frozen=True)
class Settings:
    """List every setting of an experiment: its key, what it accepts, its default, what it means.

    An experiment's own values stand behind the defaults that they change. The settings of its agent (agent.config) and the options of its
    game (game.options) are listed too; without an experiment, name them: --set agent.name=NAME --set game.name=NAME.
    """

    experiment: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT")] = ""
    """An experiment file, its folder, or the name of one in a workspace; left out: the defaults alone."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY=VALUE")] = field(default=())
    """Change one setting, as rlhf-games run takes it; may be given many times."""
    find: Annotated[str, tyro.conf.arg(metavar="TEXT")] = ""
    """Only settings with this text in their key or meaning."""

    def run(self) -> int:
        """Prints the list."""
        from rlhf_games.config import merged
        from rlhf_games.config_keys import settings
        from rlhf_games.core.errors import UserError
        from rlhf_games.experiment.files import find_experiment, load_experiment, option_tables
        from rlhf_games.experiment.spec import Experiment

        file = find_experiment(self.experiment) if self.experiment else None
        given, _ = merged(file, self.set)
        if file is not None:
            load_experiment(str(file), self.set)  # refuses what a run would refuse
        listed = [setting for setting in settings(Experiment, option_tables(given)) if _has(setting, self.find)]
        if not listed:
            raise UserError(f"no setting has {self.find!r} in its key or meaning; rlhf-games settings lists all")
        values = dict(_flat(given))
        for setting in listed:
            print("\n".join(_lines(setting, values)))
        return 0


def _has(setting: Setting, text: str) -> bool:
    return text.casefold() in f"{setting.key} {setting.meaning}".casefold()


def _lines(setting: Setting, values: Mapping[str, Any]) -> Iterator[str]:
    """A setting as it is printed: a line for programs to search, then its meaning."""
    if not setting.accepted:
        yield f"\n[{setting.key}]  {setting.meaning}"
        return
    default = "must be set" if setting.default is MISSING else f"default {_toml(setting.default)}"
    here = f"; set to {_toml(values[setting.key])}" if setting.key in values and values[setting.key] != setting.default else ""
    yield f"{setting.key}  {setting.accepted}; {default}{here}"
    yield from textwrap.wrap(setting.meaning, 96, initial_indent="    ", subsequent_indent="    ")


def _toml(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '"none"' if value is None else json.dumps(value, ensure_ascii=False)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        yield f"{prefix}{name}", value
