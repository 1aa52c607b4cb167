"""What can be chosen about a PettingZoo Atari game."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_games.core.emulation import ScreenOptions


@dataclass(frozen=True)
class Options(ScreenOptions):
    """What can be chosen about a PettingZoo Atari game. Sticky actions are drawn per seat and frame, from the episode's seed."""

    max_frames_per_episode: int = 100_000
    """Frames after which an episode is truncated, at least 1 (PettingZoo's ``max_cycles``)."""
    seat_plane: bool = True
    """One more channel, the same everywhere in the picture: 0 for the first seat, 255 for the last. All seats see one screen, so without it
    seats that share a network cannot know which player they are."""
