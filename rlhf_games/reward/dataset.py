"""Labelled pairs of clips as arrays to fit on: grows as answers come, shrinks where one is taken back.

Shapes: ``n`` labels, ``K`` capacity (``n`` padded), ``L`` steps of a clip, ``M`` members.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.feedback.labels import PairLabel
from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.reader import ClipBatch, ClipReader
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.fit import Comparisons
from rlhf_games.reward.holdout import bootstrap_counts, held_out
from rlhf_games.reward.networks import Encoder, example
from rlhf_games.rollout.device import Transition

GROWS_BY = 256
"""``K`` is a multiple of this, so that fitting is compiled again only once in so many labels."""
_BLOCK = 64
"""Clips that are read and encoded together; the last block is padded, so that one program does for all."""
_LABELS = {"first": FIRST, "second": SECOND, "tie": TIE}


class _Encoded(NamedTuple):
    features: NDArray[Any]
    """``[L, ...]``."""
    mask: NDArray[np.bool_]
    """``[L]``."""
    true_return: float
    """Sum of the game's own reward; for reports only."""


class PairDataset:
    """The labels that stand, with the features of their clips. Not for several threads at once.

    Every answer is one row: two annotators' answers to one question are two rows, and both train or both measure. An answer "much
    better" (strength 2) counts as one "better": how much more it should weigh differs from annotator to annotator and is not known.

    Rows measure instead of training as `rlhf_games.reward.holdout.held_out` says.
    """

    def __init__(
        self,
        reader: ClipReader,
        ensemble: RewardEnsemble,
        length: int,
        members: int,
        seed: int,
        holdout: float,
        bootstrap: bool,
        episode_of: Callable[[str], Hashable] = str,
    ) -> None:
        """An empty data set.

        Args:
          reader: re-simulates clips.
          ensemble: whose features are kept.
          length: ``L``; no clip may be longer.
          members: ``M``.
          seed: decides hold-out and resampling, together with the ids of questions and answers: never with their order or number.
          holdout: share in [0, 1) of questions that measure.
          bootstrap: give every member its own resampling of the training rows; a single member sees each once anyway.
          episode_of: maps ids of replays that are the same episode (an unfinished recording, and a longer one) to the same thing.
        """
        self._reader, self._length, self._members, self._seed = reader, length, members, seed
        self._share, self._bootstrap = holdout, bootstrap and members > 1
        self._episode_of = episode_of
        self._encode = jax.jit(ensemble.encode)
        self._feature = jax.eval_shape(ensemble.encode, example(reader.spec))
        self._clips: dict[Clip, _Encoded] = {}
        self._labels: tuple[PairLabel, ...] = ()
        self._holdout: NDArray[np.bool_] = np.zeros(0, bool)
        self._comparisons: Comparisons | None = None

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> tuple[PairLabel, ...]:
        """``[n]`` the labels behind the rows, oldest answer first."""
        return self._labels

    @property
    def holdout(self) -> NDArray[np.bool_]:
        """``[n]`` rows that measure."""
        return self._holdout

    def update(self, labels: Sequence[PairLabel]) -> bool:
        """Takes over all labels that stand now: new ones are added, and what is missing was taken back.

        Only clips that are new are read. Returns whether anything changed.

        Raises:
          UserError: a clip cannot be read, or is longer than ``length``; the data set stays as it was.
        """
        rows = tuple(sorted(labels, key=lambda label: label.answer_id))
        if rows == self._labels:
            return False
        wanted = {clip: None for label in rows for clip in (label.first, label.second)}
        new = self._read([clip for clip in wanted if clip not in self._clips])
        self._clips = {clip: new[clip] if clip in new else self._clips[clip] for clip in wanted}
        self._labels = rows
        self._holdout = held_out(rows, self._seed, self._share, self._episode_of)
        self._comparisons = None
        return True

    def comparisons(self) -> Comparisons:
        """All rows, padded to ``K``; weights are 0 on the hold-out and the padding. The same arrays until the next change."""
        if self._comparisons is None:
            self._comparisons = self._build()
        return self._comparisons

    def features_flat(self) -> NDArray[Any]:
        """``[B, ...]`` features of all steps of all clips, each clip once, without padding."""
        parts = [clip.features[clip.mask] for clip in self._clips.values()]
        return np.concatenate(parts) if parts else self._blank(0)

    def returns(self) -> NDArray[np.float64]:
        """``[n, 2]`` true returns of each row's first and second clip: for reports, never for fitting."""
        pairs = [(self._clips[label.first].true_return, self._clips[label.second].true_return) for label in self._labels]
        return np.array(pairs, np.float64).reshape(-1, 2)

    def _build(self) -> Comparisons:
        count = len(self._labels)
        capacity = max(1, -(-count // GROWS_BY)) * GROWS_BY
        features = self._blank(capacity, 2, self._length)
        mask = np.zeros((capacity, 2, self._length), bool)
        label = np.zeros(capacity, np.int32)
        weight = np.zeros((self._members, capacity), np.float32)
        holdout = np.zeros(capacity, bool)
        for row, entry in enumerate(self._labels):
            for side, clip in enumerate((entry.first, entry.second)):
                features[row, side], mask[row, side], _ = self._clips[clip]
            label[row] = _LABELS[entry.kind]
        answers = [entry.answer_id for entry in self._labels]
        drawn = bootstrap_counts(self._seed, self._members, answers) if self._bootstrap else np.ones((self._members, count), np.float32)
        weight[:, :count] = np.where(self._holdout, 0.0, drawn)
        holdout[:count] = self._holdout
        return Comparisons(*(jnp.asarray(array) for array in (features, mask, label, weight, holdout)))

    def _blank(self, *shape: int) -> NDArray[Any]:
        """Zeros ``[*shape, ...]`` of the features' shape and type."""
        return np.zeros((*shape, *self._feature.shape[1:]), self._feature.dtype)

    def _read(self, clips: Sequence[Clip]) -> dict[Clip, _Encoded]:
        # clips of one replay side by side, so that it is played again once
        order = sorted(clips, key=lambda clip: (clip.segments[0].replay_id, clip.segments[0].start))
        found: dict[Clip, _Encoded] = {}
        for begin in range(0, len(order), _BLOCK):
            block = order[begin : begin + _BLOCK]
            batch = self._reader.read(block, self._length)
            returns = batch.reward.sum(axis=1, dtype=np.float64)
            for clip, features, mask, true in zip(block, encode_clips(self._encode, batch), batch.mask, returns.tolist(), strict=True):
                found[clip] = _Encoded(features.copy(), mask.copy(), true)
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
