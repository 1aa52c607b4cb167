"""Clips of pictures are kept without repetition, and nothing is lost by that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipBatch
from rlhf_games.reward.clips import ClipFeatures, encode_clips
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.gradient import log_probs
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.reward.rows import Rows

SIDE, DEPTH, LENGTH = 44, 4, 5
SPEC = GameSpec(
    name="probe/pictures", version="1", players=1, observation=Observation((SIDE, SIDE, DEPTH), "uint8", "image"),
    actions=Discrete(("stay", "go")), decisions_per_second=15.0, turn_based=False, aim="Look.",
)  # fmt: skip


@dataclass
class Film:
    """Stands in for a reader: an episode of pictures, seen in stacks of the last four as an emulator gives them."""

    pictures: NDArray[Any]
    spec: GameSpec = SPEC

    def read(self, clips: list[Clip], length: int) -> ClipBatch:
        seen = np.zeros((len(clips), length, SIDE, SIDE, DEPTH), np.uint8)
        mask = np.zeros((len(clips), length), bool)
        for row, clip in enumerate(clips):
            start = clip.segments[0].start
            for t in range(clip.length):
                seen[row, t] = np.moveaxis(self.pictures[start + t : start + t + DEPTH], 0, -1)
                mask[row, t] = True
        nothing = np.zeros((len(clips), length), np.float32)
        return ClipBatch(seen, seen, nothing.astype(np.int32), nothing, mask, mask & False)


@pytest.fixture(scope="module")
def model() -> tuple[RewardEnsemble, RewardParams]:
    return RewardEnsemble.create(SPEC, NetworkConfig(hidden=(8,)), 2, jax.random.key(0))


@pytest.fixture(scope="module")
def film() -> Film:
    return Film(np.random.default_rng(0).integers(0, 255, (40, SIDE, SIDE), dtype=np.uint8))


def clips() -> list[Clip]:
    return [Clip((Segment("a", start, length),)) for start, length in ((0, 5), (9, 3), (20, 5), (30, 5))]


def test_a_stack_is_put_together_again(model: tuple[RewardEnsemble, RewardParams], film: Film) -> None:
    kept = ClipFeatures(film, model[0])  # type: ignore[arg-type]
    kept.keep([(clip, LENGTH) for clip in clips()])
    table = kept.table(clips(), LENGTH, 6)
    batch = film.read(clips(), LENGTH)
    found = np.asarray(table.features(jnp.arange(4)))
    np.testing.assert_array_equal(found[batch.mask], batch.observation[batch.mask])
    np.testing.assert_array_equal(table.mask[:4], batch.mask)
    assert not np.asarray(table.mask)[4:].any()
    shown = sum(clip.length + DEPTH - 1 for clip in clips())
    assert shown == 30
    assert len(np.unique(np.asarray(table.content).reshape(len(table.content), -1), axis=0)) == shown + 1, "each once, and the padding"
    whole = batch.observation[batch.mask].nbytes
    assert shown * SIDE * SIDE < whole / 2


def test_a_model_sees_the_same_whichever_way_pictures_are_kept(model: tuple[RewardEnsemble, RewardParams], film: Film) -> None:
    ensemble, params = model
    kept = ClipFeatures(film, ensemble)  # type: ignore[arg-type]
    kept.keep([(clip, LENGTH) for clip in clips()])
    every = (jnp.zeros((2,), jnp.int32), jnp.zeros((2,), jnp.int32), jnp.ones((2, 2)), jnp.zeros((2,), bool))
    stacked = Rows(kept.table(clips(), LENGTH, 4), jnp.array([[0, 1], [2, 3]]), *every)
    features = encode_clips(ensemble.encode, film.read(clips(), LENGTH))
    plain = stacked.clips._replace(content=jnp.asarray(features), stacks=jnp.zeros((4, LENGTH, 0), jnp.int32))
    both = [log_probs(ensemble, params, "preference", stacked._replace(clips=table), 0.1) for table in (stacked.clips, plain)]
    np.testing.assert_allclose(*both, rtol=1e-5)


def test_what_is_no_longer_wanted_is_forgotten(model: tuple[RewardEnsemble, RewardParams], film: Film) -> None:
    kept = ClipFeatures(film, model[0])  # type: ignore[arg-type]
    kept.keep([(clip, LENGTH) for clip in clips()])
    kept.keep([(clips()[1], LENGTH)])
    assert kept.true_return(clips()[1]) == 0.0
    with pytest.raises(KeyError):
        kept.true_return(clips()[0])
