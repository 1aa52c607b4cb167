"""Benches: how peers are driven, and that what is measured is what is said. Speeds are not asserted: machines differ."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.cli.bench import atari, learner, peer
from rlhf_games.cli.bench.atari import BenchAtari
from rlhf_games.cli.bench.learner import BenchLearner, summary
from rlhf_games.cli.bench.peer import Peer, cache_folder
from rlhf_games.cli.bench.processor import processor
from rlhf_games.core.errors import UserError

ECHO = """
import json, sys
settings = json.loads(sys.argv[1])
for line in sys.stdin:
    print(json.dumps({"settings": settings, "asked": json.loads(line), "prefix": sys.prefix}), flush=True)
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of peer scripts, and a cache of our own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(peer, "_SCRIPTS", tmp_path)
    return tmp_path


def test_a_peer_answers_from_an_environment_of_its_own(scripts: Path) -> None:
    (scripts / "echo.py").write_text(ECHO, encoding="utf-8")
    echo = Peer("echo", ("pip",))
    with echo.running("echo.py", {"games": 2}) as measurer:
        first, second = measurer.measure(), measurer.measure({"n": 1})
    assert first == {"settings": {"games": 2}, "asked": {}, "prefix": str(echo.folder)}
    assert second["asked"] == {"n": 1}
    assert echo.folder.is_relative_to(cache_folder())
    ready = (echo.folder / "ready").stat().st_mtime_ns
    echo.prepare()
    assert (echo.folder / "ready").stat().st_mtime_ns == ready, "made once"
    (scripts / "dies.py").write_text("raise SystemExit('no such game')", encoding="utf-8")
    with echo.running("dies.py", {}) as measurer, pytest.raises(UserError, match=r"echo stopped.*stderr\.log"):
        measurer.measure()
    assert "no such game" in (echo.folder / "stderr.log").read_text(encoding="utf-8")


def test_an_environment_depends_on_its_requirements() -> None:
    assert Peer("a", ("x==1",)).folder != Peer("a", ("x==2",)).folder


def test_what_cannot_be_installed_is_told(scripts: Path) -> None:
    broken = Peer("broken", (str(scripts / "missing-1.0-py3-none-any.whl"),))
    with pytest.raises(UserError, match=r"could not install the peer broken.*pip\.log"):
        broken.prepare()
    assert not (broken.folder / "ready").exists()


def test_ratios_are_medians_over_the_peer() -> None:
    result = summary({"same network": [10.0, 30.0, 20.0], "rejax": [5.0, 10.0, 100.0]})
    assert result["same network"] == {"steps_per_second": 20.0, "all": [10.0, 30.0, 20.0], "ratio": 2.0}
    assert "ratio" not in result["rejax"]
    assert "ratio" not in summary({"same network": [1.0]})["same network"]


def test_the_learner_is_measured_with_its_reward_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(learner, "GAMES", 8)
    monkeypatch.setattr(learner, "STEPS", 8)
    monkeypatch.setattr(learner, "FIT_PAIRS", 64)
    monkeypatch.setattr(learner, "FIT_EPOCHS", 2)
    monkeypatch.setattr(learner, "ROLES", {"same network": learner.ROLES["same network"]})
    monkeypatch.setattr(learner, "FIT_REFERENCE", {10: 1.35})
    assert BenchLearner(repeats=1, updates=1, peer=False, json=True).run() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["learner"]["same network"]["steps_per_second"] > 0
    assert result["fit"]["10"] > 0
    assert result["processor"] == processor()
    learner._print_tables(result)
    assert "ours, same network" in capsys.readouterr().out


def test_the_processor_in_words(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cores = len(os.sched_getaffinity(0))
    words = f"{cores} core{'s' if cores > 1 else ''}"
    cpuinfo.write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu avx2 avx512f avx512_bf16 lm\n\nprocessor\t: 1\nmodel name\t: other\n"
    )
    assert processor(cpuinfo) == f"AMD EPYC 9R14, {words}, avx2/avx512f/avx512_bf16"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd bf16\n")
    assert processor(cpuinfo).endswith(f", {words}, asimd/bf16")
    assert words in processor(tmp_path / "missing")


def test_the_faster_precision_is_the_one_of_the_least_seconds() -> None:
    measured = {"float32": iter([9.0, 4.0, 5.0]), "bfloat16": iter([3.0, 7.0, 8.0])}
    loops: Any = {name: partial(next, seconds) for name, seconds in measured.items()}
    assert atari.quickest(loops, 3) == {"float32": 4.0, "bfloat16": 3.0}


def test_a_precision_that_is_given_is_taken_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def ours(self: BenchAtari, experiment: Any) -> Any:
        made.append(experiment.agent.config["precision"])
        return lambda: {"float32": 2.0, "bfloat16": 1.0}[experiment.agent.config["precision"]]

    monkeypatch.setattr(BenchAtari, "_ours", ours)
    assert BenchAtari(precision="float32")._chosen()[:2] == ("float32", {})
    assert made == ["float32"]
    assert BenchAtari()._chosen()[:2] == ("bfloat16", {"float32": 2.0, "bfloat16": 1.0})
    assert made == ["float32", "float32", "bfloat16"]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        BenchLearner(repeats=0).run()
