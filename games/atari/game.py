"""The Atari 2600 games of the Arcade Learning Environment (Bellemare et al. 2013; Machado et al. 2018) as host games."""

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
from .screen import Mask

__all__ = ["Atari", "Options", "make"]

_WIDTH = 160
_VERSION = "1"
_SHOWS_END = (
    "the observation after an end starts a new episode: only its newest picture is not black, and score, lives and positions are those "
    "of a start"
)


class Atari:
    """One Atari game as a host game."""

    def __init__(self, name: str, options: Options) -> None:
        cards = _table("cards.toml")
        if name not in cards:
            raise UserError(f"there is no Atari game {name!r}{nearest(name, cards)}")
        self._rom = name
        self._card = cards[name]
        self._options = options
        self._codes = tuple(range(18)) if options.full_action_space else tuple(self._card["actions"])
        self._mask = self._make_mask() if options.hide_score else None

    @cached_property
    def spec(self) -> GameSpec:
        """The game's description; made from data alone, no emulator is started."""
        options = self._options
        meanings = joystick.meanings(self._codes, {} if options.full_action_space else self._card.get("moves"))
        colours = ("grey",) if options.grayscale else ("red", "green", "blue")
        ages = [f" {k} decisions ago" if k else " now" for k in reversed(range(options.frame_stack))]
        shape = (options.screen_size, options.screen_size, options.frame_stack * len(colours))
        return GameSpec(
            name=f"atari/{self._rom}",
            version=f"{_VERSION}-ale-{importlib.metadata.version('ale-py')}",
            players=1,
            observation=Observation(shape, "uint8", "image", tuple(colour + age for age in ages for colour in colours)),
            actions=Discrete(meanings),
            decisions_per_second=60.0 / options.frame_skip,
            turn_based=False,
            aim=self._card["aim"],
            options=dataclasses.asdict(options),
            keys=joystick.keys(meanings),
            buttons=joystick.buttons(meanings),
            seats=tuple(self._card.get("seats", ())),
            idle_action=joystick.idle(meanings),  # two games have none that does nothing
            hides_score=_table("masks.toml").get(self._rom, {"hides": "nothing: this game has no mask, hide_score is refused"})["hides"],
            shows_end=_SHOWS_END,
            frame_shape=(self._card["height"], _WIDTH),
            score_in_frame=tuple((top, left, bottom - top, right - left) for top, left, bottom, right in self._rectangles),
        )

    def batch(self, size: int) -> HostBatch:
        """``size`` games side by side, not yet reset."""
        from .batch import AtariBatch

        return AtariBatch(self.spec, self._rom, size, self._options, self._mask)

    def open(self, seed: int) -> Session:
        """One interactive game."""
        from .session import AtariSession, Cartridge

        cartridge = Cartridge(self._rom, self._codes, self._card.get("copies", True))
        return AtariSession(self.spec, cartridge, self._options, self._mask, seed)

    @property
    def _rectangles(self) -> list[list[int]]:
        """Where the game shows its score; empty where nobody has marked it."""
        return list(_table("masks.toml").get(self._rom, {"rectangles": []})["rectangles"])

    def _make_mask(self) -> Mask:
        masks = _table("masks.toml")
        if self._rom not in masks:
            raise UserError(
                f"atari/{self._rom}: hide_score is not possible, nobody has marked where this game shows its score; "
                f"games with a mask: {', '.join(sorted(masks))} (add one in games/atari/masks.toml)"
            )
        return Mask(self._rectangles, self._card["height"], _WIDTH, self._options.screen_size)


@lru_cache(maxsize=4)
def _table(file: str) -> dict[str, Any]:
    """The entries of one of the family's data files, by game."""
    table = tomllib.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    return {entry["name"]: entry for entry in table["game"]}


def make(name: str, options: Options) -> Atari:
    """Builds one of the family's games; ``name`` is as in ``cards.toml``."""
    return Atari(name, options)
