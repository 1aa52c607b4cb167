"""The keys of the game under a coach's fingers: who has the game, and what the coach does with it. Knows no pygame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.controls import KeyLog, seat_chords
from rlhf_games.arena.keys import HeldKeys, Keymap, Press, chosen_action

if TYPE_CHECKING:
    from rlhf_games.arena.moment import Moment
    from rlhf_games.core.game import GameSpec

SEAT = 0
"""The seat that is judged, and taken over."""


class Choice(NamedTuple):
    """What is decided."""

    action: NDArray[Any]
    """``[P, ...]``."""
    by_key: bool
    """Whether a key decided for the coach's seat."""


class Hands:
    """A key that goes down takes the game over; a while after the last one was let go of, the agent has it back."""

    def __init__(self, spec: GameSpec, keymap: Keymap, hand_back: float, now: Callable[[], float]) -> None:
        """``hand_back``: that while, in seconds."""
        self.driver: Literal["agent", "you"] = "agent"
        self.chords = seat_chords(SEAT, spec, keymap)
        """What the coach presses, and the action that it means."""
        self.vocabulary = frozenset[str]().union(*self.chords)
        """Every key that takes over."""
        self.log = KeyLog(now)
        """Of the present episode."""
        self._spec, self._hand_back, self._now = spec, hand_back, now
        self._held = HeldKeys()
        self._free_at = 0.0

    def begin(self) -> None:
        """A new episode: a key that is still held must go down anew."""
        self._held.clear()
        self.driver, self.log = "agent", KeyLog(self._now)

    def run(self, running: bool) -> None:
        """The game runs from now on (under the coach's keys, where any are held), or stands still."""
        self.log.run(running)
        if running:
            self.touch(take=bool(self._held.held))

    def press(self, press: Press) -> str:
        """A key went down or up; returns by which name that matters, empty where it does not."""
        return self._held.take_note(press, self.vocabulary)

    def touch(self, *, take: bool) -> None:
        """The hands moved just now; ``take``: they take the game over."""
        self.driver = "you" if take else self.driver
        self._free_at = self._now() + self._hand_back

    def clear(self) -> None:
        """All keys are let go of."""
        for key in self._held.clear():
            self.log.note(key, False)

    def let_drop(self) -> None:
        """What went down before the game ran does not take over."""
        self._held.clear()

    @property
    def rested(self) -> bool:
        """Whether the coach has the game and has let go of it; a tap that no decision has followed yet still holds it."""
        return self.driver == "you" and not self._held.held and not self._held.waiting and self._now() >= self._free_at

    def mine(self, moment: Moment) -> bool:
        """Whether the coach decides for their seat in this moment."""
        return self.driver == "you" and bool(moment.acting[SEAT])

    def decide(self, moment: Moment, proposed: NDArray[Any] | None) -> Choice | None:
        """What all seats do; None: not yet. ``proposed``: what the agent would do, ``[P, ...]``; None: it has not said yet."""
        mine = self.mine(moment)
        alone = mine and self._spec.players == 1
        if proposed is None and not alone:
            return None
        actions = np.zeros(self._spec.players, np.int32) if alone else np.array(proposed)
        if not mine:
            return Choice(actions, False)
        chosen = chosen_action(self.chords, self._held.take(taps_only=self._spec.turn_based))
        legal, idle = moment.legal[SEAT], self._spec.idle_action
        if chosen is not None and legal[chosen]:
            actions[SEAT] = chosen
            return Choice(actions, True)
        if self._spec.turn_based:
            return None
        actions[SEAT] = idle if legal[idle] else int(np.argmax(legal))
        return Choice(actions, False)
