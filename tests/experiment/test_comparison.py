"""Arms differ in the reward alone; the demo's words follow its numbers; films stand side by side."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment import demo, demo_report, figures, films
from rlhf_games.experiment.comparison import CONSTANTS, Arm, ArmResult, Outcome, arms
from rlhf_games.experiment.spec import Experiment
from rlhf_games.reward.sources import SourceWeights

EXPERIMENT = demo.experiment(0)


def test_arms_differ_in_the_reward_alone() -> None:
    found = arms(EXPERIMENT)
    assert [arm.role for arm in found] == ["feedback", "true", *["constant"] * len(CONSTANTS), "random_labels"]
    assert len({arm.experiment.name for arm in found}) == len(found)
    for arm in found:
        e = arm.experiment
        assert replace(e, name="demo", reward=EXPERIMENT.reward, feedback=EXPERIMENT.feedback) == EXPERIMENT
        assert e.episode_ends == "hidden"
        assert e.learns_from_people == (arm.role in ("feedback", "random_labels"))
        assert e.feedback.budget == EXPERIMENT.feedback.budget <= 400
    assert found[0].experiment.feedback.teacher == "oracle"
    assert found[-1].experiment.feedback.teacher == "random"
    assert [arm.experiment.reward.constant for arm in found if arm.role == "constant"] == list(CONSTANTS)
    assert found[1].experiment.reward == SourceWeights(learned=0, true=1)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(EXPERIMENT, reward=SourceWeights(true=0.5)),
        replace(EXPERIMENT, feedback=replace(EXPERIMENT.feedback, teacher="human")),
        replace(EXPERIMENT, feedback=replace(EXPERIMENT.feedback, mode="async")),
        replace(EXPERIMENT, feedback=replace(EXPERIMENT.feedback, budget=0)),
    ],
    ids=["reward", "human", "async", "no questions"],
)
def test_an_experiment_that_cannot_be_compared_is_refused(wrong: Experiment) -> None:
    with pytest.raises(UserError, match="a comparison"):
        arms(wrong)


def _result(arm: Arm, mean: float) -> ArmResult:
    """A result with the mean return ``mean`` and a small spread."""
    loop: Any = SimpleNamespace(labels=SimpleNamespace(labels=(None,) * 400, answered=400))
    returns = mean + np.array([-0.1, 0.1] * 50)
    return ArmResult(arm, np.array([10, 20]), np.array([0.5, mean]), returns, 3.0, loop)


def _outcome(feedback: float, true: float, constants: tuple[float, ...], guessed: float) -> Outcome:
    means = (feedback, true, *constants, guessed)
    results = [_result(arm, mean) for arm, mean in zip(arms(EXPERIMENT), means, strict=True)]
    return Outcome(EXPERIMENT, "Breakout", results, random=0.5, seconds=100.0)


@pytest.mark.parametrize(
    ("outcome", "says", "proven"),
    [
        (_outcome(4.1, 4.5, (0.5, 0.6, 0.7), 0.3), "taught by the content of the answers", True),
        (_outcome(2.5, 4.5, (0.5, 0.6, 0.7), 0.3), "taught too little", False),
        (_outcome(4.1, 4.5, (0.5, 3.0, 0.7), 0.3), "knows nothing got far too", False),
        (_outcome(4.1, 4.5, (0.5, 0.6, 0.7), 3.0), "knows nothing got far too", False),
        (_outcome(0.51, 0.51, (0.4, 0.4, 0.4), 0.4), "proves nothing", False),
        (_outcome(0.5, 0.5, (0.4, 0.4, 0.4), 0.4), "proves nothing", False),
        (_outcome(-5.0, -3.0, (0.4, 0.4, 0.4), 0.4), "proves nothing", False),
    ],
    ids=["proven", "weak", "constant leaks", "random answers leak", "noise", "no span", "upside down"],
)
def test_the_text_claims_what_the_numbers_say(outcome: Outcome, says: str, proven: bool) -> None:
    text = demo_report.conclusion(outcome)
    assert says in text
    assert demo_report.proves(outcome) == proven
    assert ("not from the score" in demo_report.draw(outcome, figures.LIGHT).get_suptitle()) == proven
    summary = demo_report.summary(outcome)
    span = outcome.best("true").mean - 0.5
    if span > 1.645 * 0.01:  # of one run, a normal test at 5 %; standard error: 0.1 over 100 episodes
        assert summary["ratio"] == pytest.approx((outcome.best("feedback").mean - 0.5) / span, abs=1e-4)
    else:
        assert summary["ratio"] is None
        assert math.isnan(outcome.ratio("feedback"))


def test_a_span_within_the_error_of_random_play_measures_nothing() -> None:
    # 1.645 · √(0.01² + 0.03²) = 0.052.
    for true, expected in ((0.56, True), (0.55, False)):
        assert replace(_outcome(0.5, true, (0.4, 0.4, 0.4), 0.4), random_error=0.03).has_span == expected


def test_the_best_constant_counts() -> None:
    outcome = _outcome(4.0, 4.5, (0.5, 1.5, 0.7), 0.3)
    assert demo_report.summary(outcome)["return_constant"] == pytest.approx(1.5)
    assert demo_report.summary(outcome)["ratio_constant"] == pytest.approx(0.25)
    assert "with +0.1, the best of −0.1, +0.1 and +1" in demo_report.conclusion(outcome)


def test_films_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    long, short = (rng.integers(0, 256, (frames, 12, 20, 3), dtype=np.uint8) for frames in (5, 3))
    shown = films.side_by_side([long, short], ["left", "right"], marked=1)
    assert shown.dtype == np.uint8
    assert len(shown) == 5
    top, first, second = 45, 5, 5 + 20 + 2 * 5 + 16
    np.testing.assert_array_equal(shown[:, top : top + 12, first : first + 20], long)
    np.testing.assert_array_equal(shown[:3, top : top + 12, second : second + 20], short)
    np.testing.assert_array_equal(shown[3:, top : top + 12, second : second + 20], short[[-1, -1]])
    framed = (shown[0] == (86, 180, 233)).all(-1)
    assert framed[top - 1, second : second + 20].all()
    assert not framed[top - 1, first : first + 20].any()


def test_every_end_of_an_episode_is_marked_in_a_film() -> None:
    """Two pictures a second: half a second of rest is one picture more before the seam."""
    frames = np.zeros((4, 90, 80, 3), np.uint8) + np.arange(1, 5, dtype=np.uint8)[:, None, None, None]
    shown = films.with_ends(films.Film(frames, np.arange(4, dtype=np.int32), (2,)), 2.0, ends=True)
    assert shown[:, 45, 40, 0].tolist() == [1, 2, 2, 3, 4]
    edge = (shown == (246, 184, 74)).all(-1)
    assert edge.any((1, 2)).tolist() == [False, True, True, False, True]
    assert edge[1].sum() == 90 * 80 - 86 * 76, "two pixels wide"
    assert (frames == np.arange(1, 5)[:, None, None, None]).all(), "what is cached stays as it is"
    assert not (films.with_ends(films.Film(frames, np.arange(4, dtype=np.int32)), 2.0, ends=False) == (246, 184, 74)).all(-1).any()


def test_the_median_episode_is_shown() -> None:
    def replay(score: float, length: int) -> Any:
        return SimpleNamespace(checksum=SimpleNamespace(returns=(score,)), length=length)

    episodes = [replay(score, length) for score, length in ((3, 9), (0, 1), (7, 5), (3, 4), (1, 2))]
    assert films.median(cast("Any", episodes)) is episodes[3]


def test_a_stopped_demo_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    watch: Any = SimpleNamespace(begins=lambda arm: said.append(arm.role), goes_on=said.append, ends=said.append, says=lambda text: None)
    small = replace(demo.experiment(0, steps=8192, answers=8), evaluation_episodes=2)
    assert demo.run_demo(small, tmp_path / "out", watch, lambda: True) is None
    assert said == ["feedback"]
    assert list(tmp_path.iterdir()) == []
