"""Experiment files: what they may say, and what the run derives from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.config import from_mapping, to_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.spec import Experiment, FeedbackConfig, scripted_teacher

from .tiny import settings, tiny


@pytest.mark.parametrize(
    ("changes", "key", "cure"),
    [
        ({"steps": 0}, "steps", "must be at least 1"),
        ({"iterations": 0}, "iterations", "must be at least 1"),
        ({"evaluation_episodes": -3}, "evaluation_episodes", "must be at least 1"),
        ({"seed": -1}, "seed", "must be in"),
        ({"seed": 2**32}, "seed", "must be in"),
        ({"name": ""}, "name", "must be printable"),
        ({"name": "a\x00b"}, "name", "must be printable"),
        ({"steps": 10**15}, "steps", "set iterations higher"),
        ({"rollout__games": 0}, "rollout.games", "must be at least 1"),
        ({"rollout__games": 2**24 + 1}, "rollout.games", "must be at most 16777216"),
        ({"rollout__games": 2**20, "rollout__steps": 2**11}, "rollout.games", "must be at most 1073741824"),
        ({"iterations": 2**62}, "iterations", "must be at most 16777216"),
        ({"seed": 2**63}, "seed", "64 bits"),
        ({"model__members": 1_001}, "model.members", "must be at most 1000"),
        ({"model__spread": 1e300}, "model.spread", "must be at most 1e+12"),
        ({"model__network__hidden": [65_537]}, "model.network.hidden", "all in 1..65536"),
        ({"game__options": {"size": float("inf")}}, "game.options.size", "must be finite"),
        ({"agent__config": {"hidden": [2**63]}}, "agent.config.hidden[0]", "64 bits"),
        ({"feedback__teacher_settings": {"equal": float("nan")}}, "feedback.teacher_settings.equal", "must be finite"),
        ({"name": "ü" * 101}, "name", "at most 200 bytes"),
        ({"rollout__steps": -1}, "rollout.steps", "must be at least 1"),
        ({"record__lanes": 0}, "record.lanes", "must be at least 1"),
        ({"model__members": 0}, "model.members", "must be at least 1"),
        ({"model__spread": 0.0}, "model.spread", "must be above 0"),
        ({"model__fit__noise": 1.0}, "model.fit.noise", "must be in"),
        ({"model__fit__learning_rate": float("nan")}, "model.fit.learning_rate", "must be finite"),
        ({"model__network__hidden": []}, "model.network.hidden", "must name"),
        ({"reward__constant": float("inf")}, "reward.constant", "must be finite"),
        ({"feedback__budget": -1}, "feedback.budget", "must be at least 0"),
        ({"feedback__initial": 1.5}, "feedback.initial", "must be in"),
        ({"feedback__mode": "asinc"}, "feedback.mode", "did you mean 'async'"),
        ({"feedback__query__clip_length": 0}, "feedback.query.clip_length", "must be at least 1"),
        ({"feedback__query__strategy": "recency"}, "feedback.query.strategy", "needs half_life"),
        ({"feedback__teacher": "oracl"}, "feedback.teacher", "must be human or one of"),
        (
            {"feedback__teacher_settings": {"betta": 1.0}},
            "feedback.teacher_settings.betta",
            "did you mean 'feedback.teacher_settings.beta'",
        ),
        ({"feedback__teacher_settings": {"beta": "high"}}, "feedback.teacher_settings.beta", "must be a number"),
        ({"feedback__teacher_settings": {"gamma": 0.0}}, "feedback.teacher_settings", "TeacherConfig.gamma must be in"),
        ({"model__members": 1, "feedback__query__strategy": "disagreement"}, "feedback.query.strategy", "set model.members to 2 or more"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_key_and_cure(changes: dict[str, Any], key: str, cure: str) -> None:
    with pytest.raises(UserError) as caught:
        from_mapping(Experiment, settings(**changes), "my.toml")
    message = str(caught.value)
    assert message.startswith(f"my.toml: {key}: ")
    assert cure in message


@pytest.mark.parametrize(("table", "lacks"), [({}, "game, agent"), ({"game": {}, "agent": {"name": "a"}}, "game.name")])
def test_who_plays_what_must_be_said(table: dict[str, Any], lacks: str) -> None:
    with pytest.raises(UserError, match=f"missing {lacks}"):
        from_mapping(Experiment, table, "my.toml")


@given(
    steps=st.integers(1, 10**7), iterations=st.integers(1, 50), games=st.integers(1, 100), length=st.integers(1, 200)
)  # fmt: skip
def test_at_least_the_steps_asked_for_in_whole_updates(steps: int, iterations: int, games: int, length: int) -> None:
    experiment = tiny(steps=steps, iterations=iterations, rollout__games=games, rollout__steps=length)
    assert experiment.steps_per_iteration == experiment.updates * games * length
    total = experiment.steps_per_iteration * iterations
    assert steps <= total < steps + iterations * games * length


def test_a_resolved_experiment_says_the_same() -> None:
    experiment = tiny(feedback__teacher_settings={"beta": 2.0}, feedback__query__half_life=30.0)
    assert from_mapping(Experiment, to_mapping(experiment), "config.json") == experiment


def test_only_arms_that_use_the_learned_reward_ask() -> None:
    assert tiny().learns_from_people
    assert not tiny(feedback__budget=0).learns_from_people
    assert not tiny(reward__learned=0.0, reward__true=1.0).learns_from_people


def test_teachers_by_name() -> None:
    assert scripted_teacher(FeedbackConfig(teacher="human"), 0) is None
    random = scripted_teacher(FeedbackConfig(teacher="random"), 3)
    assert random is not None
    assert (random.beta, random.seed) == (0.0, 3)
    mistaken = scripted_teacher(FeedbackConfig(teacher="mistake", teacher_settings={"mistake": 0.3}), 0)
    assert mistaken is not None
    assert (mistaken.mistake, mistaken.beta) == (0.3, None)
