"""From held keys to decisions: whose chord means which action, and what the seats that nobody sits in do. Knows no pygame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.keys import PADS, Command, HeldKeys, Keymap, Press, chosen_action, is_pad
from rlhf_games.core.errors import UserError
from rlhf_games.core.spaces import Discrete
from rlhf_games.core.streams import Stream, generator

if TYPE_CHECKING:
    from rlhf_games.arena.moment import Moment
    from rlhf_games.core.game import GameSpec

Chords: TypeAlias = dict[frozenset[str], int]
RANDOM = "random"
"""Who plays the seats that no person plays: a uniformly random legal action at every decision."""


class KeyLog:
    """When keys went down and up, in seconds of play since the episode's beginning, pauses left out."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._played = 0.0
        self._since: float | None = None
        self.events: list[tuple[float, str, bool]] = []
        """Time, key, whether it went down; as replays keep it."""

    def note(self, key: str, down: bool) -> None:
        """A key went down or up now."""
        at = self._played + (0.0 if self._since is None else self._now() - self._since)
        self.events.append((round(at, 4), key.removeprefix("@"), down))

    def run(self, running: bool) -> None:
        """The game runs from now on, or stands still."""
        if self._since is not None:
            self._played += self._now() - self._since
        self._since = self._now() if running else None


class Controls:
    """What the people at one keyboard hold, and what it means in a game."""

    def __init__(self, spec: GameSpec, keymap: Keymap, people: int) -> None:
        """Raises ``UserError`` where two people would need the same keys."""
        self.spec, self.people = spec, people
        self.chords: list[Chords] = [seat_chords(seat, spec, keymap) for seat in range(people)]
        """By seat: what the person there presses."""
        self.vocabulary = frozenset[str]().union(*(chord for chords in self.chords for chord in chords))
        """Every key that is played with."""
        self.refusal = ""
        """Why the last key brought no action."""
        self._held = HeldKeys()
        self._pointed: int | None = None
        """The action that was pointed at with the mouse since the last decision."""
        self._rng = generator(Stream.EMPTY_SEATS, 0)

    @property
    def waiting(self) -> bool:
        """Whether a key went down, or something was pointed at, since the last decision."""
        return self._held.waiting or self._pointed is not None

    def press(self, press: Press) -> str:
        """A key went down or up; returns by which name that matters, empty where it does not."""
        return self._held.take_note(press, self.vocabulary)

    def point(self, action: int) -> None:
        """Somebody points at what they do next: whoever is to move, of several people the first."""
        self._pointed = action

    def clear(self) -> tuple[str, ...]:
        """All keys are let go of; returns which were held."""
        self._pointed = None
        return self._held.clear()

    def begin(self, seed: int) -> None:
        """A new episode; ``seed``: decides what the seats do that nobody sits in."""
        self._rng = generator(Stream.EMPTY_SEATS, seed)
        self.clear()
        self.refusal = ""

    def decide(self, moment: Moment, *, only_with_key: bool) -> NDArray[np.int32] | None:
        """One action per seat, ``[P]``; None: not yet. ``only_with_key``: not as long as nobody holds a key."""
        keys = self._held.take(taps_only=self.spec.turn_based)
        chosen = [chosen_action(chords, keys) for chords in self.chords]
        if self._pointed is not None and (people := np.flatnonzero(moment.acting[: self.people])).size:
            chosen[people[0]], self._pointed = self._pointed, None
        if only_with_key and not self.spec.turn_based and all(action is None for action in chosen):
            return None
        actions = np.zeros(self.spec.players, np.int32)
        for seat in np.flatnonzero(moment.acting):
            legal = moment.legal[seat]
            if seat >= self.people:
                actions[seat] = self._rng.choice(np.flatnonzero(legal))
                continue
            action = self._choose(chosen[seat], legal)
            if action is None:
                return None
            actions[seat] = action
        return actions

    def _choose(self, action: int | None, legal: NDArray[np.bool_]) -> int | None:
        """A person's action; None where the game waits for another key."""
        if action is not None and legal[action]:
            self.refusal = ""
            return action
        if self.spec.turn_based:
            assert isinstance(self.spec.actions, Discrete)
            self.refusal = self.refusal if action is None else f"{self.spec.actions.meanings[action]} is not possible now"
            return None
        return self.spec.idle_action if legal[self.spec.idle_action] else int(np.argmax(legal))


def seat_chords(seat: int, spec: GameSpec, keymap: Keymap) -> Chords:
    """What the person in a seat presses, on the keyboard or on a gamepad of their own.

    Raises:
      UserError: two people would need the same keys.
    """
    chords = keymap.seat(seat, spec.keys)
    if seat and not spec.turn_based and _plain(chords) & _plain(keymap.seat(0, spec.keys)):
        raise UserError(f"{spec.name}: the second player needs keys of their own: name them in keys.toml under [seat1]")
    return chords | {frozenset(f"{PADS[seat]}{part}" for part in chord.split("+")): action for chord, action in spec.buttons.items()}


def _plain(chords: Chords) -> set[frozenset[str]]:
    """Chords as they are on a US keyboard, where what is printed and the place are one."""
    return {frozenset(key.removeprefix("@") for key in chord) for chord in chords}


def game_commands(spec: GameSpec, chords: Chords, whose: str = "the game") -> tuple[Command, ...]:
    """What keys and buttons do in the game, for the help. ``whose``: stands before it."""
    assert isinstance(spec.actions, Discrete)
    keys: dict[int, list[str]] = {}
    for chord, action in _telling(chords):
        keys.setdefault(action, []).append(chord)
    return tuple(Command("", tuple(names), f"{whose}: {spec.actions.meanings[action]}") for action, names in keys.items())


def action_words(spec: GameSpec, action: Sequence[int], acting: Sequence[bool], names: Sequence[str]) -> str:
    """What was done last, for people: turn by turn by the one who moved, else by every person.

    Args:
      spec: of the game.
      action: ``[P]``; empty: nothing yet.
      acting: ``[P]`` who moved.
      names: what the people are called, by seat.
    """
    assert isinstance(spec.actions, Discrete)
    meant = [spec.actions.meanings[entry] for entry in action]
    seats = [seat for seat, moves in enumerate(acting) if moves and (spec.turn_based or seat < len(names))] if meant else []
    if spec.players == 1 or (len(seats) == 1 and not spec.turn_based):
        return meant[seats[0]] if seats else "–"
    return ", ".join(f"{names[seat] if seat < len(names) else f'seat {seat}'}: {meant[seat]}" for seat in seats) or "–"


def control_words(spec: GameSpec, chords: Chords) -> list[tuple[str, str]]:
    """Keys of the keyboard and what they mean, for people: ``[("left", "left"), ("space", "fire")]``."""
    assert isinstance(spec.actions, Discrete)
    return [(chord, spec.actions.meanings[action]) for chord, action in _telling(chords) if not is_pad(chord)]


def _telling(chords: Chords) -> list[tuple[str, int]]:
    """Single keys, and chords that do not follow from them (``"up+right"`` where one of them means nothing alone), with their actions."""
    singles = {key for chord in chords if len(chord) == 1 for key in chord}
    return [("+".join(sorted(chord, reverse=True)), action) for chord, action in chords.items() if len(chord) == 1 or not chord <= singles]
