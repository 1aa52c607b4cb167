"""``rlhf-games bench learner``: how fast the agent learns from a reward model, beside a peer that learns from the true score."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlhf_games.cli.bench.peer import Measurer, Peer
from rlhf_games.cli.bench.processor import processor
from rlhf_games.core.errors import UserError

EXPERIMENT = "bench-learner"
"""Names the game and the agent."""
GAMES, STEPS, EPOCHS, MINIBATCHES = 64, 128, 4, 8
MEMBERS = 3
PEER_NETWORK = (64, 64)
"""Dense layers of the peer's actor, and of its critic."""
FIT_MEMBERS, FIT_PAIRS, FIT_STEPS, FIT_EPOCHS = 5, 1_000, 25, 20
FIT_REFERENCE = {10: 1.35, 400: 3.6}
"""Inputs of the reward network, and the seconds its fit took when the design was measured (two cores, not under load)."""

ROLES = {
    "same network": {"network": "mlp", "hidden": PEER_NETWORK, "shared": False},
    "default network": {},
}
"""What is measured, and the agent's settings that differ from its defaults."""


@dataclass(frozen=True)
class BenchLearner:
    """Measure steps per second of learning MinAtar Breakout, against rejax; all on CPU, in turn.

    Ours learns with a 3-member reward model in the loop, the peer from the true score: the same games, steps, epochs and minibatches. Only
    steady work counts, no compilation. Also times a fit of the reward model. The peer's environment is installed once into the user's
    cache folder.
    """

    repeats: int = 5
    """Measurements of each, taken in turn; the median of each is compared."""
    updates: int = 4
    """Updates in one measurement (8,192 steps each)."""
    peer: bool = True
    """Measure the peer too; --no-peer needs no network."""
    fit: bool = True
    """Time the fit of the reward model too."""
    json: bool = False
    """One JSON object instead of tables, for scripts."""

    def run(self) -> int:
        """Measures and prints."""
        if self.repeats < 1 or self.updates < 1:
            raise UserError("--repeats and --updates must be at least 1")
        os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX is imported
        result: dict[str, Any] = {"processor": processor(), "learner": self._learner()}
        if self.fit:
            result["fit"] = {str(inputs): fit_seconds(inputs) for inputs in FIT_REFERENCE}
        if self.json:
            print(json.dumps(result, indent=1))
        else:
            _print_tables(result)
        return 0

    def _learner(self) -> dict[str, Any]:
        ours = {role: ours_ready(settings, self.updates) for role, settings in ROLES.items()}
        if not self.peer:
            return summary(self._in_turn(ours))
        settings = {
            "games": GAMES, "steps": STEPS, "epochs": EPOCHS, "minibatches": MINIBATCHES, "hidden": PEER_NETWORK, "updates": self.updates,
        }  # fmt: skip
        with rejax_peer().running("rejax_ppo.py", settings, {"JAX_PLATFORMS": "cpu"}) as measurer:
            measurer.measure()  # waits until it has compiled, so that the first of ours is not disturbed
            return summary(self._in_turn({**ours, "rejax": lambda: _peer_seconds(measurer)}))

    def _in_turn(self, measures: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Steps per second of each, ``repeats`` times, one after the other: what else the machine does falls on all of them alike."""
        steps = self.updates * GAMES * STEPS
        speeds: dict[str, list[float]] = {role: [] for role in measures}
        for i in range(self.repeats):
            for role, measure in measures.items():
                speeds[role].append(steps / measure())
            print(f"repeat {i + 1}/{self.repeats}: " + ", ".join(f"{role} {s[-1]:,.0f}" for role, s in speeds.items()), file=sys.stderr)
        return speeds


def rejax_peer() -> Peer:
    """The environment of the peer, with the JAX that is measured here."""
    import jax

    return Peer("rejax", ("rejax==0.1.3", "gymnax<1", f"jax=={jax.__version__}"))


def _peer_seconds(measurer: Measurer) -> float:
    return float(measurer.measure()["seconds"])


def summary(speeds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, all values, and each of ours divided by the peer (where there is one)."""
    result: dict[str, Any] = {}
    for role, values in speeds.items():
        result[role] = {"steps_per_second": statistics.median(values), "all": values}
        if "rejax" in speeds and role != "rejax":
            result[role]["ratio"] = statistics.median(values) / statistics.median(speeds["rejax"])
    return result


def ours_ready(settings: dict[str, Any], updates: int) -> Callable[[], float]:
    """Compiles our learner and gives a function that measures ``updates`` updates, in seconds."""
    import jax

    from rlhf_games import workspace
    from rlhf_games.core.game import DeviceGame
    from rlhf_games.experiment.files import load_experiment
    from rlhf_games.experiment.trainer import DeviceTrainer
    from rlhf_games.reward.ensemble import RewardEnsemble
    from rlhf_games.reward.networks import NetworkConfig
    from rlhf_games.reward.sources import SourceWeights, reward_state

    experiment = load_experiment(EXPERIMENT)
    game = workspace.load_game(experiment.game.name, experiment.game.options)
    if not isinstance(game, DeviceGame):
        raise UserError(f"{game.spec.name} is no device game: the experiment {EXPERIMENT} of this workspace cannot be measured")
    config = {**experiment.agent.config, **settings, "epochs": EPOCHS, "minibatches": MINIBATCHES}
    agent = workspace.load_agent(experiment.agent.name, config)
    ensemble, params = RewardEnsemble.create(game.spec, NetworkConfig(), MEMBERS, jax.random.key(1))
    trainer = DeviceTrainer(game, agent, ensemble, games=GAMES, steps=STEPS, hide_ends=False)
    reward = reward_state(SourceWeights(learned=1.0), params)
    learner = trainer.start(0, 1)

    def measure() -> float:
        nonlocal learner
        begin = time.perf_counter()
        learner, metrics = trainer.train(learner, reward, updates=updates, begin=0.0, end=0.1)
        float(metrics["reward/mean"])  # waits for all of it: the learner comes out of the same program
        return time.perf_counter() - begin

    measure()
    return measure


def fit_seconds(inputs: int) -> float:
    """Seconds of a fit of ``FIT_MEMBERS`` networks on ``inputs`` numbers to ``FIT_PAIRS`` pairs of clips; the better of two."""
    import jax
    import jax.numpy as jnp

    from rlhf_games.reward.fit import FitConfig, fit, initial_state
    from rlhf_games.reward.rows import pair_rows

    ensemble, params = _vector_ensemble(inputs)
    keys = jax.random.split(jax.random.key(2), 3)
    features = jax.random.normal(keys[0], (FIT_PAIRS, 2, FIT_STEPS, inputs))
    returns = features[..., 0].sum(axis=-1)
    rows = pair_rows(
        features=features,
        mask=jnp.ones((FIT_PAIRS, 2, FIT_STEPS), bool),
        label=(returns[:, 1] > returns[:, 0]).astype(jnp.int32),
        weight=jax.random.poisson(keys[1], 1.0, (FIT_MEMBERS, FIT_PAIRS)).astype(jnp.float32),
        holdout=jnp.zeros((FIT_PAIRS,), bool),
    )
    # every epoch is made: without a hold-out nothing stops it
    config = FitConfig(max_epochs=FIT_EPOCHS, patience=FIT_EPOCHS + 1)
    seconds = []
    for _ in range(3):  # the first compiles
        state = initial_state(params)
        begin = time.perf_counter()
        _, report = fit(ensemble, config, state, {"preference": rows}, keys[2])
        epochs = int(report.epochs)
        seconds.append(time.perf_counter() - begin)
        if epochs != FIT_EPOCHS:
            raise RuntimeError(f"the fit made {epochs} passes instead of {FIT_EPOCHS}: its time would say nothing")
    return min(seconds[1:])


def _vector_ensemble(inputs: int) -> tuple[Any, Any]:
    """An ensemble on plain vectors of ``inputs`` numbers, with the layers that the references were measured with."""
    import jax

    from rlhf_games.core.game import GameSpec
    from rlhf_games.core.spaces import Discrete, Observation
    from rlhf_games.reward.ensemble import RewardEnsemble
    from rlhf_games.reward.networks import NetworkConfig

    spec = GameSpec(
        name="bench/vector", version="1", players=1, observation=Observation((inputs,), "float32", "vector"),
        actions=Discrete(("stay", "go")), decisions_per_second=1.0, turn_based=False, aim="Vectors to fit a reward on.",
    )  # fmt: skip
    network = NetworkConfig(next_observation=False, hidden=(64, 64))
    return RewardEnsemble.create(spec, network, FIT_MEMBERS, jax.random.key(0))


def _print_tables(result: dict[str, Any]) -> None:
    from rich.table import Table

    from rlhf_games.cli.console import LiteralConsole

    console = LiteralConsole()
    speeds = Table("learner", "reward", "steps/s", "slowest to fastest", "ratio", title=f"MinAtar Breakout, {GAMES} games × {STEPS} steps")
    for role, entry in result["learner"].items():
        peer = role == "rejax"
        name = "rejax 0.1.3" if peer else f"ours, {role}"
        span = f"{min(entry['all']):,.0f} to {max(entry['all']):,.0f}"
        ratio = f"{entry['ratio']:.2f}" if "ratio" in entry else ""
        speeds.add_row(name, "true" if peer else f"{MEMBERS} networks", f"{entry['steps_per_second']:,.0f}", span, ratio)
    console.print(speeds)
    console.print(f"on {result['processor']}", highlight=False)
    if "fit" in result:
        fits = Table(
            "inputs",
            "seconds",
            "when designed",
            title=f"fit: {FIT_MEMBERS} × {FIT_PAIRS:,} pairs × {FIT_STEPS} steps × {FIT_EPOCHS} passes",
        )
        for inputs, reference in FIT_REFERENCE.items():
            fits.add_row(str(inputs), f"{result['fit'][str(inputs)]:.2f}", f"{reference:.2f}")
        console.print(fits)
