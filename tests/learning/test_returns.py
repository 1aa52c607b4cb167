"""Generalised advantage estimation, by hand and against a plain loop over each seat's own decisions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rlhf_games.core.agent import Rollout
from rlhf_games.learning.returns import Advantages, generalized_advantages, rollout_advantages

compiled = jax.jit(generalized_advantages)


def column(*numbers: float) -> jnp.ndarray:
    """``[T, 1, 1]``: one game, one seat."""
    return jnp.array(numbers, jnp.float32)[:, None, None]


def advantages(
    reward: Any,
    value: Any,
    last: float,
    *,
    done: Any,
    bootstrap: Any = None,
    acting: Any = None,
    unknown: Any = None,
    discount: float = 0.9,
    trace: float = 0.5,
) -> tuple[list[float], list[float]]:
    """Of one seat, as lists."""
    result = compiled(
        column(*reward),
        column(*value),
        jnp.full((1, 1), last, jnp.float32),
        column(*done) > 0,
        column(*(bootstrap or [0.0] * len(reward))),
        column(*(acting or [1.0] * len(reward))) > 0,
        column(*(unknown or [0.0] * len(reward))) > 0,
        discount=discount,
        trace=trace,
    )
    return result.advantage[:, 0, 0].tolist(), result.target[:, 0, 0].tolist()


def test_three_steps_by_hand() -> None:
    # γ = 0.9, λ = 0.5, so γλ = 0.45. Values 1, 2, 3 and then 4; rewards 1, 0, 2; nothing ends.
    # δ2 = 2 + 0.9·4 - 3 = 2.6            A2 = 2.6
    # δ1 = 0 + 0.9·3 - 2 = 0.7            A1 = 0.7 + 0.45·2.6  = 1.87
    # δ0 = 1 + 0.9·2 - 1 = 1.8            A0 = 1.8 + 0.45·1.87 = 2.6415
    advantage, target = advantages([1, 0, 2], [1, 2, 3], 4, done=[0, 0, 0])
    assert advantage == pytest.approx([2.6415, 1.87, 2.6])
    assert target == pytest.approx([3.6415, 3.87, 5.6])


def test_nothing_flows_back_over_a_termination() -> None:
    # The episode terminates at step 1: δ1 = 0 + 0 - 2 = -2, and A1 = δ1 whatever follows. A0 = 1.8 + 0.45·(-2) = 0.9.
    advantage, _ = advantages([1, 0, 2], [1, 2, 3], 4, done=[0, 1, 0])
    assert advantage == pytest.approx([0.9, -2.0, 2.6])


def test_a_truncated_episode_is_worth_its_last_value() -> None:
    # Truncated at step 1, where the last observation was worth 10: δ1 = 0 + 0.9·10 - 2 = 7, A0 = 1.8 + 0.45·7 = 4.95.
    advantage, _ = advantages([1, 0, 2], [1, 2, 3], 4, done=[0, 1, 0], bootstrap=[0, 10, 0])
    assert advantage == pytest.approx([4.95, 7.0, 2.6])


def test_ends_at_the_last_step_ignore_the_next_episode() -> None:
    # Terminated: δ1 = 5 - 2. Truncated with bootstrap 10: δ1 = 5 + 9 - 2. The last value 1,000 is of another episode.
    assert advantages([0, 5], [1, 2], 1000, done=[0, 1])[0][1] == pytest.approx(3)
    assert advantages([0, 5], [1, 2], 1000, done=[0, 1], bootstrap=[0, 10])[0][1] == pytest.approx(12)


def test_a_reward_on_the_opponents_move_belongs_to_ones_own_last_move() -> None:
    # The seat acts at steps 0 and 2; its opponent loses for it at step 1 (+1) and wins at step 3 (-1), where the game ends.
    # A2 = (0 + -1) - 3 = -4             (no value after the end)
    # δ0 = (0 + 1) + 0.9·3 - 1 = 2.7     (the next own value, discounted once although two steps passed)
    # A0 = 2.7 + 0.45·(-4) = 0.9
    advantage, target = advantages([0, 1, 0, -1], [1, 50, 3, 50], 1000, done=[0, 0, 0, 1], acting=[1, 0, 1, 0])
    assert advantage == pytest.approx([0.9, 0, -4, 0])
    assert target == pytest.approx([1.9, 0, -1, 0])


def test_a_rollout_may_stop_before_ones_own_next_move() -> None:
    # Acts at step 0; the two opponent moves after it bring 1 and 2; then it is to move again, at value 4: 3 + 0.9·4 - 1.
    advantage, _ = advantages([0, 1, 2], [1, 50, 50], 4, done=[0, 0, 0], acting=[1, 0, 0])
    assert advantage == pytest.approx([5.6, 0, 0])


def test_a_rollout_that_stops_while_the_opponent_thinks_says_nothing_of_the_last_move() -> None:
    # Acts at steps 0 and 2 and waits at the end, where nobody knows what 1,000 is worth: the move of step 2 does not count,
    # and that of step 0 stands on the value of step 2 alone: A0 = (0 + 1) + 0.9·3 - 1.
    arrays = {"done": [0, 0, 0, 0], "acting": [1, 0, 1, 0], "unknown": [0, 0, 0, 1]}
    advantage, target = advantages([0, 1, 0, 5], [1, 50, 3, 50], 1000, **arrays)  # type: ignore[arg-type]
    assert advantage == pytest.approx([2.7, 0, 0, 0])
    assert target == pytest.approx([3.7, 0, 0, 0])
    # The same where the episode is truncated there; what follows is another episode, in which the seat acts: 7 + 0.9·2 - 4.
    again = {"done": [0, 0, 0, 1, 0], "acting": [1, 0, 1, 0, 1], "unknown": [0, 0, 0, 1, 0], "bootstrap": [0, 0, 0, 1000, 0]}
    advantage, target = advantages([0, 1, 0, 5, 7], [1, 50, 3, 50, 4], 2, **again)  # type: ignore[arg-type]
    assert advantage == pytest.approx([2.7, 0, 0, 0, 4.8])
    assert target == pytest.approx([3.7, 0, 0, 0, 8.8])


def seat(terminated: Any, truncated: Any, acting: Any, out: Any, waits: Any, *, reward: Any, bootstrap: Any) -> Rollout:
    """A rollout of one seat of which nothing else matters."""
    flags = (column(*flag)[:, :, 0] > 0 for flag in (terminated, truncated))
    return Rollout(
        column(*reward), column(*reward), column(*reward), *flags, column(*reward)[..., None] > 9, column(*acting) > 0, None,
        column(*bootstrap), column(*reward)[0], column(*out) > 0, column(*waits) > 0,
    )  # fmt: skip  # type: ignore[arg-type]


@pytest.mark.parametrize("truncated", [0, 1])
def test_a_seat_that_is_out_has_no_future(truncated: int) -> None:
    # It leaves at step 1 of 3 and earns 0.5 by it; the others go on, and the episode goes on or is truncated, at value 5.
    # γ = 0.9, λ = 0: its targets are 0 + 0.9·2 at step 0 and 0.5 at step 1, not 0.5 + 0.9·5.
    rollout = seat(
        [0, 0, 0], [0, 0, truncated], [1, 1, 0], [0, 1, 1], [0, 0, 0], reward=[0, 0.5, 0], bootstrap=[0, 0, 0]
    )  # a driver's bootstrap is 0 where a seat is out
    found = rollout_advantages(rollout, column(1, 2, 50), jnp.full((1, 1), 5.0), discount=0.9, trace=0.0)
    assert found.target[:, 0, 0].tolist() == pytest.approx([1.8, 0.5, 0])
    assert found.counts[:, 0, 0].tolist() == [True, True, False]


def test_a_seat_that_waits_keeps_its_future_until_it_is_known() -> None:
    # The same seat only waits: nothing is known of its move of step 1. Were it to move next, the target would be 0.5 + 0.9·5.
    flags = {"terminated": [0, 0, 0], "truncated": [0, 0, 0], "acting": [1, 1, 0], "out": [0, 0, 0]}
    for waits, target, counts in (([0, 1, 1], [1.8, 0, 0], [True, False, False]), ([0, 1, 0], [1.8, 5.0, 0], [True, True, False])):
        rollout = seat(**flags, waits=waits, reward=[0, 0.5, 0], bootstrap=[0, 0, 0])  # type: ignore[arg-type]
        found = rollout_advantages(rollout, column(1, 2, 50), jnp.full((1, 1), 5.0), discount=0.9, trace=0.0)
        assert found.target[:, 0, 0].tolist() == pytest.approx(target)
        assert found.counts[:, 0, 0].tolist() == counts


def test_what_a_seat_earns_before_its_first_move_is_nobodys() -> None:
    # The first episode ends at step 0 by the seat's own move. In the second the opponent moves first and that brings 7.
    advantage, _ = advantages([1, 7, 0], [2, 50, 3], 4, done=[1, 0, 0], acting=[1, 0, 1])
    assert advantage == pytest.approx([-1, 0, 0.6])


def by_loop(
    reward: NDArray[Any],
    value: NDArray[Any],
    last: float,
    done: NDArray[Any],
    boot: NDArray[Any],
    acting: NDArray[Any],
    unknown: NDArray[Any],
    *,
    g: float,
    lam: float,
) -> NDArray[Any]:
    """Of one seat, from the definition: for each own move, add up what follows until the next own move or the end."""
    moves = list(np.flatnonzero(acting))
    advantage = np.zeros(len(reward))
    for at in reversed(moves):
        earned, t = reward[at], at
        while not done[t] and t + 1 < len(reward) and not acting[t + 1]:
            if unknown[t]:
                break
            t += 1
            earned += reward[t]
        if unknown[t]:
            continue  # its advantage stays 0
        if done[t]:
            following, carried = boot[t], 0.0
        elif t + 1 < len(reward):
            following, carried = value[t + 1], advantage[t + 1]
        else:
            following, carried = last, 0.0
        advantage[at] = earned + g * following - value[at] + g * lam * carried
    return advantage


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_scan_and_loop_agree(seed: int, discount: float, trace: float) -> None:
    rng = np.random.default_rng(seed)
    shape = T, N, P = 19, 2, 2
    reward, value, last = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=(N, P))
    end = rng.random((T, N)) < 0.2
    boot = rng.normal(size=shape) * (end & (rng.random((T, N)) < 0.5))[..., None]
    acting = rng.random(shape) < 0.6
    unknown = rng.random(shape) < 0.1
    done = np.repeat(end[..., None], P, -1)
    arrays = (jnp.asarray(x, jnp.float32) for x in (reward, value, last))
    result: Advantages = compiled(
        *arrays,
        jnp.asarray(done),
        jnp.asarray(boot, jnp.float32),
        jnp.asarray(acting),
        jnp.asarray(unknown),
        discount=discount,
        trace=trace,
    )
    for n in range(N):
        for p in range(P):
            x = [array[:, n, p] for array in (reward, value)] + [last[n, p]] + [array[:, n, p] for array in (done, boot, acting, unknown)]
            np.testing.assert_allclose(result.advantage[:, n, p], by_loop(*x, g=discount, lam=trace), rtol=2e-4, atol=2e-5)
    assert not (np.asarray(result.counts) & ~acting).any()
    np.testing.assert_allclose(result.target, np.where(result.counts, np.asarray(result.advantage) + value, 0), rtol=1e-4, atol=1e-5)
