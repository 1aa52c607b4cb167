"""A game of coins whose reward is what is seen, played for real, and a small linear-ish ensemble on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
import pytest

from rlhf_games.feedback.labels import PairLabel
from rlhf_games.replay.checksum import checksum_of, seen_digests
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.testing.probes import ObservedReward


@dataclass(frozen=True)
class Coins(ObservedReward):
    """Twelve coins in a row: each is seen as -1 or +1 and then earned."""

    probe: ClassVar[str] = "coins"
    length: ClassVar[int] = 12


def play(game: Coins, seed: int) -> Replay:
    session = game.open(seed)
    seen, rewards = [session.timestep.observation], []
    while not session.timestep.terminated:
        step = session.step(np.zeros(1, np.int32))
        seen.append(step.observation)
        rewards.append(step.reward)
    session.close()
    actions = np.zeros((len(rewards), 1), np.int32)
    sums = checksum_of(np.stack(rewards).astype(np.float32), seen[-1], seen_digests(lambda t: seen[t + 1], len(rewards)))
    spec = game.spec
    return Replay(spec.name, spec.version, spec.options, seed, actions, sums, "terminated", ("agent",))


@pytest.fixture(scope="session")
def coins() -> Coins:
    return Coins()


@pytest.fixture(scope="session")
def replays(coins: Coins) -> dict[str, Replay]:
    played = [play(coins, seed) for seed in range(12)]
    return {replay.id: replay for replay in played}


@pytest.fixture
def reader(coins: Coins, replays: dict[str, Replay]) -> ClipReader:
    return ClipReader(coins, replays.__getitem__)


@pytest.fixture(scope="session")
def model(coins: Coins) -> tuple[RewardEnsemble, RewardParams]:
    return RewardEnsemble.create(coins.spec, NetworkConfig(hidden=(8,)), 2, jax.random.key(0))


@pytest.fixture(scope="session")
def clips(replays: dict[str, Replay]) -> list[Clip]:
    """Three clips of 4 steps that do not overlap, of each replay."""
    return [Clip((Segment(replay_id, start, 4),)) for replay_id in replays for start in (0, 4, 8)]


@pytest.fixture
def label(clips: list[Clip]) -> Callable[..., PairLabel]:
    """``label(query, first, second, kind)`` with numbers of clips."""

    def make(
        query: int, first: int | Clip, second: int | Clip, kind: str = "first", answer: int | None = None, **more: object
    ) -> PairLabel:
        both = [clips[clip] if isinstance(clip, int) else clip for clip in (first, second)]
        fields: dict[str, Any] = {"annotator": "ann", "strength": 1, "control": False} | more
        return PairLabel(query_id=query, answer_id=answer or 1000 + query, first=both[0], second=both[1], kind=kind, **fields)

    return make
