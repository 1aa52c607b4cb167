"""The real program in a real window: keys by xdotool, and then a look into the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf_games.feedback.answers import Demonstration, Preference, Ranking, Rating
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
    """Twenty-five pairs of clips of MinAtar Breakout, rankings of three and four, and clips to rate."""
    game, rng = load_game("minatar/breakout"), np.random.default_rng(0)
    session = game.open(3)
    recorder = SessionRecorder(session, 3, player=("agent",))
    while not session.timestep.terminated:
        recorder.step(rng.integers(0, 3, 1).astype(np.int32))
    replay = recorder.replay()
    with Store.open(tmp_path / "store.sqlite") as store:
        store.add_replays([replay])
        pieces = [(start, length) for length in (3, 2) for start in range(replay.length - length + 1)][:6]
        clips = [Clip((Segment(replay.id, start, length),)) for start, length in pieces]
        assert len(clips) == 6
        pairs = [(a, b) for a in clips for b in clips if a != b][:25]
        drafts = [QueryDraft("preference", pair) for pair in pairs]
        drafts += [QueryDraft("ranking", tuple(clips[:count])) for count in (3, 4, 3, 3)]
        drafts += [QueryDraft("rating", (clip,)) for clip in clips]
        store.post_queries(drafts)
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
        for number in range(len(keys), 21):
            desktop.press("Down")
            desktop.until(lambda number=number: asked.progress().answered >= number, process)  # type: ignore[misc]
            time.sleep(0.1)
    answers = [answer.value for answer in asked.answers().answers]
    assert len(answers) >= 20
    values = answers[: len(keys) - 1]
    said = [Preference("right"), Preference("right", 2), Preference("equal"), Preference("unsure")]
    assert [value for value in values if value != Preference("left")] == said
    assert values[0] == Preference("left")
    assert {answer.annotator for answer in asked.answers().answers} == {"ann"}
    assert asked.progress().leased == 0, "given back when the program was told to end"
    assert len({answer.query_id for answer in asked.answers().answers}) == len(answers)


def answer_all(desktop: Desktop, store: Store, answers: Sequence[Sequence[str]], *words: str, name: Sequence[str] = ()) -> list[Any]:
    """Answers one question after the other with the keys of each, the first one "can't tell"; returns what the store holds.

    With a ``name`` nobody has said yet who sits here: the window asks, and these keys are the answer.
    """
    with desktop.program(*words) as process:
        desktop.press(*name)
        # Drawing the first clips may take a while: a key that answers by itself is pressed until it counts.
        desktop.until(lambda: store.progress().answered == 1, process, lambda: desktop.press("Up"))
        time.sleep(1.0)
        for number, keys in enumerate(answers, start=store.progress().answered):
            for key in keys:
                desktop.press(key)
            desktop.until(lambda number=number: store.progress().answered > number, process)  # type: ignore[misc]
            time.sleep(0.3)
        desktop.press("BackSpace")
        desktop.until(lambda: store.progress().retracted == 1, process)
    assert store.progress().leased == 0
    return [answer.value for answer in store.answers().answers]


def test_ranking_in_a_real_window(desktop: Desktop, asked: Store) -> None:
    keys = [("3", "1", "4", "2"), ("2", "shift+3", "Return"), ("1", "Return")]
    shown = answer_all(desktop, asked, keys, "rank", asked.name, "--annotator", "ann")
    assert [value for value in shown if value.ranks] == [Ranking((1, 3, 0, 2)), Ranking((1, 0, 0))]
    assert {answer.annotator for answer in asked.answers().answers} == {"ann"}


def test_rating_by_somebody_who_is_asked_their_name_in_a_real_window(tmp_path: Path, asked: Store) -> None:
    with virtual_desktop(tmp_path / "home") as desktop:
        shown = answer_all(desktop, asked, [("5",), ("1",), ("3",)], "rate", asked.name, name=("shift+e", "v", "e", "Return"))
    assert [value for value in shown if value.stars] == [Rating(5), Rating(1)]
    assert {answer.annotator for answer in asked.answers().answers} == {"Eve"}


@pytest.mark.parametrize(("game", "held"), [("minatar/breakout", "Right"), ("atari/pong", "Up")])
def test_playing_in_a_real_window(desktop: Desktop, tmp_path: Path, game: str, held: str) -> None:
    plays = tmp_path / "plays.sqlite"
    with desktop.program("play", game, "--store", str(plays), "--annotator", "ann") as process:

        def play_and_keep() -> None:
            desktop.hold(held, 0.8)
            time.sleep(0.6)  # a digit in the heat of the last moment would not count
            desktop.press("4")  # where the game is over already; else it is stopped first
            time.sleep(0.5)
            if not (plays.exists() and kept(plays)):
                desktop.press("r")
                time.sleep(0.6)
                desktop.press("4")
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
        rated = {answer.replay_id for answer in answers if answer.kind == "rating"}
    assert [answer.value for answer in answers if answer.replay_id == replay.id] == [Demonstration(replay.length), Rating(4)]
    assert rated == {answer.replay_id for answer in answers}
    assert {answer.value for answer in answers if answer.kind == "rating"} == {Rating(4)}


def kept(plays: Path) -> list:  # type: ignore[type-arg]
    with Store.open(plays) as store:
        return list(store.replays(store.replay_ids()).values())
