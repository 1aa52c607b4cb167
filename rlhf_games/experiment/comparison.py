"""One experiment, several rewards: what answers teach beside the true score and beside rewards that know nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.evaluating import evaluated
from rlhf_games.experiment.loop import FeedbackLoop, Progress, Watcher
from rlhf_games.experiment.ratios import Reference
from rlhf_games.experiment.runner import Interruption, create_run, execute_loop
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.statistics import normalised_ratio
from rlhf_games.reward.sources import SourceWeights
from rlhf_games.rollout.evaluate import Episodes

CONSTANTS = (-0.1, 0.1, 1.0)
"""Constant rewards that are tried: one alone does not show what a game gives away by its ends and limits (DESIGN.md, Facts)."""

Role = Literal["feedback", "true", "constant", "random_labels"]


@dataclass(frozen=True)
class Arm:
    """One way to reward the same agent in the same game."""

    role: Role
    label: str
    """For figures: few words."""
    meaning: str
    """For people: what is done here, in a sentence."""
    experiment: Experiment


@dataclass(frozen=True)
class ArmResult:
    """What came of an arm."""

    arm: Arm
    steps: NDArray[np.int64]
    """``[T]`` steps learned from, after each iteration."""
    curve: NDArray[np.float64]
    """``[T]`` mean true return of the episodes that ended in the iteration; NaN where none did."""
    returns: NDArray[np.float64]
    """``[E]`` true returns of whole evaluation episodes of the final policy."""
    seconds: float
    loop: FeedbackLoop

    @property
    def mean(self) -> float:
        """Mean true return of the final policy."""
        return float(self.returns.mean())

    @property
    def stderr(self) -> float:
        """Standard error of ``mean``."""
        return float(self.returns.std() / np.sqrt(len(self.returns)))


@dataclass(frozen=True)
class Outcome:
    """All that was measured."""

    experiment: Experiment
    title: str
    """Of the game."""
    results: Sequence[ArmResult]
    random: float
    """Mean return of the untrained policy."""
    random_error: float = 0.0
    """Its standard error."""
    seconds: float = 0.0

    def best(self, role: str) -> ArmResult:
        """The result of a role; of several constants the one with the highest return."""
        return max((result for result in self.results if result.arm.role == role), key=lambda result: result.mean)

    def ratio(self, role: str) -> float:
        """`normalised` mean return of a role."""
        return self.normalised(self.best(role).mean)

    @property
    def has_span(self) -> bool:
        """Whether the true score taught enough to measure others by (`Reference.problem`)."""
        true = self.best("true")
        return not Reference(np.array([true.mean]), self.random, self.random_error, true.stderr).problem()

    def normalised(self, value: float) -> float:
        """0: like the untrained policy, 1: like the true score; NaN where the true score taught next to nothing (``has_span``)."""
        return float(normalised_ratio(value, self.random, self.best("true").mean)) if self.has_span else math.nan


def arms(experiment: Experiment, constants: Sequence[float] = CONSTANTS) -> list[Arm]:
    """The arms of a comparison: answers, the true score, constant rewards, answers drawn at random.

    All have the experiment's steps, seed, network and settings.

    Raises:
      UserError: the experiment sets rewards itself, asks nothing, or waits for people.
    """
    if experiment.reward != SourceWeights():
        raise UserError("a comparison sets reward.* itself, arm by arm: leave it out of the experiment")
    if not experiment.learns_from_people or experiment.feedback.teacher == "human" or experiment.feedback.mode != "wait":
        raise UserError("a comparison needs questions (feedback.budget above 0), a scripted teacher, and feedback.mode 'wait'")
    asked, teacher = experiment.feedback.answers, experiment.feedback.teacher
    answerer = "a scripted teacher who knows the score" if teacher == "oracle" else f"the scripted teacher {teacher!r}"

    def arm(role: Role, name: str, label: str, meaning: str, **changes: Any) -> Arm:
        return Arm(role, label, meaning, replace(experiment, name=f"{experiment.name}/{name}", **changes))

    found = [
        arm("feedback", "feedback", f"{asked} answers", f'learns only from answers to "which clip is better?" by {answerer}'),
        arm("true", "true", "true score", "is paid the score itself: the mark to reach", reward=SourceWeights(learned=0, true=1)),
    ]
    found += [
        arm(
            "constant",
            f"constant{value:+g}",
            f"constant {value:+g}".replace("-", "−"),
            f"is paid {value:+g} at every step, whatever happens: does the game teach by itself?".replace("-", "−"),
            reward=SourceWeights(learned=0, constant=value),
        )
        for value in constants
    ]
    guesses = replace(experiment.feedback, teacher="random", teacher_settings={})
    found.append(arm("random_labels", "random-labels", "random answers", "gets as many answers, each a coin flip", feedback=guesses))
    return found


def run_arm(bench: Bench, arm: Arm, folder: str | Path, watch: Watcher, until: Callable[[], bool] = lambda: False) -> ArmResult | None:
    """Trains one arm, as a run in a folder of its own, and measures its final policy; None where ``until`` said stop.

    Args:
      bench: made for any arm of the comparison.
      arm: what to run.
      folder: for the run, as ``rlhf-games run`` makes it; must not exist. The caller closes ``result.loop.store`` before it moves it.
      watch: is told after each iteration.
      until: asked between iterations.
    """
    began = time.monotonic()
    seen: list[Progress] = []

    def note(progress: Progress) -> None:
        seen.append(progress)
        watch(progress)

    done = execute_loop(create_run(arm.experiment, folder), note, Interruption(_silent, until), bench)
    if done.episodes is None:
        return None
    return ArmResult(
        arm,
        np.array([progress.steps for progress in seen], np.int64),
        np.array([progress.metrics["true_return"] for progress in seen], np.float64),
        _returns(done.episodes),
        time.monotonic() - began,
        done.loop,
    )


def _silent(text: str) -> None:
    """Tells nobody: a comparison has a store of its own, for which nobody waits."""


def untrained_returns(bench: Bench, experiment: Experiment) -> NDArray[np.float64]:
    """``[E]`` true returns of the policy before any learning, which acts (nearly) uniformly at random."""
    learner = bench.trainer.start(experiment.seed, experiment.record.lanes)
    return _returns(evaluated(bench.trainer, learner, experiment))


def _returns(episodes: Episodes) -> NDArray[np.float64]:
    """``[E]`` true returns of the first seat."""
    return episodes.returns[:, 0].astype(np.float64)
