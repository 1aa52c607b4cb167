"""The leak audit: a game whose length is its score gives itself away, one of fixed length does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.audit import NOISE, TRUE, UNTRAINED, Cell, arms, judge

from .tiny import flags

FAST = {
    "agent": {"config": {"minibatches": 2, "hidden": [16], "learning_rate": 0.01}},
    "rollout": {"games": 16, "steps": 32},
    "model": {"members": 1, "network": {"hidden": [4]}},
    "evaluation_episodes": 64,
}


def cells(**scores: list[float]) -> list[Cell]:
    names = {"true": TRUE, "noise": NOISE, "untrained": UNTRAINED, "constant": "constant +0.1"}
    return [Cell("a/b", "visible", names[arm], seed, score) for arm, runs in scores.items() for seed, score in enumerate(runs)]


def test_a_constant_that_plays_as_well_is_a_leak() -> None:
    verdict = judge("a/b", "visible", cells(untrained=[0, 1], true=[10, 12], constant=[9, 10], noise=[1, 0]))
    assert verdict.leaks
    assert verdict.share == pytest.approx((9.5 - 0.5) / (11 - 0.5))
    assert "episode ends leak the reward: constant +0.1 plays 86% as well" in verdict.words


def test_controls_that_learn_nothing_are_honest() -> None:
    verdict = judge("a/b", "visible", cells(untrained=[0, 1], true=[10, 12], constant=[0, 1], noise=[1, 2]))
    assert (verdict.leaks, verdict.best_control) == (False, NOISE)
    assert "honest" in verdict.words


@pytest.mark.parametrize("true", [[1.0, 0.5], [0.0, 9.0], [-3.0, -2.0]])
def test_nothing_is_said_where_the_true_score_taught_nothing(true: list[float]) -> None:
    verdict = judge("a/b", "visible", cells(untrained=[0, 1], true=true, constant=[9, 10], noise=[1, 0]))
    assert (verdict.leaks, verdict.share) == (None, None)
    assert "nothing can be said" in verdict.words


@pytest.mark.parametrize("constants", [[], [0.1, 0.1]])
def test_constants_are_each_given_once(constants: list[float]) -> None:
    with pytest.raises(UserError, match="--constants"):
        arms(constants)


def test_the_command_finds_the_leak_where_there_is_one(in_lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "audit"
    budget = ["--steps", "8192", "--seeds", "1", "--constants", "0.0", "1.0", "--out", str(out)]
    assert main(["audit", "probe/timed", "probe/match", *budget, *flags(FAST)]) == 0
    found = json.loads((out / "audit.json").read_text())
    assert (found["steps"], found["constants"]) == (8192, [0.0, 1.0])
    by_case = {(entry["game"], entry["episode_ends"]): entry for entry in found["audits"]}
    assert set(by_case) == {(game, ends) for game in ("probe/timed", "probe/match") for ends in ("visible", "hidden")}
    for entry in found["audits"]:
        assert set(entry["returns"]) == {TRUE, "constant +0", "constant +1", NOISE, UNTRAINED}
        assert all(len(runs) == 1 for runs in entry["returns"].values())
    leak = by_case["probe/timed", "visible"]
    assert leak["leaks"] is True
    assert leak["best_control"] == "constant +1"
    assert leak["returns"]["constant +1"] == leak["returns"][TRUE], "where each step earns 1, the constant is the true score"
    assert by_case["probe/match", "visible"]["leaks"] is False
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert pictures == [f"probe-{game}-ends-{ends}.png" for game in ("match", "timed") for ends in ("hidden", "visible")]
    said = capsys.readouterr().out
    assert "probe/timed, episode ends visible: episode ends leak the reward" in said
    assert "probe/match, episode ends visible: honest" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["probe/mtach"], "there is no game 'probe/mtach'; did you mean 'probe/match'?"),
        (["probe/match", "--seeds", "0"], "--seeds must be at least 1"),
        (["probe/match", "--steps", "0"], "--set steps=0: steps: must be at least 1"),
        (["probe/match", "--set", "reward.true=1"], "--set reward.true=1: the audit sets"),
        (["probe/match", "--set", "rollout.gmaes=1"], "did you mean 'rollout.games'?"),
        (["probe/match", "--constants", "1", "1"], "each once"),
    ],
)
def test_bad_input_is_one_line(in_lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    assert main(["audit", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
