"""The real program in a real window: keys by xdotool, and then a look into the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlhf_games.feedback.answers import Demonstration, Preference
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.simulate import simulate
from rlhf_games.workspace import load_game

from .desktop import MISSING, NEEDS, Desktop, virtual_desktop

pytestmark = pytest.mark.skipif(bool(MISSING), reason=NEEDS)


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    with virtual_desktop(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Store]:
    """Ten questions about MinAtar Breakout."""
    game, rng = load_game("minatar/breakout"), np.random.default_rng(0)
    session = game.open(3)
    recorder = SessionRecorder(session, 3, player=("agent",))
    while not session.timestep.terminated:
        recorder.step(rng.integers(0, 3, 1).astype(np.int32))
    replay = recorder.replay()
    with Store.open(tmp_path / "store.sqlite") as store:
        store.add_replays([replay])
        clips = [Clip((Segment(replay.id, 0, length),)) for length in range(3, min(8, replay.length))]
        pairs = [(a, b) for a in clips for b in clips if a != b][:10]
        store.post_queries([QueryDraft("preference", pair) for pair in pairs])
        yield store


def test_judging_in_a_real_window(desktop: Desktop, asked: Store) -> None:
    keys = ["Left", "Right", "shift+Right", "Down", "Up", "shift+Left"]
    with desktop.program("judge", asked.name, "--annotator", "ann") as process:
        for number, key in enumerate(keys):
            pressed = [desktop.press(key)] if number else []  # the first pair may take a while: its key is pressed until it counts
            again = (lambda: None) if pressed else (lambda key=key: desktop.press(key))  # type: ignore[misc]
            desktop.until(lambda number=number: asked.progress().answered > number, process, again)  # type: ignore[misc]
            time.sleep(0.2)
        desktop.press("BackSpace")
        desktop.until(lambda: asked.progress().retracted == 1, process)
    values = [answer.value for answer in asked.answers().answers]
    said = [Preference("right"), Preference("right", 2), Preference("equal"), Preference("unsure")]
    assert [value for value in values if value != Preference("left")] == said
    assert values[0] == Preference("left")
    assert {answer.annotator for answer in asked.answers().answers} == {"ann"}
    assert asked.progress().leased == 0, "given back when the program was told to end"
    assert len({answer.query_id for answer in asked.answers().answers}) == len(values)


@pytest.mark.parametrize(("game", "held"), [("minatar/breakout", "Right"), ("atari/pong", "Right")])
def test_playing_in_a_real_window(desktop: Desktop, tmp_path: Path, game: str, held: str) -> None:
    plays = tmp_path / "plays.sqlite"
    with desktop.program("play", game, "--store", str(plays), "--annotator", "ann") as process:

        def play_and_keep() -> None:
            desktop.hold(held, 0.8)
            desktop.press("Return")  # where the game is over already; else it is stopped first
            desktop.press("r")
            desktop.press("Return")
            time.sleep(0.5)

        desktop.until(lambda: bool(plays.exists() and kept(plays)), process, play_and_keep)
    [replay, *_] = kept(plays)
    assert replay.player == ("ann",)
    assert (held.lower(), True) in {(key, down) for _, key, down in replay.key_events}
    spec = load_game(game).spec
    assert spec.keys[held.lower()] in replay.actions[:, 0].tolist(), "the held key was played"
    [track] = simulate(load_game(game), [replay], observations=False)
    assert len(track.reward) == replay.length, "and the episode reproduces"
    with Store.open(plays) as store:
        answers = store.answers().answers
    assert [answer.value for answer in answers if answer.replay_id == replay.id] == [Demonstration(replay.length)]


def kept(plays: Path) -> list:  # type: ignore[type-arg]
    with Store.open(plays) as store:
        return list(store.replays(store.replay_ids()).values())
