"""Asking an agent of a real run in a real window: keys by xdotool, and then a look into the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf_games.feedback.answers import Advice, Evaluation, Question
from rlhf_games.feedback.store import Answer, Store

from .desktop import MISSING, NEEDS, Desktop, virtual_desktop
from .small_run import make_run

pytestmark = pytest.mark.skipif(bool(MISSING), reason=NEEDS)


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    with virtual_desktop(tmp_path_factory.mktemp("home")) as made:
        yield made


def test_asking_in_a_real_window(desktop: Desktop, tmp_path: Path) -> None:
    run = make_run(tmp_path / "tiny")
    with Store.open(run / "store.sqlite") as store:

        def said(kind: str) -> list[Answer]:
            return [answer for answer in store.answers().answers if answer.kind == kind]

        with desktop.program("ask", str(run), "--annotator", "ann") as process:
            desktop.until(lambda: bool(said("evaluation")), process, lambda: press_and_wait(desktop, "plus"))
            desktop.press("Right", "Right")
            desktop.until(lambda: bool(said("question")), process, lambda: press_and_wait(desktop, "2"))
            desktop.press("t", "Left")  # in a what-if: the lesson is its action; else the key says which
            desktop.until(lambda: bool(said("advice")), process)
            desktop.press("Right", "t")  # Right leaves a what-if; Escape would leave the program where it was left already
            desktop.until(lambda: len(said("advice")) > 1, process, lambda: press_and_wait(desktop, "Left"))
        replays = store.replays(store.replay_ids())
    assert {answer.value for answer in said("evaluation")} == {Evaluation(0.5, speed=0.0)}
    [question] = [answer for answer in said("question") if answer.value == Question("what-if", 1)]
    lesson, *answers = said("advice")
    assert (lesson.value, lesson.replay_id, lesson.step) == (Advice(1), question.replay_id, question.step)
    assert {answer.value for answer in answers} == {Advice(1)}, "the game's key for left"
    for answer in (*said("evaluation"), question, lesson, *answers):
        assert answer.annotator == "ann"
        assert answer.replay_id is not None
        assert answer.step is not None
        assert answer.step < replays[answer.replay_id].length


def test_watching_in_a_real_window(desktop: Desktop, tmp_path: Path) -> None:
    run = make_run(tmp_path / "tiny", seeds=(0, 1))
    with desktop.program("watch", str(run), "--annotator", "ann") as process:
        time.sleep(3.0)
        desktop.press("Right", "t", "space", "period", "Left")
        assert process.poll() is None
    with Store.open(run / "store.sqlite") as store:
        assert store.history() == [], "watching says nothing"


def press_and_wait(desktop: Desktop, key: str) -> None:
    desktop.press(key)
    time.sleep(0.3)
