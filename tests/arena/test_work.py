"""Who gets the interpreter: the thread that draws before the threads that work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rlhf_games.arena import work
from rlhf_games.arena.work import SWITCH_SECONDS, drawing_first, new_worker

needs_timer_slack = pytest.mark.skipif(not Path("/proc/self/timerslack_ns").exists(), reason="only Linux says how late timers may be")


def claims() -> tuple[float, int | None]:
    """How long this thread waits before it asks for the interpreter: the interval, and how late its timers may be."""
    return sys.getswitchinterval(), work._timer_slack()


@needs_timer_slack
def test_the_drawing_thread_asks_for_the_interpreter_sooner_than_a_worker() -> None:
    before = claims()
    with drawing_first():
        worker = new_worker("inside")  # threads inherit the slack of whoever makes them: a worker must not
        interval, mine = claims()
        same, its = worker.submit(claims).result(timeout=60)
        worker.shutdown()
    assert mine is not None
    assert its is not None
    assert before[1] is not None
    assert interval == same == pytest.approx(SWITCH_SECONDS)
    assert interval + mine * 1e-9 < 50e-6, "shorter than a frame of an emulator: work that lets go in between is asked all the same"
    assert its > before[1] > mine


def test_everything_is_as_it_was_afterwards() -> None:
    before = claims()
    with drawing_first():
        outer = claims()
        assert outer != before
        with pytest.raises(RuntimeError), drawing_first():
            raise RuntimeError
        assert claims() == outer, "an inner one, even one that fails, takes nothing from the outer one"
    assert claims() == before


def test_a_system_that_knows_no_timer_slack_has_the_interval_alone(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(work, "_slack_file", lambda: tmp_path / "missing" / "timerslack_ns")
    before = sys.getswitchinterval()
    with drawing_first():
        interval, slack = claims()
        assert interval == pytest.approx(SWITCH_SECONDS)
        assert slack is None
        worker = new_worker("inside")
        assert worker.submit(lambda: 7).result(timeout=60) == 7
        worker.shutdown()
    assert sys.getswitchinterval() == before
