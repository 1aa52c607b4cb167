"""How much PPO imitates: in proportion to what is due, at the schedule's rate, no further than a limit, among legal actions."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.agent import Lessons
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.workspace import load_agent

SPEC = GameSpec("test/rows", "1", 1, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c")), 10.0, False, "Made up.")
ALL = [True, True, True]


def lessons(*weights: float, legal: list[bool] = ALL) -> Lessons:
    """Action 1 at a different state for each weight."""
    count = len(weights)
    seen = jnp.stack([jnp.array([math.cos(i), math.sin(i), 1.0]) for i in range(count)])
    return Lessons(seen, jnp.ones(count, jnp.int32), jnp.array(weights, jnp.float32), jnp.array([legal] * count))


class Student:
    """A fresh agent that imitates."""

    def __init__(self, **config: Any) -> None:
        self.agent = load_agent("ppo", {"hidden": [8], "imitation_batch": 8} | config)
        self.state = self.agent.init(jax.random.key(0), SPEC)

    def imitate(self, shown: Lessons, progress: float = 0.0) -> dict[str, float]:
        """Goes on from the state before; metrics without their prefix."""
        self.state, metrics = jax.jit(self.agent.imitate)(self.state, shown, jax.random.key(1), jnp.float32(progress))  # type: ignore[attr-defined]
        return {name.removeprefix("imitation/"): float(value) for name, value in metrics.items()}

    def likely(self, shown: Lessons) -> np.ndarray[Any, Any]:
        """``[B, 3]``."""
        return np.asarray(self.agent.explain(self.agent.params(self.state), shown.observation, shown.legal_action_mask).probabilities)


@pytest.mark.parametrize(("weights", "steps"), [((8,), 1), ((8, 8, 8, 0), 3), ((10, 10), 3), ((1000,), 20)])
def test_steps_are_in_proportion_to_what_is_due(weights: tuple[float, ...], steps: int) -> None:
    # Batches of 8 draws: ⌈Σ weight / 8⌉ steps, 20 at most.
    told = Student(imitation_steps=20, imitation_kl=100.0).imitate(lessons(*weights))
    assert (told["steps"], told["draws"]) == (steps, 8 * steps)


def test_the_rate_is_that_of_the_schedule() -> None:
    # One step without momentum: (1 - progress) as far. At the end of the budget nothing moves; without annealing everything does.
    def moved(progress: float, **config: Any) -> float:
        student = Student(**config)
        before = student.state.params
        student.imitate(lessons(8), progress)
        gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), student.state.params, before)
        return float(max(jax.tree.leaves(gaps)))

    assert moved(0.0, learning_rate=0.001) == pytest.approx(0.001, rel=0.01)  # no weight moves by more than the rate
    assert moved(0.75, learning_rate=0.001) == pytest.approx(0.00025, rel=0.01)
    assert moved(1.0) == 0.0
    assert moved(1.0, learning_rate=0.001, anneal=False) == pytest.approx(0.001, rel=0.01)


def test_the_policy_moves_no_further_than_the_limit() -> None:
    shown = lessons(1000)

    def distance(limit: float) -> tuple[float, float]:
        """Between the policies before and after at the one state, by the definition; and as it was told."""
        student = Student(learning_rate=0.02, imitation_kl=limit)
        before = student.likely(shown)[0]
        told = student.imitate(shown)
        return float(np.sum(before * np.log(before / student.likely(shown)[0]))), told["kl"]

    free, _ = distance(100.0)
    assert free > 0.5, "64 steps at this rate go far"
    for limit in (0.3, 0.05):
        found, told = distance(limit)
        assert found == pytest.approx(told, rel=1e-3)
        assert 0.5 * limit < found <= limit


def test_the_loss_is_that_of_the_policy_that_came_out() -> None:
    """Of one state: minus the logarithm of what the shown action is likely by now, also where the last step was not taken."""
    shown = lessons(1000)
    for limit in (100.0, 0.05, 1e-9):  # goes far, stops at the limit, takes no step at all
        student = Student(learning_rate=0.02, imitation_kl=limit)
        told = student.imitate(shown)
        assert (told["steps"] == 0) == (limit == 1e-9)
        assert told["loss"] == pytest.approx(-math.log(student.likely(shown)[0, 1]), rel=1e-4)


def test_what_is_illegal_takes_no_part() -> None:
    # Only actions 1 and 2 may be played: their probabilities sum to 1, and action 1 starts near a half, not a third.
    shown = lessons(8, legal=[False, True, True])
    student = Student()
    assert student.imitate(shown)["loss"] == pytest.approx(math.log(2), abs=0.05)
    assert student.likely(shown)[0, 0] == 0.0
    # Where the shown action is the only legal one there is nothing to learn.
    alone = Student()
    before = alone.state.params
    assert alone.imitate(lessons(8, legal=[False, True, False]))["loss"] == 0.0
    jax.tree.map(np.testing.assert_array_equal, alone.state.params, before)


def test_the_optimiser_of_reinforcement_learning_is_left_alone() -> None:
    student = Student()
    before = student.state.optimiser
    student.imitate(lessons(64))
    jax.tree.map(np.testing.assert_array_equal, student.state.optimiser, before)


@pytest.mark.parametrize("name", ["imitation_steps", "imitation_batch", "imitation_kl"])
def test_bounds_must_be_positive(name: str) -> None:
    with pytest.raises(UserError, match=f"{name}: must be positive"):
        load_agent("ppo", {name: 0})
