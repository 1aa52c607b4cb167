"""No two consumers of a seed share a key."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlhf_games
from rlhf_games.core.keys import policy_key, step_key, stream_key
from rlhf_games.core.streams import Stream, generator
from rlhf_games.rollout.host_lanes import episode_seed as host_episode_seed

SEED, MANY = 7, 500
WITHOUT_STREAM = {
    Path("core/keys.py"): 2,  # the registry's own
    Path("core/streams.py"): 1,
    Path("rollout/host_lanes.py"): 1,  # three numbers, no stream: runs of earlier versions go on with the same episodes
    Path("published/models.py"): 1,  # shapes only, as in the next three
    Path("rollout/turns.py"): 1,
    Path("experiment/trainer.py"): 1,
    Path("experiment/build.py"): 2,
    Path("experiment/statistics.py"): 1,  # resampling of results, after all runs
    Path("feedback/store/store.py"): 1,  # from the system's entropy, where the caller gives none
}
"""Where a key or generator is made without a stream, and how often."""


def words(keys: jax.Array) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in np.asarray(jax.random.key_data(keys)).reshape(-1, 2)]


def test_no_two_consumers_of_a_seed_share_a_key() -> None:
    """Each stream's first key, what it splits or folds into, and the keys of a game that has the same seed."""
    numbers = jnp.arange(MANY, dtype=jnp.int32)
    folded = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    drawn = words(jax.vmap(lambda t: step_key(SEED, t))(numbers))  # the game itself
    for stream in Stream:
        first = stream_key(stream, SEED)
        drawn += [*words(first), *words(folded(first, numbers))]  # `split(key, n)[i]` is among them
    assert words(jax.vmap(lambda t: policy_key(SEED, t))(numbers)) == words(folded(stream_key(Stream.POLICY, SEED), numbers))
    assert words(jax.random.split(stream_key(Stream.LEARNER, SEED), 4)) == words(folded(stream_key(Stream.LEARNER, SEED), numbers[:4]))
    assert len(drawn) == MANY + len(Stream) * (1 + MANY)
    assert [key for key, count in Counter(drawn).items() if count > 1] == []


def test_a_games_own_splits_are_not_its_policys_keys() -> None:
    splits = [word for t in range(50) for word in words(jax.random.split(step_key(SEED, t), 10))]
    assert not set(splits) & {word for t in range(50) for word in words(policy_key(SEED, t))}


def test_no_two_generators_are_alike() -> None:
    """Also not where a list of numbers ends in zeros, which NumPy's seeds take for nothing."""
    first = [int(generator(stream, SEED, *which).integers(2**63)) for stream in Stream for which in ((), (0,), (1,), (0, 0), (2**40,))]
    first += [int(host_episode_seed(SEED, lane, episode)) for lane in range(3) for episode in range(3)]
    first += [int(np.random.default_rng(entropy).integers(2**63)) for entropy in (SEED, [SEED, 1])]
    assert len(set(first)) == len(first)
    assert generator(Stream.ASKING, SEED, 3).random() == generator(Stream.ASKING, SEED, 3).random()


@pytest.mark.parametrize("package", ["arena", "core", "experiment", "feedback", "learning", "published", "replay", "reward", "rollout"])
def test_whoever_draws_is_in_the_registry(package: str) -> None:
    """Keys and generators are made from seeds in one place."""
    root = Path(rlhf_games.__file__).parent
    made = re.compile(r"random\.key\(|random\.PRNGKey\(|default_rng\(|SeedSequence\(|RandomState\(")
    lines = {path.relative_to(root): path.read_text().splitlines() for path in sorted((root / package).rglob("*.py"))}
    found = {path: sum(bool(made.search(line)) for line in text) for path, text in lines.items()}
    allowed = {path: count for path, count in WITHOUT_STREAM.items() if path.parts[0] == package}
    assert {path: count for path, count in found.items() if count} == allowed
