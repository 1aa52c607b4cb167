"""What can be chosen about a PettingZoo Atari game."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What can be chosen about a PettingZoo Atari game. The names are those of ``games/atari`` where they mean the same."""

    frame_skip: int = 4
    """Frames per decision, at least 1; the emulator makes 60 a second."""
    sticky_action_prob: float = 0.25
    """Chance in [0, 1) that, in one frame, a seat repeats its last frame's action instead of the chosen one; drawn per seat and frame from
    the episode's seed."""
    noop_max: int = 30
    """An episode begins with 0 to ``noop_max - 1`` frames (drawn from the seed) in which nobody presses anything; 0 and 1 mean none."""
    full_action_space: bool = False
    """All 18 joystick actions instead of those that do something in this game."""
    reward_clipping: bool = False
    """Clip each seat's reward of a decision to −1, 0 or +1."""
    max_frames_per_episode: int = 100_000
    """Frames after which an episode is truncated, at least 1 (PettingZoo's ``max_cycles``)."""
    frame_stack: int = 4
    """Pictures in an observation, the newest last, at least 1. At the start of an episode the older ones are black."""
    screen_size: int = 84
    """Height and width of the observation in pixels, 36 to 160."""
    max_pool: bool = True
    """Each picture is the pixel-wise maximum of the last two frames of a decision, because many games draw things in
    every other frame only."""
    seat_plane: bool = True
    """One more channel, the same everywhere in the picture: 0 for the first seat, 255 for the last. All seats see one screen, so without it
    seats that share a network cannot know which player they are."""

    def __post_init__(self) -> None:
        at_least = {"frame_skip": 1, "noop_max": 0, "max_frames_per_episode": 1, "frame_stack": 1}
        for name, low in at_least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not 0.0 <= self.sticky_action_prob < 1.0:
            raise ValueError(f"sticky_action_prob must be in [0, 1), got {self.sticky_action_prob}")
        if not 36 <= self.screen_size <= 160:
            raise ValueError(f"screen_size must be 36 to 160 (the emulator's picture is 160 wide), got {self.screen_size}")
