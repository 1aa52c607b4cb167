"""What can be chosen about any emulated game whose agents look at its screen: the fields that families of such games share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScreenOptions:
    """How an emulator's frames become decisions and observations. Defaults: Machado et al. 2018, with the usual 84×84×4 grey pictures.

    Raises:
      ValueError: a value is out of range; names it.
    """

    frame_skip: int = 4
    """Frames per decision, at least 1; the emulator makes 60 a second."""
    sticky_action_prob: float = 0.25
    """Chance in [0, 1) that, in one frame, a seat's last action of a frame is repeated instead of the chosen one."""
    noop_max: int = 30
    """An episode begins with 0 to ``noop_max - 1`` frames (drawn from the seed) in which nothing is pressed; 0 and 1 mean none."""
    full_action_space: bool = False
    """All 18 joystick actions instead of those that do something in this game."""
    reward_clipping: bool = False
    """Clip the reward of a decision to −1, 0 or +1. Off: the true score is needed for teachers and evaluation; clipping and scaling are
    the learner's matter."""
    max_frames_per_episode: int = 108_000
    """Frames after which an episode is truncated, at least 1 (108,000 = 30 minutes)."""
    frame_stack: int = 4
    """Pictures in an observation, the newest last, at least 1. At the start of an episode the older ones are black."""
    screen_size: int = 84
    """Height and width of the observation in pixels, 36 to 160."""
    max_pool: bool = True
    """Each picture is the pixel-wise maximum of the last two frames of a decision, because many games draw things in
    every other frame only."""

    def __post_init__(self) -> None:
        at_least = {"frame_skip": 1, "noop_max": 0, "max_frames_per_episode": 1, "frame_stack": 1}
        for name, low in at_least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not 0.0 <= self.sticky_action_prob < 1.0:
            raise ValueError(f"sticky_action_prob must be in [0, 1), got {self.sticky_action_prob}")
        if not 36 <= self.screen_size <= 160:
            raise ValueError(f"screen_size must be 36 to 160 (the emulator's picture is 160 wide), got {self.screen_size}")
