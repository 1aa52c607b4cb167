"""Leak audit: what does a game teach an agent that is never told its score?

Arms that know nothing (constant rewards of several sizes, noise) and one that is paid the true score are trained on the same game with
the same steps and seeds, with episode ends visible and hidden. Where a constant plays about as well as the true score, a good score
under feedback proves nothing about the feedback: the ends leak the reward (or playing on is all that there is to learn).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.evaluating import evaluated
from rlhf_games.experiment.loop import FeedbackLoop, Progress
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.store import Store
from rlhf_games.reward.sources import SourceWeights

Ends: TypeAlias = Literal["visible", "hidden"]
ENDS: tuple[Ends, ...] = ("visible", "hidden")
TRUE, NOISE, UNTRAINED = "true score", "random reward", "untrained"
LEAK = 0.5
"""A control that reaches this share of what the true score teaches (above the untrained policy) is called a leak."""
LEARNED = 2.0
"""The true score must lie this many standard errors above the untrained policy before anything is concluded."""
Told: TypeAlias = Callable[[str, Progress], None]


class Cell(NamedTuple):
    """One training run of the audit."""

    game: str
    ends: Ends
    arm: str
    seed: int
    score: float
    """Mean true return over whole evaluation episodes."""


@dataclass(frozen=True)
class Verdict:
    """What the audit says of one game with its ends visible or hidden."""

    game: str
    ends: Ends
    scores: dict[str, list[float]]
    """True returns ``[seeds]`` by arm: the true score, the constants, noise, the untrained policy."""
    leaks: bool | None
    """None where the true score itself taught nothing in these steps."""
    best_control: str
    share: float | None
    """What the best control reached of what the true score taught; None as above."""

    @property
    def words(self) -> str:
        """One sentence for a person."""
        where = f"{self.game}, episode ends {self.ends}"
        best, true, start = (float(np.mean(self.scores[arm])) for arm in (self.best_control, TRUE, UNTRAINED))
        numbers = f"{self.best_control} {best:.2f}, {TRUE} {true:.2f}, {UNTRAINED} {start:.2f}"
        if self.leaks is None:
            return f"{where}: nothing can be said: {TRUE} taught too little in these steps ({numbers}); give it more --steps or --seeds"
        if not self.leaks:
            return f"{where}: honest: without the score an agent learns {self.share:.0%} of what the score teaches ({numbers})"
        if self.best_control == NOISE:
            return f"{where}: random reward plays {self.share:.0%} as well as the true score ({numbers}): scores prove little here"
        cause = "episode ends leak the reward" if self.ends == "visible" else "something other than episode ends leaks the reward"
        return f"{where}: {cause}: {self.best_control} plays {self.share:.0%} as well as the true score ({numbers})"


def arms(constants: Sequence[float]) -> dict[str, SourceWeights]:
    """What each arm is paid.

    Raises:
      UserError: there is no constant, or one is there twice.
    """
    named = {f"constant {constant:+g}": SourceWeights(learned=0.0, constant=constant) for constant in constants}
    if not named or len(named) < len(constants):
        raise UserError(f"--constants needs at least one number, and each once; got {', '.join(f'{c:g}' for c in constants) or 'none'}")
    return {TRUE: SourceWeights(learned=0.0, true=1.0), **named, NOISE: SourceWeights(learned=0.0, random=1.0)}


def audit(
    base: Experiment, games: Sequence[str], constants: Sequence[float], seeds: Sequence[int], folder: Path, told: Told
) -> list[Verdict]:
    """Trains every arm on every game with ends visible and hidden; programs are compiled once per game and kind of ends.

    Args:
      base: steps, rollout and agent of all arms; its game's options go to every game.
      games: ``family/game`` each.
      constants: rewards per step; several, because each teaches something else.
      seeds: the same in all arms.
      folder: for the (empty) stores of the runs.
      told: called after each iteration with what is trained.

    Raises:
      UserError: a game or a setting is wrong, or nothing is to be done.
    """
    if not games or not seeds:
        raise UserError("an audit needs at least one game and one seed")
    paid = arms(constants)
    verdicts = []
    for game in dict.fromkeys(games):
        for ends in ENDS:
            chosen = replace(base, game=replace(base.game, name=game), episode_ends=ends)
            verdicts.append(judge(game, ends, list(_cells(chosen, paid, seeds, folder, told))))
    return verdicts


def judge(game: str, ends: Ends, cells: Sequence[Cell]) -> Verdict:
    """The verdict on the runs of one game and kind of ends."""
    scores: dict[str, list[float]] = {}
    for cell in cells:
        scores.setdefault(cell.arm, []).append(cell.score)
    mean = {arm: float(np.mean(runs)) for arm, runs in scores.items()}
    best = max((arm for arm in scores if arm not in (TRUE, UNTRAINED)), key=mean.__getitem__)
    gained = mean[TRUE] - mean[UNTRAINED]
    if gained <= LEARNED * _standard_error(scores[TRUE], scores[UNTRAINED]) or gained <= 0:
        return Verdict(game, ends, scores, None, best, None)
    share = (mean[best] - mean[UNTRAINED]) / gained
    return Verdict(game, ends, scores, share >= LEAK, best, share)


def table(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as JSON values."""
    return [
        {
            "game": verdict.game,
            "episode_ends": verdict.ends,
            "returns": verdict.scores,
            "best_control": verdict.best_control,
            "share": verdict.share,
            "leaks": verdict.leaks,
            "verdict": verdict.words,
        }
        for verdict in verdicts
    ]


def _cells(base: Experiment, paid: dict[str, SourceWeights], seeds: Sequence[int], folder: Path, told: Told) -> Iterator[Cell]:
    bench = Bench(base)
    for seed in seeds:
        for arm, reward in paid.items():
            name = f"{base.game.name}, ends {base.episode_ends}, {arm}, seed {seed}"
            experiment = replace(base, name=name, seed=seed, reward=reward)
            with Store.open(folder / "store.sqlite") as store:
                loop = bench.loop(experiment, store)
                if arm == TRUE:  # the first weights are the same in all arms of a seed
                    yield Cell(base.game.name, base.episode_ends, UNTRAINED, seed, _score(loop))
                loop.run(lambda progress, name=name: told(name, progress))  # type: ignore[misc]
                yield Cell(base.game.name, base.episode_ends, arm, seed, _score(loop))


def _score(loop: FeedbackLoop) -> float:
    """Mean return of the first seat."""
    return float(np.mean(evaluated(loop.trainer, loop.state.learner, loop.experiment).returns[:, 0]))


def _standard_error(first: Sequence[float], second: Sequence[float]) -> float:
    """Of the difference of two means; 0 where there is one run each."""
    if len(first) < 2:
        return 0.0
    return float(np.sqrt(np.var(first, ddof=1) / len(first) + np.var(second, ddof=1) / len(second)))
