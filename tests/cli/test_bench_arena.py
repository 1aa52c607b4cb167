"""The arena's bench runs and says what it measured; how fast things are is not asserted."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from rlhf_games.cli.bench import arena
from rlhf_games.cli.main import main


def test_a_small_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    before = sys.getswitchinterval()
    flags = ["--games", "minatar/breakout", "--answers", "3", "--interval", "0.05", "--length", "2", "--replays", "2"]
    assert main(["bench", "arena", *flags, "--steps", "30", "--pairs", "6", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    [game] = result["games"]
    assert (game["game"], game["answers"], result["pairs"]) == ("minatar/breakout", 3, 6)
    for name in ("frame_p50_ms", "frame_p99_ms", "next_p50_ms", "next_p95_ms", "seconds_to_first_pair"):
        assert game[name] > 0, name
    assert game["frame_p50_ms"] <= game["frame_p99_ms"]
    assert game["next_p50_ms"] <= game["next_p95_ms"]
    assert result["first_frame_seconds"] > 0
    assert result["memory_before_mb"] > 1
    assert sys.getswitchinterval() == before


def test_the_table_shows_every_game(capsys: pytest.CaptureFixture[str]) -> None:
    game = arena.Game(
        game="a/b", answers=3, frame_p50_ms=1.25, frame_p99_ms=9.0, next_p50_ms=20.4, next_p95_ms=44.6, seconds_to_first_pair=1.0
    )
    arena._show(arena.Result(games=[game], first_frame_seconds=0.7, pairs=500, memory_before_mb=400.0, memory_after_mb=401.0))
    shown = capsys.readouterr().out
    for words in ("a/b", "1.2 / 9.0 ms", "20 / 45 ms", "0.70 s", "400 MB, after 500 401 MB"):
        assert words in shown


@pytest.mark.parametrize("flags", [["--answers", "0"], ["--interval", "0"], ["--steps", "25"]])
def test_numbers_that_measure_nothing_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "arena", *flags]) == 2
    assert "must be at least 1" in capsys.readouterr().err
