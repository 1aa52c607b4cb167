"""Coaching a real agent in a real window, keys by xdotool; and a real policy without a window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlhf_games.arena.coach_game import CoachGame
from rlhf_games.feedback.answers import Evaluation, Takeover
from rlhf_games.feedback.store import Answer, Store
from rlhf_games.published.run import PublishedRun
from rlhf_games.replay.simulate import simulate
from rlhf_games.workspace import load_game

from .desktop import MISSING, NEEDS, Desktop, virtual_desktop
from .small_run import make_run, publish_fresh


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    with virtual_desktop(tmp_path_factory.mktemp("home")) as made:
        yield made


def take_over(desktop: Desktop) -> None:
    """And hands back: keys that follow each other more quickly are one takeover."""
    desktop.hold("Up", 0.6)
    time.sleep(1.5)


@pytest.mark.skipif(bool(MISSING), reason=NEEDS)
def test_coaching_with_a_takeover_in_a_real_window(desktop: Desktop, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "minatar/freeway")

    def said(kind: str) -> tuple[Answer, ...]:
        with Store.open(run) as store:
            return store.answers(kinds=(kind,)).answers

    with desktop.program("coach", str(run), "--annotator", "ann") as process:
        desktop.until(lambda: bool(said("evaluation")), process, lambda: desktop.press("x", "equal"))
        desktop.until(lambda: bool(said("takeover")), process, lambda: take_over(desktop))
        desktop.press("Next")
        strong = Evaluation(-1.0)
        desktop.until(lambda: strong in {answer.value for answer in said("evaluation")}, process)
        desktop.press("BackSpace")
        desktop.until(lambda: strong not in {answer.value for answer in said("evaluation")}, process)
        publish_fresh(run, "minatar/freeway", 2)
        time.sleep(4.0)
        desktop.press("a")
        desktop.until(
            lambda: bool(said("question")), process, lambda: time.sleep(1.0)
        )  # Ask stands at the last decision: that is a question
    [question] = said("question")
    with Store.open(run) as store:
        assert question.step == store.replay(question.replay_id or "").length - 1
    game = load_game("minatar/freeway")
    assert {answer.value for answer in said("evaluation")} == {Evaluation(0.5)}
    [takeover, *_] = said("takeover")
    assert isinstance(takeover.value, Takeover)
    assert takeover.replay_id is not None
    assert takeover.step is not None
    with Store.open(run) as store:
        replay, instead = store.replay(takeover.replay_id), store.replay(takeover.value.instead)
    mine = replay.actions[takeover.step : takeover.step + takeover.value.length, 0]
    assert takeover.value.length >= 2
    assert mine[0] == mine[-1] == game.spec.keys["up"], "it begins and ends with a key"
    assert instead.length == takeover.step + takeover.value.length
    np.testing.assert_array_equal(instead.actions[: takeover.step], replay.actions[: takeover.step])
    assert {("=", True), ("up", True), ("up", False)} <= {(key, down) for _, key, down in replay.key_events}
    assert replay.policy == "tiny/2", "what was published meanwhile played on"
    simulate(game, [replay, instead], observations=False)


@pytest.mark.parametrize("name", ["minatar/breakout", "atari/pong", "board/connect_four"])
def test_a_real_policy_plays_and_is_forked_exactly(tmp_path: Path, name: str) -> None:
    publish_fresh(tmp_path, name, members=1)
    game = CoachGame(PublishedRun.open(tmp_path))
    game.begin(5)
    for _ in range(4):
        game.step(game.propose().action)
    fork, alone = game.fork(), []
    for _ in range(3):
        if game.step(action := game.propose().action).ended:
            break
        alone.append(action.tolist())
    assert fork is not None
    replay = game.replay([])
    instead = fork.play(len(alone))
    assert instead.actions.tolist() == replay.actions[: 4 + len(alone)].tolist(), "left alone, the agent does what it would have done"
    loaded = load_game(name)
    simulate(loaded, [replay, instead], observations=False)
    game.close()
