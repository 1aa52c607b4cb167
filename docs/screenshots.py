"""Pictures of every view of the arena for this folder: ``make screenshots``, no screen needed.

Real sessions, real games, real answers; only the window is not shown.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

from rlhf_games import workspace
from rlhf_games.arena import start
from rlhf_games.arena.advise_view import AdviseView
from rlhf_games.arena.app import App
from rlhf_games.arena.ask_view import AskView
from rlhf_games.arena.coach_view import CoachView
from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.name_view import NameView
from rlhf_games.arena.person import Person
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.rank_view import RankView
from rlhf_games.arena.rate_view import RateView
from rlhf_games.arena.runs import find_target
from rlhf_games.arena.tasks import find_task
from rlhf_games.arena.watch_view import WatchView

_PATIENCE = 180.0
"""Seconds until a picture that does not come counts as missing."""
_TELLING, _GAMES = 16, 30
"""Decisions of a game worth a picture (in it something is hit), and how many games are played for one."""
_SCORES = (0.4, 0.5, 0.9, 0.8, 1.4, 1.9, 1.8, 2.6, 3.1, 3.0, 3.9, 4.4, 4.3, 4.8)
"""What the made-up run in the pictures has reached so far."""


def main(folder: Path) -> None:
    """Writes ``arena-*.png`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = _make_run(Path(scratch))
        _take(folder, run, Path(scratch) / "plays.sqlite")
        learned = _learned_run(Path(scratch))
        _shoot_asking(folder, learned)
        _shoot_coaching(folder, learned)


def _take(folder: Path, run: Path, plays: Path) -> None:
    person = Person("ann", Keymap())
    target = find_target(str(run))
    camera = Camera(App(start.home(None, person, plays, run.parent)), folder)
    camera.wait(lambda: camera.seconds > 2.0)
    camera.shoot("runs")
    camera.app.close()
    camera = Camera(App(NameView("ann", person.keymap, lambda name: [])), folder)
    camera.shoot("name")
    camera.app.close()
    camera = Camera(App(start.home(target, person, plays)), folder)
    camera.wait(lambda: camera.seconds > 2.0)
    camera.shoot("home")
    camera.press(pygame.K_RETURN)
    camera.wait(lambda: isinstance(camera.view, JudgeView) and camera.view.session.ahead >= 3)
    camera.press(pygame.K_LEFT)
    camera.wait(lambda: camera.judge.session.given == 1 and camera.judge.session.phase == "showing")
    camera.press(pygame.K_RIGHT, pygame.KMOD_SHIFT)
    camera.wait(lambda: camera.judge.session.given == 2 and camera.judge.session.phase == "showing")
    seen = camera.seconds
    camera.wait(lambda: camera.seconds > seen + 2.2)
    camera.shoot("judge")
    camera.press(pygame.K_F1)
    camera.shoot("help")
    camera.press(pygame.K_ESCAPE)
    camera.press(pygame.K_ESCAPE)
    camera.app.close()
    _shoot_rank(Camera(App(find_task("rank").open(target, person)), folder))
    _shoot_rate(Camera(App(find_task("rate").open(target, person)), folder))
    camera = Camera(App(start.games(person, plays)), folder)
    for letter in "atari":
        camera.press(pygame.key.key_code(letter))
    camera.shoot("games")
    camera.app.close()
    for name, game, keys, seconds in (
        ("play", "atari/breakout", (pygame.K_SPACE, pygame.K_LEFT), 2.6),
        ("play-minatar", "minatar/asterix", (pygame.K_UP,), 2.0),
        ("play-board", "board/connect_four", (pygame.K_4,), 2.0),
    ):
        _shoot_game(name, start.play(game, person, plays), folder, keys, seconds)


def _shoot_asking(folder: Path, run: Path) -> None:
    """Watch, Ask and what the agent asks, of an agent that has learned."""
    person, target = Person("ann", Keymap()), find_target(str(run))
    camera = Camera(App(find_task("watch").open(target, person)), folder)
    camera.wait(lambda: isinstance(camera.view, WatchView) and camera.view.session.reel.phase == "ready")
    assert isinstance(camera.view, WatchView)
    watching = camera.view.session
    for _ in range(_GAMES):
        camera.press(pygame.K_g)
        camera.wait(lambda: not watching.fresh.words and watching.reel.thought(0, 0) is not None)
        if watching.reel.tape.length >= _TELLING:
            break
    camera.press(pygame.K_o)
    camera.wait(lambda: watching.head.t >= min(20, watching.reel.tape.length - 2))
    camera.shoot("watch")
    camera.app.close()
    camera = Camera(App(find_task("ask").open(target, person)), folder)
    camera.wait(lambda: isinstance(camera.view, AskView) and camera.view.session.reel.phase == "ready")
    assert isinstance(camera.view, AskView)
    asking = camera.view.session
    camera.wait(lambda: asking.reel.scene is not None and asking.reel.scene.timeline.missing(0, asking.reel.tape.length) is None)
    assert asking.reel.scene is not None
    best = int(asking.reel.scene.timeline.rewards(0)[0].argmax())
    asking.seek(best)
    camera.press(pygame.K_EQUALS, text="=")
    camera.press(pygame.K_s)
    camera.wait(lambda: asking.salient is not None and not asking.remarks.problem)
    camera.shoot("ask")
    camera.press(pygame.K_s)
    asking.seek(max(0, best - 3))
    camera.wait(lambda: asking.thought is not None)
    camera.press(pygame.K_2 if asking.taken != 1 else pygame.K_3)
    camera.wait(lambda: asking.fork is not None)
    seen = camera.seconds
    camera.wait(lambda: camera.seconds > seen + 1.2)
    camera.shoot("ask-what-if")
    camera.press(pygame.K_ESCAPE)
    camera.press(pygame.K_q)
    camera.wait(lambda: isinstance(camera.view, AdviseView) and camera.view.session.current is not None)
    camera.shoot("advise")
    camera.app.close()


def _shoot_coaching(folder: Path, run: Path) -> None:
    """The agent plays, and is told what to think of it; an episode that ends too early is coached again."""
    camera = Camera(App(find_task("coach").open(find_target(str(run)), Person("ann", Keymap()))), folder)
    camera.wait(lambda: isinstance(camera.view, CoachView) and camera.view.session.phase == "ready")
    assert isinstance(camera.view, CoachView)
    session = camera.view.session
    shift = pygame.KMOD_LSHIFT
    plan = {
        2: lambda: camera.press(pygame.K_EQUALS, text="="),
        4: lambda: camera.press(pygame.K_EQUALS, shift, "+"),
        6: lambda: camera.press(pygame.K_MINUS, text="-"),
        7: lambda: camera.hold(pygame.K_LEFT),
        9: lambda: camera.app.take(pygame.Event(pygame.KEYUP, key=pygame.K_LEFT, mod=0, unicode="")),
        13: lambda: camera.press(pygame.K_MINUS, shift, "_"),
        14: lambda: camera.hold(pygame.K_RIGHT),
    }
    done = {(0, 0)}

    def coached() -> bool:
        camera.press(pygame.K_F5)  # any key begins
        now = (session.episode, session.decisions)
        if session.phase == "playing" and session.decisions in plan and now not in done:
            done.add(now)
            plan[session.decisions]()
        return session.decisions == 17

    camera.wait(coached)
    camera.shoot("coach")
    camera.app.close()


def _shoot_rank(camera: Camera) -> None:
    camera.wait(lambda: isinstance(camera.view, RankView) and camera.view.session.phase == "showing")
    seen = camera.seconds
    camera.wait(lambda: camera.seconds > seen + 2.0)
    camera.press(pygame.K_4)
    camera.press(pygame.K_1)
    camera.press(pygame.K_3, pygame.KMOD_SHIFT)
    camera.shoot("rank")
    camera.app.close()


def _shoot_rate(camera: Camera) -> None:
    camera.wait(lambda: isinstance(camera.view, RateView) and camera.view.session.phase == "showing")
    seen = camera.seconds
    camera.wait(lambda: camera.seconds > seen + 2.0)
    camera.shoot("rate")
    camera.app.close()


def _shoot_game(name: str, view: object, folder: Path, keys: tuple[int, ...], seconds: float) -> None:
    assert isinstance(view, PlayView)
    camera = Camera(App(view), folder)
    camera.wait(lambda: view.session.phase in ("ready", "playing"))
    for key in keys:
        camera.hold(key)
    begun = camera.seconds
    camera.wait(lambda: camera.seconds > begun + seconds)
    camera.shoot(name)
    camera.press(pygame.K_r)
    camera.shoot(f"{name}-keep")
    camera.app.close()


class Camera:
    """Drives an app and writes down what it shows."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self._folder, self._begun = app, folder, time.monotonic()

    @property
    def view(self) -> object:
        """What is shown."""
        return self.app.view

    @property
    def judge(self) -> JudgeView:
        """The same where it is the judge's view."""
        assert isinstance(self.app.view, JudgeView)
        return self.app.view

    @property
    def seconds(self) -> float:
        """Since the window opened."""
        return time.monotonic() - self._begun

    def hold(self, key: int, mod: int = 0, text: str = "") -> None:
        """A key goes down."""
        name = pygame.key.name(key)
        self.app.take(pygame.Event(pygame.KEYDOWN, key=key, mod=mod, unicode=text or (name if len(name) == 1 else "")))
        self.app.frame()

    def press(self, key: int, mod: int = 0, text: str = "") -> None:
        """A key goes down and up."""
        self.hold(key, mod, text)
        self.app.take(pygame.Event(pygame.KEYUP, key=key, mod=mod, unicode=""))
        self.app.frame()

    def wait(self, until: Callable[[], bool]) -> None:
        """Lets the app run; raises ``TimeoutError`` where nothing comes of it."""
        deadline = time.monotonic() + _PATIENCE
        while not until():
            if time.monotonic() > deadline:
                session = getattr(self.view, "session", None)
                said = [str(getattr(session, name)) for name in ("phase", "notice", "problem") if getattr(session, name, "")]
                raise TimeoutError(f"the view {self.view} did not get ready in {_PATIENCE:.0f} s: {'; '.join(said) or 'it says nothing'}")
            self.app.frame()
            time.sleep(1 / 60)

    def shoot(self, name: str) -> None:
        """Writes ``arena-<name>.png``."""
        self.app.frame()
        surface = pygame.display.get_surface()
        assert surface is not None
        path = self._folder / f"arena-{name}.png"
        pygame.image.save(surface, path)
        print(path)


def _learned_run(folder: Path) -> Path:
    """A run in which an agent has learned a little MinAtar Breakout from a scripted teacher: half a minute of work."""
    from rlhf_games.experiment.files import load_experiment
    from rlhf_games.experiment.runner import Interruption, create_run, execute

    settings = ["steps=262144", "iterations=8", "feedback.budget=160", "evaluation_episodes=8"]
    experiment = load_experiment("demo", settings)
    run = create_run(experiment, folder / "breakout-learned")
    execute(run, lambda *_: None, Interruption(print))
    return folder / "breakout-learned"


def _make_run(folder: Path) -> Path:
    """A folder as a training run on Atari Breakout keeps it, with pairs that wait."""
    import numpy as np

    from rlhf_games.feedback.store import QueryDraft, Store
    from rlhf_games.replay.clip import Clip, Segment
    from rlhf_games.replay.recorder import SessionRecorder

    run = folder / "breakout-preferences"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"game": {"name": "atari/breakout"}, "feedback": {"budget": 700}}))
    lines = [json.dumps({"step": 10_000 * (i + 1), "time": 0, "true_return": score}) for i, score in enumerate(_SCORES)]
    (run / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    game = workspace.load_game("atari/breakout")
    replays = []
    for seed in range(4):
        session, rng = game.open(seed), np.random.default_rng(seed)
        recorder = SessionRecorder(session, seed, player=("agent",))
        for t in range(150):
            recorder.step(np.array([1 if t % 20 == 0 else rng.integers(0, 4)], np.int32))
        replays.append(recorder.replay())
    with Store.open(run / "store.sqlite") as store:
        store.add_replays(replays)
        clips = [Clip((Segment(replay.id, first, 60),)) for replay in replays for first in (20, 85)]
        pairs = list(itertools.combinations(clips, 2))
        questions = [QueryDraft("preference", pair) for pair in pairs]
        questions += [QueryDraft("ranking", tuple(clips[first : first + 4])) for first in (0, 4)]
        questions += [QueryDraft("rating", (clip,)) for clip in clips]
        store.post_queries(questions, np.random.default_rng(0))
    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images"))
