"""How well a policy plays a host game: whole episodes, side by side.

Shapes: ``E`` episodes, ``P`` players.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.agent import PyTree
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import HostGame
from rlhf_games.core.keys import stream_key
from rlhf_games.core.streams import Stream
from rlhf_games.rollout.evaluate import Episodes
from rlhf_games.rollout.host_lanes import episode_seed

SIDE_BY_SIDE = 16
"""Episodes played at once, at most: emulators take memory and threads."""


def evaluate_host(game: HostGame, act: Any, params: PyTree, seed: int, episodes: int, max_steps: int) -> Episodes:
    """Plays ``episodes`` whole episodes with the agent in every seat, choosing as in training (it samples).

    Every episode has its own seed and is played to its end, or to ``max_steps``; so long ones count as much as short ones.

    Args:
      game: what is played.
      act: the agent's ``act``, compiled.
      params: what it needs.
      seed: uint32, of all episodes and choices; equal arguments give equal results.
      episodes: ``E``, at least 1.
      max_steps: where an episode is cut off that does not end by itself, at least 1.

    Raises:
      UserError: a number is too small.
    """
    if episodes < 1 or max_steps < 1:
        raise UserError(f"evaluation needs at least one episode and one step, got {episodes} episodes of at most {max_steps} steps")
    seeds = np.array([episode_seed(seed, lane, 0) for lane in range(episodes)], np.uint32)
    key = stream_key(Stream.EVALUATION, seed)
    parts = [
        _play(game, act, params, seeds[first : first + SIDE_BY_SIDE], jax.random.fold_in(key, first), max_steps)
        for first in range(0, episodes, SIDE_BY_SIDE)
    ]
    returns, lengths, finished = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Episodes(returns, lengths, finished)


def _play(
    game: HostGame, act: Any, params: PyTree, seeds: NDArray[np.uint32], key: jax.Array, max_steps: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    """Returns, lengths and ends of one batch; lanes whose episode is over start it again, and nothing of it counts."""
    size, players = len(seeds), game.spec.players
    returns, lengths, finished = np.zeros((size, players), np.float32), np.zeros(size, np.int32), np.zeros(size, bool)
    batch = game.batch(size)
    seen = batch.reset(seeds)
    try:
        for t in range(max_steps):
            flat = (x.reshape(size * players, *x.shape[2:]) for x in (seen.observation, seen.legal_action_mask))
            action = np.asarray(act(params, next(flat), jax.random.fold_in(key, t), next(flat)).action)
            batch.send(action.reshape(size, players, *action.shape[1:]))
            seen = batch.recv()
            returns += np.where(finished[:, None], np.float32(0), seen.reward)
            lengths += ~finished
            over = seen.terminated | seen.truncated
            finished |= over
            if finished.all():
                break
            if over.any():
                seen = batch.reset(seeds, over)
    finally:
        batch.close()
    return returns, lengths, finished
