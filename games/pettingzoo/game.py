"""The 24 Atari games of PettingZoo (Terry et al. 2021) for two to four players, as host games."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import tomllib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from rlhf_games.core import joystick
from rlhf_games.core.errors import UserError, nearest
from rlhf_games.core.game import GameSpec, HostBatch, Session
from rlhf_games.core.spaces import Discrete, Observation

from .options import Options
from .seats import Setup

__all__ = ["Options", "PettingZooAtari", "make"]

_WIDTH = 160
_VERSION = "1"


class PettingZooAtari:
    """One game for several players as a host game."""

    def __init__(self, name: str, options: Options) -> None:
        cards = _cards()
        if name not in cards:
            raise UserError(f"there is no PettingZoo game {name!r}{nearest(name, cards)}")
        self._name, self._card, self._options = name, cards[name], options
        self._codes = tuple(range(18)) if options.full_action_space else tuple(self._card["actions"])
        self._setup = Setup(name, self._card["players"], len(self._codes), options)

    @cached_property
    def spec(self) -> GameSpec:
        """The game's description; made from data alone, no emulator is started."""
        options = self._options
        meanings = joystick.meanings(self._codes, {} if options.full_action_space else self._card.get("moves"))
        channels = tuple(f"grey {k} decisions ago" if k else "grey now" for k in reversed(range(options.frame_stack)))
        channels += ("seat",) if options.seat_plane else ()
        versions = "-".join(f"{package}-{importlib.metadata.version(package)}" for package in ("pettingzoo", "multi-agent-ale-py"))
        return GameSpec(
            name=f"pettingzoo/{self._name}",
            version=f"{_VERSION}-{self._card['env']}-{versions}",
            players=self._card["players"],
            observation=Observation((options.screen_size, options.screen_size, len(channels)), "uint8", "image", channels),
            actions=Discrete(meanings),
            decisions_per_second=60.0 / options.frame_skip,
            turn_based=False,
            aim=self._card["aim"],
            options=dataclasses.asdict(options),
            keys=joystick.keys(meanings),
            buttons=joystick.buttons(meanings),
            seats=tuple(self._card.get("seats", ())),
            idle_action=joystick.idle(meanings),  # two games have none that does nothing
            hides_score="nothing: this family has no masks",
            shows_end="the observation after an end starts a new episode: of its pictures only the newest is not black",
            frame_shape=(self._card["height"], _WIDTH),
        )

    def batch(self, size: int) -> HostBatch:
        """``size`` games side by side, not yet reset."""
        from .batch import SeatsBatch

        return SeatsBatch(self.spec.name, self._setup, size)

    def open(self, seed: int) -> Session:
        """One interactive game."""
        from .session import SeatsSession

        return SeatsSession(self.spec, self._setup, seed)


@lru_cache(maxsize=1)
def _cards() -> dict[str, Any]:
    table = tomllib.loads(Path(__file__).with_name("cards.toml").read_text(encoding="utf-8"))
    return {entry["name"]: entry for entry in table["game"]}


def make(name: str, options: Options) -> PettingZooAtari:
    """Builds one of the family's games; ``name`` is as in ``cards.toml``."""
    return PettingZooAtari(name, options)
