"""The arena's bench runs and says what it measured; how fast things are is not asserted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.cli.bench import arena, beside
from rlhf_games.cli.main import main


def test_a_small_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    before = sys.getswitchinterval()
    flags = ["--games", "minatar/breakout", "--answers", "3", "--interval", "0.05", "--length", "2", "--replays", "2"]
    assert main(["bench", "arena", *flags, "--steps", "30", "--pairs", "6", "--presses", "3", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    [game] = result["games"]
    assert (game["game"], game["answers"], result["pairs"]) == ("minatar/breakout", 3, 6)
    for name in ("frame_p50_ms", "frame_p99_ms", "next_p50_ms", "next_p95_ms", "seconds_to_first_pair"):
        assert game[name] > 0, name
    assert game["frame_p50_ms"] <= game["frame_p99_ms"]
    assert game["next_p50_ms"] <= game["next_p95_ms"]
    [play] = result["plays"]
    assert (play["game"], play["presses"]) == ("minatar/breakout", 3)
    assert 0 < play["key_p50_ms"] <= play["key_p95_ms"]
    assert play["bound_ms"] == pytest.approx(1000 / 60 + 1000 / 8), "the game decides eight times a second"
    assert play["frame_p99_ms"] > 0
    assert result["beside"] == result["plays_beside"] == []
    assert result["first_frame_seconds"] > 0
    assert result["memory_before_mb"] > 1
    assert sys.getswitchinterval() == before


def test_the_table_shows_every_game(capsys: pytest.CaptureFixture[str]) -> None:
    game = arena.Game(
        game="a/b", answers=3, frame_p50_ms=1.25, frame_p99_ms=9.0, next_p50_ms=20.4, next_p95_ms=44.6, seconds_to_first_pair=1.0
    )
    play = arena.Play(game="a/b", presses=3, key_p50_ms=70.2, key_p95_ms=130.0, bound_ms=141.7, frame_p99_ms=3.0)
    rest: dict[str, Any] = {"first_frame_seconds": 0.7, "pairs": 500, "memory_before_mb": 400.0, "memory_after_mb": 401.0}
    rest["processor"] = "some processor, 2 cores"
    arena._show(arena.Result(games=[game], plays=[play], beside=[], plays_beside=[], **rest))
    shown = capsys.readouterr().out
    for words in (
        "a/b",
        "1.2 / 9.0 ms",
        "20 / 45 ms",
        "0.70 s",
        "400 MB, after 500 401 MB",
        "70 / 130 ms",
        "142 ms",
        "nothing beside it",
        "on some processor, 2 cores",
    ):
        assert words in shown
    assert "beside a trainer" not in shown
    arena._show(arena.Result(games=[game], plays=[play], beside=[game], plays_beside=[play], **rest))
    assert "beside a trainer" in capsys.readouterr().out


def test_a_trainer_learns_beside_and_ends_with_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("steps=1000000", "rollout.games=4", "rollout.steps=16", "record.lanes=4", "record.steps=200", "model.members=2")
    monkeypatch.setattr(beside, "_SETTINGS", (*beside._SETTINGS, *small))  # the last of two counts
    with beside.trainer():
        [process] = [child for child in children() if "rlhf_games run" in child.read_text().replace("\0", " ")]
    assert not process.exists()


def children() -> list[Path]:
    """Command lines of this process' children."""
    numbers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{number}/cmdline") for number in numbers]


@pytest.mark.parametrize("flags", [["--answers", "0"], ["--interval", "0"], ["--steps", "25"]])
def test_numbers_that_measure_nothing_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "arena", *flags]) == 2
    assert "must be at least 1" in capsys.readouterr().err
