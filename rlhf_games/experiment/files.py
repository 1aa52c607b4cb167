"""Finding and reading experiment files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_games import workspace
from rlhf_games.config import load_toml
from rlhf_games.core.errors import UserError, nearest
from rlhf_games.experiment.spec import Experiment

DEFAULT = "default"
"""The experiment of a workspace that is meant where none is named."""
_FILE = "experiment.toml"


def find_experiment(name: str) -> Path:
    """The file behind a path, a folder, or the name of an experiment in a workspace; without a name, of the one called ``default``.

    Raises:
      UserError: there is none; names the nearest.
    """
    path = Path(name)
    if not name:
        return workspace.experiment(DEFAULT).path
    if path.is_file():
        return path
    if (path / _FILE).is_file():
        return path / _FILE
    if (path / "study.toml").is_file():
        raise UserError(f"{path} is a study, not one experiment: rlhf-games study {path / 'study.toml'}")
    if path.suffix != ".toml" and not path.exists():
        return workspace.experiment(name).path
    meant = path.parent.name if path.name == _FILE else path.stem
    problem = f"the folder {path} holds no {_FILE}" if path.exists() else f"there is no file {path}"
    raise UserError(f"{problem}{nearest(meant, (found.name for found in workspace.experiments()))}")


def load_experiment(name: str, changes: Sequence[str] = ()) -> Experiment:
    """Reads an experiment, with changes (``feedback.budget=400``) on top; without a name the one that is called ``default``."""
    return load_toml(Experiment, find_experiment(name), changes, option_tables)


def option_tables(settings: Mapping[str, Any]) -> dict[str, type]:
    """Dataclasses of the game's options and the agent's settings that an experiment's table names, by dotted key.

    One that cannot be found or imported is left out: whoever builds it says why.
    """
    found: dict[str, type] = {}
    for table, key, look_up in (("game", "options", workspace.game_options), ("agent", "config", workspace.agent_config)):
        choice = settings.get(table)
        name = choice.get("name") if isinstance(choice, Mapping) else None
        if isinstance(name, str):
            with contextlib.suppress(UserError):
                found[f"{table}.{key}"] = look_up(name)
    return found
