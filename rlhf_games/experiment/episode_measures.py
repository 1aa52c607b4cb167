"""What the reward that is paid says of whole episodes, as they are lived: the agent learns from episodes, not from clips.

Where clips are all equally long, a constant that is added to every step changes nothing in them, and everything in episodes that can
end sooner or later.

Shapes: ``M`` members, ``E`` episodes (each seat of each counts as one), ``T`` steps of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.diagnostics import spearman
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.rollout.device import Transition

_FEWEST = 4
"""Episodes; fewer are not put in order."""
_BLOCK = 256
"""Steps that are predicted together; the last block is filled up, so that one program does for all."""
_STEPS, _STEPS_OF_PIXELS = 32_768, 4_096
"""Steps of the episodes, at most: predicting takes about a second on two cores."""


def measured_episodes(ensemble: RewardEnsemble, params: RewardParams, reader: ClipReader, replays: Sequence[Replay]) -> dict[str, float]:
    """Metrics of whole episodes; what cannot be computed is left out.

    - ``reward_model/episodes``: how many were measured;
    - ``reward_model/episode_spearman``: rank correlation in [-1, 1] of what they are paid with their true returns;
    - ``reward_model/episode_agreement``: rank correlation of what they are paid with what the model as fitted says, zero included.

    Args:
      ensemble: the networks.
      params: as fitted and calibrated.
      reader: re-simulates them.
      replays: whole episodes, oldest first; the newest are taken.
    """
    chosen = _newest(replays, _STEPS_OF_PIXELS if ensemble.pixels else _STEPS)
    found = [_returns(ensemble, params, reader, replay, seat) for replay in chosen for seat in range(replay.players)]
    if len(found) < _FEWEST:
        return {}
    paid, fitted, true = (np.stack([row[i] for row in found], axis=-1) for i in range(3))
    metrics = {"episodes": float(len(found)), "episode_spearman": spearman(paid, true)}
    metrics["episode_agreement"] = spearman(paid, fitted.mean(axis=0))
    return {f"reward_model/{name}": value for name, value in metrics.items() if value is not None}


def _newest(replays: Sequence[Replay], steps: int) -> list[Replay]:
    chosen: list[Replay] = []
    for replay in reversed(replays):
        steps -= replay.length
        if steps < 0:
            break
        chosen.append(replay)
    return chosen


def _returns(
    ensemble: RewardEnsemble, params: RewardParams, reader: ClipReader, replay: Replay, seat: int
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """What an episode is paid ``[M]``, what it is worth as fitted ``[M]`` (both in units of the reward that is paid), and its score."""
    batch = reader.read([Clip((Segment(replay.id, 0, replay.length),), seat)])
    steps = Transition(batch.observation[0], batch.action[0], batch.next_observation[0], batch.reward[0])
    raw = np.zeros(ensemble.members)
    for begin in range(0, replay.length, _BLOCK):
        block = jax.tree.map(lambda x, at=begin: _filled(x[at : at + _BLOCK]), steps)
        outputs = np.asarray(_raw(ensemble, params, block), np.float64)
        raw += outputs[:, : min(_BLOCK, replay.length - begin)].sum(axis=1)
    scale, zero = np.asarray(params.scale, np.float64), np.asarray(params.offset, np.float64)
    return (raw - zero * replay.length) / scale, raw / scale, float(batch.reward[0].sum(dtype=np.float64))


def _filled(rows: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([rows, np.zeros((_BLOCK - len(rows), *rows.shape[1:]), rows.dtype)])


def _raw_outputs(ensemble: RewardEnsemble, params: RewardParams, block: Transition) -> jax.Array:
    return ensemble.raw(params, ensemble.encode(block))


_raw = jax.jit(_raw_outputs, static_argnums=0)
