"""Features of clips: read and encoded once, kept without repetition, and laid out as arrays to fit on.

Shapes: ``C`` clips (padded), ``L`` steps of a clip, ``U`` different pictures, ``D`` channels of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.replay.clip import Clip
from rlhf_games.replay.reader import ClipBatch, ClipReader
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.networks import Encoder, example
from rlhf_games.rollout.device import Transition

_BLOCK = 64
"""Clips that are read and encoded together; the last block is padded, so that one program does for all."""


class ClipTable(NamedTuple):
    """Clips as arrays, each once. Pixels come as stacks of the last few pictures, so every picture would be there several times over: it is
    kept once, and a stack is a row of numbers.
    """

    content: jax.Array
    """``[C, L, ...]`` encoded transitions; for pixels ``[U, H, W]`` uint8 pictures."""
    stacks: jax.Array
    """``[C, L, D]`` int32: the picture in each channel; ``[C, L, 0]`` where the content is not pictures."""
    mask: jax.Array
    """``[C, L]`` bool: False past a clip's end."""
    credit: jax.Array
    """``[C, L]`` float32 in [0, 1]: how much each step counts; ``[C, 0]`` where all count fully."""

    def features(self, clips: jax.Array) -> jax.Array:
        """``[..., L, ...]`` encoded transitions of the clips ``[...]``."""
        if self.stacks.shape[-1] == 0:
            return self.content[clips]
        return jnp.moveaxis(self.content[self.stacks[clips]], -3, -1)

    def summed(self, outputs: jax.Array, clips: jax.Array) -> jax.Array:
        """``[M, ...]`` what outputs ``[M, ..., L]`` on the clips ``[...]`` bring along each; no discounting."""
        if self.credit.shape[-1]:
            outputs = outputs * self.credit[clips][None]
        return jnp.sum(jnp.where(self.mask[clips][None], outputs, 0.0), axis=-1)


class _Encoded(NamedTuple):
    content: NDArray[Any]
    """``[n, ...]`` features of the clip's ``n`` steps, or its ``[u, H, W]`` different pictures."""
    stacks: NDArray[np.int32]
    """``[n, D]``, as in `ClipTable`, counted within the clip."""
    true_return: float
    """Sum of the game's own reward; for reports only."""


class ClipFeatures:
    """The clips of a data set. Not for several threads at once."""

    def __init__(self, reader: ClipReader, ensemble: RewardEnsemble) -> None:
        """None yet; ``reader`` re-simulates them, ``ensemble`` says what is kept of them."""
        self._reader = reader
        self._encode = jax.jit(ensemble.encode)
        self._feature = jax.eval_shape(ensemble.encode, example(reader.spec))
        self._pictures = ensemble.pixels
        self._clips: dict[Clip, _Encoded] = {}

    def keep(self, clips: Sequence[tuple[Clip, int]]) -> None:
        """Reads what is new of ``clips`` (each with the length that it is read with) and forgets all others.

        Raises:
          UserError: a clip cannot be read, or is longer than its length; nothing has changed then.
        """
        wanted = dict(clips)
        new: dict[Clip, _Encoded] = {}
        for length in sorted(set(wanted.values())):
            new |= self._read([clip for clip, steps in wanted.items() if steps == length and clip not in self._clips], length)
        self._clips = {clip: new[clip] if clip in new else self._clips[clip] for clip in wanted}

    def true_return(self, clip: Clip) -> float:
        """Sum of the game's own reward along a clip."""
        return self._clips[clip].true_return

    def flat(self) -> NDArray[Any]:
        """``[B, ...]`` features of all steps of all clips, each clip once, without padding; not for pixels."""
        assert not self._pictures
        parts = [clip.content for clip in self._clips.values()]
        return np.concatenate(parts) if parts else np.zeros((0, *self._feature.shape[1:]), self._feature.dtype)

    def table(self, clips: Sequence[Clip], length: int, capacity: int, credit: Sequence[Sequence[float]] = ()) -> ClipTable:
        """The clips, in this order, padded to a capacity.

        Args:
          clips: at most ``capacity``; all kept.
          length: ``L``.
          capacity: ``C``.
          credit: of each clip how much each of its steps counts, in [0, 1]; empty: all count fully.
        """
        found = [self._clips[clip] for clip in clips]
        mask = np.zeros((capacity, length), bool)
        counts = np.zeros((capacity, length if credit else 0), np.float32)
        for row, clip in enumerate(clips):
            mask[row, : clip.length] = True
        for row, shares in enumerate(credit):
            counts[row, : len(shares)] = shares
        shown = (jnp.asarray(mask), jnp.asarray(counts))
        if self._pictures:
            return ClipTable(*_pictures(found, (capacity, length), self._feature.shape[1:]), *shown)
        content = np.zeros((capacity, length, *self._feature.shape[1:]), self._feature.dtype)
        for row, entry in enumerate(found):
            content[row, : len(entry.content)] = entry.content
        return ClipTable(jnp.asarray(content), jnp.zeros((capacity, length, 0), jnp.int32), *shown)

    def _read(self, clips: Sequence[Clip], length: int) -> dict[Clip, _Encoded]:
        # clips of one replay side by side, so that it is played again once
        order = sorted(clips, key=lambda clip: (clip.segments[0].replay_id, clip.segments[0].start))
        found: dict[Clip, _Encoded] = {}
        for begin in range(0, len(order), _BLOCK):
            block = order[begin : begin + _BLOCK]
            batch = self._reader.read(block, length)
            returns = batch.reward.sum(axis=1, dtype=np.float64)
            for clip, features, mask, true in zip(block, encode_clips(self._encode, batch), batch.mask, returns.tolist(), strict=True):
                content, stacks = _without_repetition(features[mask]) if self._pictures else (features[mask], np.zeros((0, 0), np.int32))
                found[clip] = _Encoded(content, stacks, true)
        return found


