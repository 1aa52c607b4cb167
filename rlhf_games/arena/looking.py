"""What the reward model looks at in the steps that a person has wanted to know it of. No pygame; nothing here waits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from rlhf_games.arena.errands import problem_words
from rlhf_games.arena.insight import Mind
from rlhf_games.arena.reel import Reel
from rlhf_games.arena.saliency import Saliency, saliency

_KNOWN = 256
"""Steps of which it stays known."""


class Place(NamedTuple):
    """A decision, and who is asked about it."""

    replay_id: str
    t: int
    seat: int
    policy: str
    """With whose reward model."""


class Looking:
    """Asks about one step at a time."""

    def __init__(self, reel: Reel) -> None:
        self._reel = reel
        self._known: OrderedDict[Place, Saliency] = OrderedDict()
        self._asking: Place | None = None

    def at(self, place: Place) -> Saliency | None:
        """What it looks at there; None where that is not known (yet)."""
        return self._known.get(place)

    def forget(self) -> None:
        """Another episode is shown: nobody waits for what is being asked."""
        self._asking = None

    def ask(self, place: Place, mind: Mind, failed: Callable[[str], None]) -> None:
        """Finds out about a step of the episode on the reel, where that is not known yet; ``failed``: gets the words for people."""
        if place in self._known or self._asking is not None or place.t + 1 > self._reel.limit:
            return
        tape = self._reel.tape
        self._asking = place

        def found(what: Saliency) -> None:
            self._known[place], self._asking = what, None
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)

        def gave_up(error: BaseException) -> None:
            self._asking = None
            failed(f"The reward model cannot be asked: {problem_words(error)}")

        def work() -> Saliency:
            return saliency(mind, tape.look(place.t, place.t + 1), place.seat, tape.spec.observation)

        self._reel.demand("asking the reward model", work, found, gave_up)
