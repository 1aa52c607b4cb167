"""Finding and reading experiment files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlhf_games import workspace
from rlhf_games.config import load_toml
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.spec import Experiment

DEFAULT = "default"
"""The experiment of a workspace that is meant where none is named."""


def find_experiment(name: str) -> Path:
    """The file behind a path, a folder, or the name of an experiment in a workspace.

    Raises:
      UserError: there is none.
    """
    path = Path(name)
    if path.is_dir() and (path / "experiment.toml").exists():
        return path / "experiment.toml"
    if path.suffix == ".toml" or path.exists():
        if not path.is_file():
            raise UserError(f"there is no file {path}: name an experiment file, its folder, or an experiment of a workspace")
        return path
    return workspace.experiment(name).path


def load_experiment(name: str, changes: Sequence[str] = ()) -> Experiment:
    """Reads an experiment, with changes (``feedback.budget=400``) on top; without a name the one that is called ``default``."""
    return load_toml(Experiment, find_experiment(name) if name else workspace.experiment(DEFAULT).path, changes)
