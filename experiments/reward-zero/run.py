"""Who decides what a step is worth in itself: the answers, or a convention? Scores of agents taught by answers, ends visible and hidden.

Usage: python experiments/reward-zero/run.py RESULTS.jsonl [--games cartpole ...] [--seeds 0 5 9] [--ends visible hidden]
                                             [--arms answers true]

Appends one JSON line per run and leaves out runs that the file already holds, so it can be stopped and started again. ``--table``
runs nothing and prints what the file holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rlhf_games import workspace
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.spec import AgentChoice, Experiment, FeedbackConfig, GameChoice, RolloutConfig
from rlhf_games.feedback.queries import QueryConfig
from rlhf_games.reward.sources import SourceWeights

LAB = Path(__file__).resolve().parent / "lab"
SMALL: dict[str, Any] = {  # what was reported: 8 games × 128 steps, 60 updates, 100 answers
    "steps": 61_440, "iterations": 6, "rollout": RolloutConfig(games=8, steps=128), "feedback": FeedbackConfig(budget=100),
}  # fmt: skip
LARGE: dict[str, Any] = {
    "steps": 655_360, "iterations": 20, "feedback": FeedbackConfig(budget=400, query=QueryConfig(strategy="k_centre")),
}  # fmt: skip
GAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "cartpole": ("classic/cartpole", SMALL),
    "pendulum": ("classic/pendulum", SMALL | {"steps": 245_760, "rollout": RolloutConfig(games=16, steps=128)}),
    **{name: (f"minatar/{name}", LARGE) for name in ("breakout", "freeway", "asterix", "space_invaders", "seaquest")},
}


def experiment(game: str, seed: int, ends: str, arm: str) -> Experiment:
    """The experiment of one run."""
    name, settings = GAMES[game]
    reward = SourceWeights(learned=0.0, true=1.0) if arm == "true" else SourceWeights()
    return Experiment(
        game=GameChoice(name), agent=AgentChoice("ppo"), name=f"{game}-{ends}-{seed}", seed=seed, episode_ends=ends,  # type: ignore[arg-type]
        reward=reward, evaluation_episodes=128, **settings,
    )  # fmt: skip


def one(bench: Bench, e: Experiment) -> dict[str, Any]:
    """Runs it; the scores before and after, and the last metrics of the reward model."""
    with tempfile.TemporaryDirectory() as folder:
        loop = bench.loop(e, Path(folder) / "answers.sqlite")
        began, untrained = time.monotonic(), loop.trainer.evaluate(loop.state.learner, seed=1, episodes=128).returns.mean()
        last: dict[str, float] = {}
        loop.run(lambda progress: last.update(progress.metrics))
        trained = loop.trainer.evaluate(loop.state.learner, seed=1, episodes=128).returns.mean()
        loop.store.close()
    known = {name: value for name, value in last.items() if name.startswith("reward_model/")}
    return {"untrained": float(untrained), "trained": float(trained), "seconds": round(time.monotonic() - began, 1), **known}


def table(lines: list[dict[str, Any]]) -> str:
    """Scores by game, ends and arm, seed by seed, and the last measures of the reward model (means over seeds)."""
    rows = ["| game | ends | arm | seeds | untrained | score | zero open | Spearman over episodes |", "|---|---|---|---|---|---|---|---|"]
    for key in dict.fromkeys((line["game"], line["ends"], line["arm"]) for line in lines):
        runs = [line for line in lines if (line["game"], line["ends"], line["arm"]) == key]
        known = [_mean(runs, f"reward_model/{name}") for name in ("zero_open", "episode_spearman")]
        scores = ", ".join(f"{run['trained']:.1f}" for run in runs)
        seeds = ", ".join(str(run["seed"]) for run in runs)
        rows.append(f"| {' | '.join(key)} | {seeds} | {_mean(runs, 'untrained')} | {scores} | {' | '.join(known)} |")
    return "\n".join(rows)


def _mean(runs: list[dict[str, Any]], name: str) -> str:
    values = [run[name] for run in runs if name in run]
    return f"{sum(values) / len(values):.2f}" if values else ""


def main() -> None:
    """Runs what is missing in the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 5, 9])
    parser.add_argument("--ends", nargs="+", choices=("visible", "hidden"), default=["visible", "hidden"])
    parser.add_argument("--arms", nargs="+", choices=("answers", "true"), default=["answers", "true"])
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        print(table([json.loads(line) for line in args.results.read_text(encoding="utf-8").splitlines()]))
        return
    workspace.set_workspace(LAB)
    lines = args.results.read_text(encoding="utf-8").splitlines() if args.results.exists() else []
    done = {tuple(json.loads(line)[key] for key in ("game", "ends", "seed", "arm")) for line in lines}
    for game in args.games:
        for ends in args.ends:
            bench: Bench | None = None
            for seed, arm in ((seed, arm) for seed in args.seeds for arm in args.arms):
                if (game, ends, seed, arm) in done:
                    continue
                e = experiment(game, seed, ends, arm)
                bench = bench if bench is not None and bench.fits(e) else Bench(e)
                line = {"game": game, "ends": ends, "seed": seed, "arm": arm, **one(bench, e), "settings": dataclasses.asdict(e.model)}
                with args.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(game, ends, seed, arm, round(line["untrained"], 1), "->", round(line["trained"], 1), flush=True)


if __name__ == "__main__":
    main()
