"""``rlhf-games bench atari``: the loop's speed on a real Atari game beside stable-baselines3."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from rlhf_games.cli.bench.processor import processor

if TYPE_CHECKING:
    from rlhf_games.experiment.spec import Experiment
    from rlhf_games.learning.products import Precision

_EXPERIMENT = "bench-atari"
"""Names the game and the agent."""
_MINIBATCHES = 4
_TRIALS = 2
"""Measurements of each precision before one is chosen."""
_PEER = (
    "stable-baselines3==2.9.2",
    "torch==2.13.0",
    "gymnasium==1.4.0",
    "ale-py==0.12.1",
    "opencv-python-headless==5.0.0.93",
)


class Result(TypedDict):
    """What was measured; medians over the rounds."""

    game: str
    processor: str
    precision: str
    """Of our products."""
    tried: dict[str, float]
    """Seconds of one measurement of ours with each precision, where the faster one was chosen; empty where it was given."""
    decisions_per_second: float
    peer_decisions_per_second: float
    ratio: float
    rounds: list[dict[str, float]]
    """Seconds of each round, ours and the peer's."""
    settings: dict[str, int]


@dataclass(frozen=True)
class BenchAtari:
    """Measures decisions per second of PPO on Atari Pong, ours paid by a 3-member reward ensemble, stable-baselines3 by the score.

    Both: the Nature network with 512 dense units, as many games, steps, epochs and minibatches. They run in turn; the other one waits. The
    peer is installed once, into an environment of its own in the user's cache folder.
    """

    games: int = 8
    """Games side by side."""
    steps: int = 128
    """Steps of each between two updates."""
    epochs: int = 4
    """Passes over each rollout."""
    updates: int = 2
    """Rollouts and updates in one measurement."""
    rounds: int = 3
    """Measurements of each, in turn."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of our products: ``bfloat16`` rounds their factors and sums in float32; it is faster where the processor multiplies them itself
    (AMX), and slower elsewhere. ``auto`` measures both first and takes the faster one. The peer's are float32."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Measures and prints; returns 0."""
        from rlhf_games.core.errors import UserError

        if min(self.games, self.steps, self.epochs, self.updates, self.rounds) < 1:
            raise UserError("--games, --steps, --epochs, --updates and --rounds must be at least 1")
        if self.games * self.steps % _MINIBATCHES:
            raise UserError(f"games × steps must be a multiple of {_MINIBATCHES}, got {self.games} × {self.steps}")
        result = self._measure()
        if self.json:
            print(json.dumps(result))
        else:
            _show(result)
        return 0

    def _measure(self) -> Result:
        from rlhf_games.cli.bench.peer import Peer

        settings = {"games": self.games, "steps": self.steps, "epochs": self.epochs, "updates": self.updates}
        minibatch = self.games * self.steps // _MINIBATCHES
        with Peer("stable-baselines3", _PEER).running("sb3_ppo.py", settings | {"minibatch": minibatch}) as peer:
            precision, tried, ours = self._chosen()
            rounds = [{"ours": ours(), "peer": float(peer.measure()["seconds"])} for _ in range(self.rounds)]
        decisions = self.games * self.steps * self.updates
        speed, peer_speed = (decisions / statistics.median(found[who] for found in rounds) for who in ("ours", "peer"))
        return Result(
            game=self._experiment(precision).game.name,
            processor=processor(),
            precision=precision,
            tried=tried,
            decisions_per_second=speed,
            peer_decisions_per_second=peer_speed,
            ratio=speed / peer_speed,
            rounds=rounds,
            settings=settings | {"minibatch": minibatch},
        )

    def _chosen(self) -> tuple[Precision, dict[str, float], Callable[[], float]]:
        """The precision that is measured, what each took where both were tried, and our loop with it, compiled."""
        names: tuple[Precision, ...] = ("float32", "bfloat16") if self.precision == "auto" else (self.precision,)
        loops = {name: self._ours(self._experiment(name)) for name in names}
        for loop in loops.values():
            loop()  # compiles
        if self.precision != "auto":
            return self.precision, {}, loops[self.precision]
        tried = quickest(loops, _TRIALS)
        chosen = min(names, key=lambda name: tried[name])
        seconds = ", ".join(f"{name} {found:.1f} s" for name, found in tried.items())
        print(f"{processor()}: {seconds}; measured is {chosen}", file=sys.stderr)
        return chosen, tried, loops[chosen]

    def _experiment(self, precision: Precision) -> Experiment:
        from rlhf_games.experiment.files import load_experiment

        settings = {
            "agent.config.epochs": self.epochs, "agent.config.minibatches": _MINIBATCHES,
            "rollout.games": self.games, "rollout.steps": self.steps,
            "agent.config.precision": precision, "model.network.precision": precision,
        }  # fmt: skip
        return load_experiment(_EXPERIMENT, [f"{name}={value}" for name, value in settings.items()])

    def _ours(self, experiment: Experiment) -> Callable[[], float]:
        """Our loop: each call makes ``updates`` updates and returns their seconds."""
        import jax

        from rlhf_games.experiment.build import Bench
        from rlhf_games.reward.sources import reward_state

        bench = Bench(experiment)
        reward = reward_state(experiment.reward, bench.model(experiment))
        learner = bench.trainer.start(0, 1)

        def train() -> float:
            nonlocal learner
            begin = time.perf_counter()
            learner, _ = bench.trainer.train(learner, reward, updates=self.updates, begin=0.0, end=0.1)
            jax.block_until_ready(bench.trainer.policy(learner))  # type: ignore[no-untyped-call]
            return time.perf_counter() - begin

        return train


def quickest(loops: Mapping[Precision, Callable[[], float]], trials: int) -> dict[str, float]:
    """The least seconds that each loop took, in turn, ``trials`` times."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(trials):
        for name, loop in loops.items():
            seconds[name].append(loop())
    return {name: min(found) for name, found in seconds.items()}


def _show(result: Result) -> None:
    from rich.table import Table

    from rlhf_games.cli.console import LiteralConsole

    table = Table("learner", "decisions per second", title=f"{result['game']}, {result['settings']['games']} games")
    table.add_row(f"rlhf-games PPO with a 3-member reward ensemble, {result['precision']}", f"{result['decisions_per_second']:.0f}")
    table.add_row("stable-baselines3 PPO on the score, float32", f"{result['peer_decisions_per_second']:.0f}")
    console = LiteralConsole()
    console.print(table)
    console.print(f"ratio {result['ratio']:.2f}", highlight=False)
    console.print(f"on {result['processor']}", highlight=False)
