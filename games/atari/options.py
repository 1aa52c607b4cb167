"""What can be chosen about an Atari game."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_games.core.emulation import ScreenOptions


@dataclass(frozen=True)
class Options(ScreenOptions):
    """What can be chosen about an Atari game."""

    fire_reset: bool = True
    """Press fire in the first frame of an episode, in games that have a fire action: some wait for it for ever."""
    end_on_life_loss: bool = False
    """The episode is over (terminated) with the first life lost."""
    grayscale: bool = True
    """One channel per picture; otherwise three (red, green, blue)."""
    hide_score: bool = False
    """Blank the score and the lives in observations: neither the agent nor the reward model sees them (people still do). Only for games
    with a mask, see README.md."""
