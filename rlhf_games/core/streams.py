"""The registry of random streams: everything that draws from a run's or an episode's seed has a number of its own here.

A seed is used by many: what two of them draw must have nothing in common. So nobody makes a key or a generator from a seed directly, but
from seed and stream: `generator` for NumPy, `rlhf_games.core.keys.stream_key` for JAX. (JAX's ``split(key)[i]`` is ``fold_in(key, i)``: two
consumers that split or fold the same key by small numbers do share keys.) No JAX here, so that whoever needs no keys does not wait for it.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """Who draws. Numbers are from 2³¹ on, where no time step, lane or part of a split key lies; they never change."""

    LEARNER = 2**31 + 1
    """Run: the agent's first weights, the games it plays, its choices and updates."""
    LOOP = 2**31 + 2
    """Run: fits of the reward model."""
    REWARD_MODEL = 2**31 + 3
    """Run: first weights of the reward model."""
    ASKING = 2**31 + 4
    """Run and iteration: clips and questions."""
    TEACHER = 2**31 + 5
    """Run and question: a scripted teacher's answer."""
    EVALUATOR = 2**31 + 6
    """Run and replay: a scripted evaluator's marks."""
    EMULATORS = 2**31 + 7
    """Run: seeds of the emulators that train and that are recorded."""
    EPISODES = 2**31 + 8
    """Batch of lanes, lane and episode: seeds of episodes on the device."""
    EVALUATION = 2**31 + 9
    """Evaluation: the policy's choices."""
    POLICY = 2**31 + 10
    """Episode and decision: what a policy chooses that plays a single game (films, what-if branches, Coach)."""
    EMPTY_SEATS = 2**31 + 11
    """Episode: what the seats do that nobody sits in."""


def generator(stream: Stream, seed: int, *which: int) -> np.random.Generator:
    """The generator of a stream; ``which`` tells apart what the stream draws for (each number at least 0, always as many)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), *which)))