def encode_clips(encode: Encoder, batch: ClipBatch) -> NDArray[Any]:
    """``[B, L, ...]`` features of clips, in blocks of one size, so that a compiled ``encode`` is one program for any number of clips."""
    blocks = [jax.tree.map(lambda x, at=begin: x[at : at + _BLOCK], batch) for begin in range(0, len(batch.mask), _BLOCK)]
    return np.concatenate([_encode_block(encode, block) for block in blocks])


def _encode_block(encode: Encoder, block: ClipBatch) -> NDArray[Any]:
    """``[n, L, ...]`` for ``n`` clips, at most ``_BLOCK``."""
    count, length = block.mask.shape

    def flat(array: NDArray[Any]) -> jax.Array:
        padded = np.concatenate([array, np.zeros((_BLOCK - count, *array.shape[1:]), array.dtype)])
        return jnp.asarray(padded.reshape(-1, *array.shape[2:]))

    transition = Transition(flat(block.observation), flat(block.action), flat(block.next_observation), flat(block.reward))
    features = np.asarray(encode(transition))
    return features.reshape(_BLOCK, length, *features.shape[1:])[:count]


def _without_repetition(stacked: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """``[n, H, W, D]`` to the different pictures ``[u, H, W]`` and the ``[n, D]`` numbers of each step's."""
    planes = np.moveaxis(stacked, -1, 1)
    number: dict[bytes, int] = {}
    stacks = np.array([[number.setdefault(plane.tobytes(), len(number)) for plane in stack] for stack in planes], np.int32)
    content = np.frombuffer(b"".join(number), stacked.dtype).reshape(len(number), *stacked.shape[1:3])
    return content, stacks.reshape(planes.shape[:2])


def _pictures(found: Sequence[_Encoded], size: tuple[int, int], shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """``content`` and ``stacks`` of a table of pictures; both padded to sizes that change seldom."""
    capacity, length = size
    count = sum(len(entry.content) for entry in found)
    step = max(1, capacity // 4) * (length + shape[-1])
    content = np.zeros((max(1, -(-count // step)) * step, *shape[:2]), np.uint8)
    stacks = np.zeros((capacity, length, shape[-1]), np.int32)
    begin = 0
    for row, entry in enumerate(found):
        content[begin : begin + len(entry.content)] = entry.content
        stacks[row, : len(entry.stacks)] = entry.stacks + begin
        begin += len(entry.content)
    return jnp.asarray(content), jnp.asarray(stacks)
