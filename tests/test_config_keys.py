"""Keys of settings: all are found with what they mean, and a mistyped key is answered with one that exists."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field
from typing import Any

import pytest

from rlhf_games import workspace
from rlhf_games.config_keys import Setting, field_docs, keys, settings
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.files import load_experiment, option_tables
from rlhf_games.experiment.spec import Experiment


@dataclass(frozen=True)
class Wheel:
    """A wheel."""

    size: int = 3
    """Its size,
    in inches."""


@dataclass(frozen=True)
class Cart:
    name: str
    """Of the cart."""
    front: Wheel = field(default_factory=Wheel)
    colour: dict[str, Any] = field(default_factory=dict)
    """What the painter says."""
    weight: float | None = None


@dataclass(frozen=True)
class Paint:
    red: float = 0.5
    """Share of red."""


def test_settings_are_listed_in_order_with_type_default_and_meaning() -> None:
    assert list(settings(Cart, {"colour": Paint})) == [
        Setting("name", "a string", MISSING, "Of the cart."),
        Setting("front", "", MISSING, "A wheel."),
        Setting("front.size", "an integer", 3, "Its size, in inches."),
        Setting("colour", "a table", {}, "What the painter says."),
        Setting("colour.red", "a number", 0.5, "Share of red."),
        Setting("weight", 'a number or "none"', None, ""),
    ]
    assert field_docs(Wheel) == {"size": "Its size, in inches."}


@pytest.fixture(scope="module")
def known() -> list[str]:
    return keys(Experiment, option_tables({"game": {"name": "minatar/breakout"}, "agent": {"name": "ppo"}}))


def test_every_setting_of_an_experiment_says_what_it_means() -> None:
    tables = option_tables({"game": {"name": "minatar/breakout"}, "agent": {"name": "ppo"}})
    assert tables == {"game.options": workspace.game_options("minatar/breakout"), "agent.config": workspace.agent_config("ppo")}
    listed = list(settings(Experiment, tables))
    assert {"feedback.budget", "agent.config.learning_rate", "game.options.max_steps", "model.fit.weights.preference"} <= {
        setting.key for setting in listed
    }
    assert [setting.key for setting in listed if not setting.meaning] == []


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("agent.config.learning_rat=1", "did you mean 'agent.config.learning_rate'?"),
        ("agent.learning_rate=1", "did you mean 'agent.config.learning_rate'?"),
        ("learning_rate=1", "did you mean 'agent.config.learning_rate' or 'model.fit.learning_rate'?"),
        ("game.options.max_step=1", "did you mean 'game.options.max_steps'?"),
        ("sticky=0.1", "did you mean 'game.options.sticky_action_prob'?"),
        ("model.hidden=[3]", "did you mean 'model.network.hidden'?"),
        ("feedback.teacher_settings.bta=1", "did you mean 'feedback.teacher_settings.beta'?"),
        ("agent.config.zzz=1", "known are: agent.config.activation, agent.config.adam_epsilon,"),
    ],
)
def test_a_wrong_set_names_the_nearest_key_with_its_whole_path(change: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        load_experiment("demo", [change])
    assert str(caught.value).startswith(f"--set {change}: {change.partition('=')[0]}")
    assert hint in str(caught.value)


def test_whatever_is_named_exists(known: list[str]) -> None:
    for key in known:
        wrong = key[:-1] + "_"
        if wrong.rpartition(".")[2] == "_":
            continue
        with pytest.raises(UserError) as caught:
            load_experiment("demo", [f"{wrong}=1"])
        hint = str(caught.value).partition("; ")[2]
        assert (named := re.findall(r"'([\w.]+)'", hint) or hint.removeprefix("known are: ").split(", ")), str(caught.value)
        assert set(named) <= set(known), str(caught.value)


def test_a_wrong_value_in_an_option_table_names_the_override() -> None:
    with pytest.raises(UserError, match=r"^--set agent\.config\.epochs=many: agent\.config\.epochs: expected an integer, got 'many'"):
        load_experiment("demo", ["agent.config.epochs=many"])
    with pytest.raises(UserError, match=r"^--set agent\.config\.epochs=0: agent\.config\.epochs: must be positive, got 0"):
        load_experiment("demo", ["agent.config.epochs=0"])
