"""Keys, clocks, people and what is read of a run."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from pygame import Rect
from pygame._sdl2 import controller

from rlhf_games.arena.clock import StepClock
from rlhf_games.arena.controls import control_words
from rlhf_games.arena.figures import figure
from rlhf_games.arena.films import Footage
from rlhf_games.arena.input import Translator
from rlhf_games.arena.keys import Command, HeldKeys, Keymap, Press, chosen_action, find
from rlhf_games.arena.pen import Pen, cap, fit
from rlhf_games.arena.person import login_name, settings_folder, who
from rlhf_games.arena.playback import REST, SPEEDS, Playback, next_speed
from rlhf_games.arena.runs import MetricsTail, find_target
from rlhf_games.arena.text import Fonts
from rlhf_games.core.errors import UserError
from rlhf_games.files import write_atomically

from .conftest import Films, Line, Time

KNOWN = {"judge": ["left", "right"], "play": ["pause"]}


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "keys.toml").write_text(text)
    return tmp_path / "keys.toml"


def test_a_person_can_choose_their_keys(tmp_path: Path) -> None:
    keymap = Keymap.read(write(tmp_path, '[judge]\nleft = ["h", "left"]\n[seat1]\nup = "i"\n'), KNOWN)
    commands = keymap.commands("judge", [Command("left", ("left",), ""), Command("right", ("right",), "")])
    assert [command.keys for command in commands] == [("h", "left"), ("right",)]
    other = keymap.commands("judge", [Command("left", ("left",), ""), Command("score", ("h", "s"), "")])
    assert [command.keys for command in other] == [("h", "left"), ("s",)], "a key that was given away means one thing"
    assert keymap.seat(1, {"up": 0, "space+left": 1}) == {frozenset({"i"}): 0, frozenset({"@f", "@a"}): 1}
    assert keymap.seat(0, {"up": 0}) == {frozenset({"up"}): 0}
    assert Keymap.read(tmp_path / "none.toml", KNOWN) == Keymap()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[judge]\nlef = 'a'", "no command 'lef'; did you mean 'left'"),
        ("[jugde]\nleft = 'a'", "no section [jugde]; did you mean 'judge'"),
        ("[judge]\nleft = 3", "name of a key in quotes, got 3"),
        ("judge = 1", "must be a section"),
        ("[judge", "cannot be read"),
        ("judge = " + "[" * 9_999, "nested too deeply"),
        ("[seat1]\nup = ''", "name of a key"),
    ],
)
def test_wrong_key_files_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        Keymap.read(write(tmp_path, text), KNOWN)
    assert complaint in str(caught.value)
    assert "keys.toml" in str(caught.value)


def test_commands_are_found_on_every_keyboard_and_games_take_theirs() -> None:
    commands = (Command("slower", ("[",), ""), Command("left", ("left",), ""), Command("clearly", ("shift+left",), ""))
    assert find(commands, Press("8", True, "[")) == "slower", "AltGr and 8 on a German keyboard"
    assert find(commands, Press("left", True, shift=True)) == "clearly"
    assert find(commands, Press("left", True)) == "left"
    assert find(commands, Press("x", True)) is None
    assert Keymap().commands("play", commands, taken={"left"})[1].keys == ()


def test_chords() -> None:
    chords = {frozenset({"a"}): 1, frozenset({"b"}): 2, frozenset({"a", "b"}): 3}
    held = HeldKeys()
    assert held.press("a", True)
    assert not held.press("a", True), "a key cannot go down twice"
    held.press("b", True)
    assert chosen_action(chords, held.take()) == 3
    held.press("b", False)
    assert chosen_action(chords, held.take()) == 1
    assert chosen_action(chords, held.take(taps_only=True)) is None
    assert held.clear() == ("a",)
    assert chosen_action(chords, held.take()) is None


def test_steps_are_even_and_missed_ones_are_not_made_up_for() -> None:
    now = Time(0.0)
    clock = StepClock(8.0, now)
    taken = []
    for tick in range(40):
        now.now = tick / 32
        taken += [tick] if clock.due() else []
    assert taken == list(range(0, 40, 4))
    now.now = 5.0
    assert [clock.due(), clock.due()] == [True, False]
    clock.set_rate(16.0)
    assert clock.remaining == 1 / 16
    clock.restart()
    now.now += 0.06
    assert not clock.due()


def test_clips_play_together_and_begin_again_together(films: Films, ask: Any, store: Any) -> None:
    import numpy as np

    def film(count: int, fps: float) -> Footage:
        return Footage(np.zeros((count, 2, 2, 3), np.uint8), fps, "g", 1, False)

    now = Time(0.0)
    playback = Playback(now)
    playback.load([film(10, 10.0), film(40, 20.0)])
    seen = []
    for tick in range(60):
        now.now = tick / 20 + 1e-6
        playback.tick()
        seen.append((playback.frame(0), playback.frame(1)))
    assert seen[:4] == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert seen[30] == (9, 30), "the shorter one waits on its last picture"
    assert seen[45] == (9, 39)
    assert playback.duration == 2.0
    restart = round((2.0 + REST) * 20)
    assert seen[restart] == (0, 0)
    playback.step(1)
    assert playback.paused
    at = playback.frame(1)
    playback.step(1)
    assert playback.frame(1) == at + 1
    playback.step(-1)
    playback.step(-1)
    assert playback.frame(1) == at - 1
    for _ in range(200):
        playback.step(1)
    assert (playback.frame(0), playback.frame(1)) == (9, 39)
    now.now += 100
    playback.tick()
    assert playback.frame(1) == 39, "paused"


def test_speeds() -> None:
    assert (SPEEDS[0], SPEEDS[-1]) == (0.1, 4.0)
    assert next_speed(1.0, True) == 1.5
    assert next_speed(4.0, True) == 4.0
    assert next_speed(0.1, False) == 0.1


@pytest.mark.parametrize(
    ("area", "size", "crisp"),
    [
        ((500, 640), (480, 630), True),  # three times, and nearly all that fits
        ((860, 780), (594, 780), False),  # 3.71 times: three times would leave a fifth empty
        ((160, 230), (160, 210), True),
        ((240, 1000), (240, 315), False),  # one and a half times
        ((1000, 1049), (640, 840), True),  # four times and more: whole numbers
        ((100, 1000), (100, 131), False),
    ],
)
def test_pictures_fill_their_area(area: tuple[int, int], size: tuple[int, int], crisp: bool) -> None:
    assert fit((160, 210), area) == (size, crisp)
    assert fit((160, 210), size) == (size, crisp), "what was made to fit is filled"


def test_an_enlarged_picture_is_painted_all_over() -> None:
    pygame.font.init()
    surface = pygame.Surface((240, 320), depth=32)
    pen = Pen(surface, Fonts(1.0), 1.0, (0, 0), [])
    picture = np.zeros((210, 160, 3), np.uint8)
    picture[:, 80:] = (200, 100, 50)
    where = pen.picture(picture, pen.area)
    assert where == Rect(0, 3, 240, 315)
    shown = pygame.surfarray.array3d(surface).swapaxes(0, 1)
    assert (shown[3:318, 121:] == (200, 100, 50)).all()
    assert (shown[3:318, :119] == 0).all()
    assert pen.picture(picture, pen.area, dim=True) == where
    dimmed = pygame.surfarray.array3d(surface).swapaxes(0, 1)[3:318, 121:].reshape(-1, 3)
    assert np.abs(dimmed - np.array([200, 100, 50]) * 70 / 255).max() <= 1


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        *(("left", "←"), ("shift+left", "⇧ ←"), ("a", "A"), ("f1", "F1"), ("pad:a", "pad A"), ("shift+pad:dpleft", "pad L1+◀")),
        *(("+", "+"), ("[+]", "[+]"), ("shift++", "⇧ +"), ("shift+[+]", "⇧ [+]"), ("up+right", "↑ →")),
    ],
)
def test_key_caps(key: str, shown: str) -> None:
    assert cap(key) == shown


def test_the_name_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "login")
    folder = settings_folder()
    assert (who("", folder), login_name()) == ("", "login")
    assert who("Ann B", folder) == "Ann B"
    assert who("", folder) == "Ann B"
    for wrong in (" x", "a\nb", "x" * 101):
        with pytest.raises(UserError, match="--annotator"):
            who(wrong, folder)


def test_scores_are_read_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(path)
    assert tail.poll() is None
    path.write_text('{"step": 1, "true_return": null}\n{"step": 2, "true_re')
    assert tail.poll() is None
    with path.open("a") as file:
        file.write('turn": 0.5}\nnonsense\n[]\n{"step": 3, "true_return": 1.5}\n{"st')
    found = tail.poll()
    assert found is not None
    assert (found.step, found.scores) == (3, (0.5, 1.5))
    write_atomically(path, "".join(json.dumps({"step": i, "true_return": i}) + "\n" for i in range(4)))
    found = tail.poll()
    assert found is not None
    assert found.scores == (0.0, 1.0, 2.0, 3.0), "a run that was resumed"
    with path.open("a") as file:
        file.write("".join(json.dumps({"step": i, "true_return": i}) + "\n" for i in range(4, 1000)))
    found = tail.poll()
    assert found is not None
    assert len(found.scores) == 80
    assert (found.scores[0], found.scores[-1]) == (0.0, 999.0)


def test_runs_and_stores_are_told_apart(tmp_path: Path) -> None:
    run = tmp_path / "breakout"
    run.mkdir()
    with pytest.raises(UserError, match=r"holds no store\.sqlite"):
        find_target(str(run))
    (run / "store.sqlite").write_bytes(b"")
    (run / "config.json").write_text('{"game": {"name": "minatar/breakout"}, "feedback": {"budget": 700}}')
    target = find_target(str(run))
    assert (target.name, target.game, target.budget, target.folder) == ("breakout", "minatar/breakout", 700, run)
    (run / "config.json").write_text("[]")
    assert find_target(str(run)).budget is None
    assert find_target(str(run / "store.sqlite")).folder is None
    assert find_target("postgresql://me@host/name").name == "name"
    with pytest.raises(UserError, match="does not exist"):
        find_target(str(tmp_path / "nowhere"))


def test_figures_have_a_real_minus_and_no_negative_zero() -> None:
    assert [figure(value, "+.2f") for value in (-0.314, 0.5, -0.001)] == ["−0.31", "+0.50", "+0.00"]
    assert [figure(value, "g") for value in (-3.0, 12.0)] == ["−3", "12"]


def test_the_keys_of_a_game_are_told_where_they_do_not_follow_from_single_ones() -> None:
    words = ("space", "up+right", "space+up+right", "left", "space+left")
    chords = {frozenset(chord.split("+")): action for action, chord in enumerate(words)}
    assert control_words(Line().spec, chords) == [("space", "stay"), ("up+right", "left"), ("up+space+right", "right"), ("left", "fire")]


KEYBOARDS = {
    # key (layout, place on a US keyboard, Shift), its keycode and what it writes: as SDL 2.32 reports them under X11
    ("us", "=", True): (61, 46, "+"),
    ("us", "2", True): (50, 31, "@"),
    ("us", "[", False): (91, 47, "["),
    ("de", "y", False): (122, 28, "z"),
    ("de", "[", False): (252, 47, "ü"),
    ("de", "=", False): (1 << 30, 46, ""),  # a dead key
    ("fr", "q", False): (97, 20, "a"),
    ("fr", "w", False): (122, 26, "z"),
    ("fr", "2", False): (50, 31, "é"),
    ("fr", "2", True): (50, 31, "2"),
    ("fr on macOS", "2", False): (233, 31, "é"),
    ("fr on macOS", "2", True): (233, 31, "2"),
    ("fr", "6", False): (54, 35, "-"),
    ("ru", "p", False): (1079, 19, "з"),
    ("ru", "[", False): (1093, 47, "х"),
    ("gr", "p", False): (960, 19, "π"),
    ("gr", "q", False): (59, 20, ";"),
    ("dvorak", "p", False): (108, 19, "l"),
}
NAMED = {
    ("us", "=", True): ("=", True),
    ("us", "2", True): ("2", True),
    ("us", "[", False): ("[", False),
    ("de", "y", False): ("z", False),
    ("de", "[", False): ("ü", False),
    ("fr", "q", False): ("a", False),
    ("fr", "w", False): ("z", False),
    ("fr", "2", False): ("2", False),
    ("fr", "2", True): ("2", False),  # where a digit needs Shift, it is no "Shift and 2"
    ("fr on macOS", "2", False): ("2", False),
    ("fr on macOS", "2", True): ("2", False),
    ("fr", "6", False): ("6", False),
    ("ru", "p", False): ("p", False),
    ("ru", "[", False): ("[", False),
    ("gr", "p", False): ("p", False),
    ("gr", "q", False): ("q", False),  # no letter there, but it is no keyboard with Latin letters
    ("dvorak", "p", False): ("l", False),
}


@pytest.mark.parametrize(("keyboard", "place", "shift"), KEYBOARDS)
def test_keys_are_named_on_every_keyboard(keyboard: str, place: str, shift: bool) -> None:
    pygame.init()
    read = Translator().read
    if keyboard == "gr":
        read(pygame.Event(pygame.KEYDOWN, key=945, scancode=4, mod=0, unicode="α"))
    key, scancode, text = KEYBOARDS[keyboard, place, shift]
    mod = pygame.KMOD_LSHIFT if shift else 0
    found = read(pygame.Event(pygame.KEYDOWN, key=key, scancode=scancode, mod=mod, unicode=text))
    named = NAMED.get((keyboard, place, shift))
    expected = [] if named is None else [Press(named[0], True, text, named[1], place)]
    assert found == expected
    other = read(pygame.Event(pygame.KEYUP, key=9999, scancode=scancode, mod=0))
    assert [press.names for press in other if isinstance(press, Press)] == [press.names for press in expected], "another layout meanwhile"
    pygame.quit()


def test_all_names_of_a_key() -> None:
    assert Press("[2]", True).names == ("[2]", "@[2]", "2"), "a digit of the keypad is a digit"
    assert Press("f13", True).names == ("f13", "@f13")
    assert Press("z", True, "z", place="y").names == ("z", "@y")
    assert Press("pad2:a", True).names == ("pad2:a", "pad:a")


def test_wasd_goes_by_place_and_plus_by_what_it_writes() -> None:
    chords = Keymap().seat(1, {"up": 2, "left": 1})
    assert Press("z", True, "z", place="w").among({key for chord in chords for key in chord}) == "@w", "a French keyboard"
    assert Press("w", True, "w", place="z").among({key for chord in chords for key in chord}) == ""
    cross = Keymap().seat(0, {"w": 0, "a": 1, "s": 2, "d": 3, "e": 4})
    assert set(cross) == {frozenset({key}) for key in ("@w", "@a", "@s", "@d", "e")}, "steered with a cross of letters"
    assert set(Keymap().seat(0, {"w": 0, "e": 1})) == {frozenset({"w"}), frozenset({"e"})}, "no cross: as it is printed"
    commands = (Command("strong", ("shift++", "shift+="), ""), Command("plain", ("+",), ""), Command("six", ("6",), ""))
    assert find(commands, Press("+", True, "+")) == "plain"
    assert find(commands[1:], Press("=", True, "+", True, "=")) == "plain", "Shift and = on a US keyboard is the plain plus"
    assert find(commands, Press("6", True, "-", False, "6")) == "six"


class VirtualPads:
    """Gamepads that SDL itself plugs in and pulls out."""

    def __init__(self) -> None:
        path = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libSDL2-2" in line)
        self.sdl = ctypes.CDLL(path)
        self.sdl.SDL_JoystickFromInstanceID.restype = ctypes.c_void_p

    def plug(self) -> None:
        assert self.sdl.SDL_JoystickAttachVirtual(1, 6, 15, 0) >= 0

    def pull(self, index: int) -> None:
        assert self.sdl.SDL_JoystickDetachVirtual(index) == 0

    def push(self, instance: int, button: int, down: bool) -> None:
        pad = ctypes.c_void_p(self.sdl.SDL_JoystickFromInstanceID(instance))
        assert self.sdl.SDL_JoystickSetVirtualButton(pad, button, int(down)) == 0

    def presses(self, translator: Translator) -> list[tuple[str, bool]]:
        self.sdl.SDL_JoystickUpdate()
        read = [entry for event in pygame.event.get() for entry in translator.read(event)]
        return [(entry.key, entry.down) for entry in read if isinstance(entry, Press)]


@pytest.fixture
def pads(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualPads]:
    if not sys.platform.startswith("linux"):
        pytest.skip("finds SDL in /proc")
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    pygame.display.init()
    pygame.display.set_mode((64, 64))
    yield VirtualPads()
    controller.quit()
    pygame.quit()


def test_two_gamepads_are_two_players_and_one_that_is_plugged_in_again_leaves_the_other_alone(pads: VirtualPads) -> None:
    translator = Translator()
    pads.plug()
    pads.plug()
    assert pads.presses(translator) == []
    first, second = sorted(translator._pads._open)
    pads.push(first, 0, True)
    pads.push(second, 11, True)
    assert sorted(pads.presses(translator)) == [("pad2:dpup", True), ("pad:a", True)]
    pads.pull(0)
    assert pads.presses(translator) == [("pad:a", False)], "let go of; the other one still holds"
    pads.plug()
    assert pads.presses(translator) == []
    third = max(translator._pads._open)
    assert third not in (first, second)
    pads.push(second, 11, False)
    pads.push(third, 1, True)
    assert sorted(pads.presses(translator)) == [("pad2:dpup", False), ("pad:b", True)], "the free place is the first player's"


def test_a_gamepad_that_is_gone_before_its_event_is_read_raises_nothing(pads: VirtualPads) -> None:
    translator = Translator()
    pads.plug()
    pads.plug()
    pads.sdl.SDL_JoystickUpdate()
    pads.pull(0)
    assert pads.presses(translator) == []
    [left] = translator._pads._open
    pads.push(left, 0, True)
    assert [down for _, down in pads.presses(translator)] == [True], "the one that stayed plays, whatever index the events named"


def test_a_gamepad_that_is_pulled_out_lets_go_of_everything() -> None:
    pygame.init()
    read = Translator().read
    pad: dict[str, Any] = {"instance_id": 3}
    for button in (0, 9):
        read(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=button, **pad))
    read(pygame.Event(pygame.CONTROLLERAXISMOTION, axis=0, value=30000, **pad))
    read(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=1, instance_id=4))
    gone = read(pygame.Event(pygame.CONTROLLERDEVICEREMOVED, **pad))
    assert {press.key for press in gone if isinstance(press, Press) and not press.down} == {"pad:a", "pad:dpright", "pad:leftshoulder"}
    [later] = read(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=14, instance_id=4))
    assert later == Press("pad2:dpright", True), "the shoulder button of the other one counts no more"
    pygame.quit()
