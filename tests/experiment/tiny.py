"""A game so small that programs for it compile in a moment, as a lab's game, and an experiment on it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlhf_games.config import from_mapping
from rlhf_games.experiment.spec import Experiment

GAME = '''
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from rlhf_games.testing.probes import MatchObservation


@dataclass(frozen=True)
class Options:
    """Options of the family."""

    strict: bool = True
    """Says nothing."""


@dataclass(frozen=True)
class Match(MatchObservation):
    """Eight coins: the action that matches the coin that is seen earns +1, the other -1."""

    strict: bool = True
    probe: ClassVar[str] = "match"
    length: ClassVar[int] = 8


@dataclass(frozen=True)
class Timed(Match):
    """The same, and every step that the game goes on earns: it ends at the first mistake."""

    probe: ClassVar[str] = "timed"
    length: ClassVar[int] = 64

    def reward(self, observation, action, t):
        return jnp.float32(1.0)

    def step(self, state, action, key):
        after = super().step(state, action, key)
        right = (state.observation[0] > 0) == (action[0] == 1)
        return after._replace(t=jnp.where(right, after.t, jnp.int32(self.length)))


def make(name, options):
    return {"match": Match, "timed": Timed}[name](options.strict)
'''
CARDS = """
kind = "device"
[[game]]
name = "match"
title = "Match"
players = 1
aim = "Match the coin."
[[game]]
name = "timed"
title = "Timed"
players = 1
aim = "Match the coin, or it is over."
"""
SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "steps": 512,
    "iterations": 4,
    "evaluation_episodes": 8,
    "game": {"name": "probe/match"},
    "agent": {"name": "ppo", "config": {"minibatches": 2, "epochs": 1, "hidden": [8]}},
    "rollout": {"games": 4, "steps": 16},
    "record": {"lanes": 4, "steps": 40},
    "model": {"members": 2, "network": {"action": True, "hidden": [8]}, "fit": {"max_epochs": 3, "holdout": 0.3}},
    "feedback": {"budget": 30, "query": {"clip_length": 5}},
}


def make_lab(folder: Path) -> Path:
    """A workspace with the family ``probe`` of two games."""
    family = folder / "games" / "probe"
    family.mkdir(parents=True)
    (family / "game.py").write_text(GAME)
    (family / "cards.toml").write_text(CARDS)
    (folder / "rlhf-games.toml").touch()
    return folder


def settings(**changes: Any) -> dict[str, Any]:
    """``SETTINGS`` with changes; ``feedback__budget=3`` goes into the table ``feedback``."""
    table = copy.deepcopy(SETTINGS)
    for key, value in changes.items():
        *path, last = key.split("__")
        place = table
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return table


def tiny(**changes: Any) -> Experiment:
    """The experiment of ``settings``."""
    return from_mapping(Experiment, settings(**changes), "the test")


def values(tree: Any) -> list[Any]:
    """A tree's leaves as NumPy arrays, random keys as their data."""

    def plain(leaf: Any) -> Any:
        is_key = isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return [plain(leaf) for leaf in jax.tree.leaves(tree)]


def same(first: Any, second: Any) -> None:
    """Asserts that two trees are equal bit for bit."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, other in zip(values(first), values(second), strict=True):
        np.testing.assert_array_equal(one, other)


def flags(table: dict[str, Any], prefix: str = "") -> list[str]:
    """``--set`` flags that say what a table of settings says."""
    found = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += flags(value, f"{prefix}{key}.")
        else:
            text = str(value).lower() if isinstance(value, bool) else value
            found += ["--set", f"{prefix}{key}={text}"]
    return found
