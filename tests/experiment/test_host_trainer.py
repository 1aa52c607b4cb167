"""The whole preference loop on a real Atari game, and the trainer of host games by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rlhf_games.config import from_mapping
from rlhf_games.core.game import HostGame
from rlhf_games.experiment import host_trainer
from rlhf_games.experiment.build import Bench, check_donation
from rlhf_games.experiment.host_evaluation import evaluate_host
from rlhf_games.experiment.host_trainer import HostLearner, HostTrainer
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.store import Store
from rlhf_games.reward.sources import SourceWeights, reward_state

PONG: dict[str, Any] = {
    "name": "smoke",
    "seed": 5,
    "steps": 24,
    "iterations": 3,
    "episode_ends": "hidden",
    "game": {"name": "atari/pong", "options": {"hide_score": True}},
    "agent": {"name": "ppo", "config": {"hidden": [32], "epochs": 1, "minibatches": 1}},
    "rollout": {"games": 2, "steps": 4},
    "record": {"lanes": 2, "steps": 40},
    # Six answers convince nobody: the agent is paid all the same, for the whole loop to be gone through.
    "model": {"members": 2, "trust": 0.0, "network": {"hidden": [8]}, "fit": {"max_epochs": 2, "batch": 4}},
    "feedback": {"budget": 6, "initial": 0.5, "query": {"clip_length": 2}},
}


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Compiled once for all tests."""
    return Bench(from_mapping(Experiment, PONG, "test"))


@pytest.fixture
def trainer(bench: Bench) -> HostTrainer:
    assert isinstance(bench.trainer, HostTrainer)
    return bench.trainer


def same(a: Any, b: Any) -> None:
    def data(leaf: Any) -> Any:
        return np.asarray(jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    jax.tree.map(lambda x, y: np.testing.assert_array_equal(data(x), data(y)), a, b)


def test_the_whole_loop_on_pong(bench: Bench, tmp_path: Path) -> None:
    experiment = from_mapping(Experiment, PONG, "test")
    with Store.open(tmp_path / "store.sqlite") as store:
        loop = bench.loop(experiment, store)
        before = jax.tree.map(np.array, bench.agent.params(loop.state.learner.agent))
        seen: list[Any] = []
        assert loop.run(seen.append)
        assert store.progress().answered == 6
        assert [progress.metrics["labels"] for progress in seen] == np.cumsum(loop.quotas).tolist()
        assert [progress.steps for progress in seen] == [8, 16, 24]
        assert all(np.isfinite(progress.metrics["reward_model/holdout_loss"]) for progress in seen)
        # The agent is paid by what was fitted, and learns.
        assert len({progress.metrics["reward/mean"] for progress in seen}) == 3
        after = bench.trainer.policy(loop.state.learner)
        assert any(not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
        # What the reward model is fitted to shows no score: Pong's score line is the top of the picture.
        clips = [clip for label in loop.labels.labels for clip in (label.first, label.second)]
        shown = loop.asker.reader.read(clips).observation
        assert shown.shape[1:] == (2, 84, 84, 4)
        assert not shown[:, :, :8].any()
        assert shown[:, :, 14:, :, -1].any(axis=(2, 3)).all()
        assert loop.data.returns().shape == (6, 2)


def test_a_restored_learner_goes_on_exactly(trainer: HostTrainer, bench: Bench) -> None:
    reward = reward_state(SourceWeights(learned=0.0, true=1.0, random=0.5), bench.model(from_mapping(Experiment, PONG, "test")))

    def more(learner: HostLearner) -> Any:
        learner, recording = trainer.record(learner, reward, steps=6)
        learner, metrics = trainer.train(learner, reward, updates=2, begin=0.5, end=1.0)
        return (learner.agent, learner.key), recording, metrics

    learner, _ = trainer.record(trainer.start(7, recorded=2), reward, steps=6)
    learner, _ = trainer.train(learner, reward, updates=1, begin=0.0, end=0.5)
    extra = json.loads(json.dumps(trainer.extra_state(learner)))
    leaves = jax.tree.map(lambda leaf: leaf.copy(), jax.tree.leaves(learner))
    fresh = jax.tree.unflatten(jax.tree.structure(trainer.start(7, recorded=2)), leaves)
    trainer.restore_extra(fresh, extra)
    (arrays, recording, metrics), (again, recording_again, metrics_again) = more(learner), more(fresh)
    same(arrays, again)
    same(recording, recording_again)
    np.testing.assert_equal(metrics, metrics_again)


def test_a_recording_is_what_the_recorder_needs(trainer: HostTrainer, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_trainer, "CALIBRATION", 10)
    reward = reward_state(SourceWeights(learned=0.0), bench.model(from_mapping(Experiment, PONG, "test")))
    _, recording = trainer.record(trainer.start(8, recorded=3), reward, steps=5)
    chunk = recording.chunk
    assert recording.features.shape == (10, 84, 84, 4)
    assert recording.features.dtype == np.uint8
    assert chunk.observation.shape == (5, 3, 1, 84, 84, 4)
    for lane in range(3):
        session = bench.game.open(int(chunk.seed[0, lane]))
        for t in range(5):
            after = session.step(chunk.action[t, lane])
            np.testing.assert_array_equal(after.observation, chunk.observation[t, lane])
            np.testing.assert_array_equal(after.reward, chunk.reward[t, lane])


def test_rewards_are_those_of_the_sources(trainer: HostTrainer, bench: Bench) -> None:
    experiment = from_mapping(Experiment, PONG, "test")
    params = bench.model(experiment)
    learner = trainer.start(9, recorded=1)
    weights = reward_state(SourceWeights(learned=2.0, constant=0.25), params)
    collector = learner.emulators.collector("train")
    experience, paid = trainer._collect(collector, trainer.policy(learner), weights, jax.random.key(0), jax.random.key(1))
    rows = experience.rollout.observation.reshape(-1, 84, 84, 4)
    expected = 2.0 * np.asarray(bench.ensemble.raw(params, rows)).mean(0) / np.asarray(params.scale)[0] + 0.25
    assert paid.shape == experience.rollout.reward.shape
    np.testing.assert_allclose(paid.reshape(-1), expected, rtol=1e-4, atol=1e-5)


def test_evaluation_plays_whole_episodes_from_their_own_seeds(bench: Bench, trainer: HostTrainer) -> None:
    game: Any = bench_game("atari/pong", {"max_frames_per_episode": 80})
    assert isinstance(game, HostGame)
    params = trainer.policy(trainer.start(1, recorded=1))
    once, again = (evaluate_host(game, trainer._act, params, 4, 3, max_steps=50) for _ in range(2))
    np.testing.assert_array_equal(once.lengths, [20, 20, 20])
    assert once.finished.all()
    same(once, again)
    cut = evaluate_host(game, trainer._act, params, 4, 3, max_steps=7)
    np.testing.assert_array_equal(cut.lengths, [7, 7, 7])
    assert not cut.finished.any()


def bench_game(name: str, options: dict[str, Any]) -> Any:
    from rlhf_games.workspace import load_game

    return load_game(name, options)


def test_an_agent_whose_state_cannot_be_donated_is_refused_before_a_run_begins(bench: Bench) -> None:
    """Where nothing checks, the first update of a host game fails inside JAX."""

    class Shared:
        def init(self, key: Any, spec: Any) -> Any:
            weights = jax.random.normal(key, (3, 3))
            return {"params": weights, "target": weights}

        def update(self, state: Any, *_: Any) -> Any:
            return {"params": state["params"] + 1.0, "target": state["target"]}, {}

    agent: Any = Shared()
    state = agent.init(jax.random.key(0), bench.game.spec)
    with pytest.raises(RuntimeError, match="donate"):
        jax.jit(agent.update, donate_argnums=(0,))(state)
    with pytest.raises(ValueError, match=r"state\['params'\] and state\['target'\] are the same array"):
        check_donation(agent, bench.game)
    check_donation(bench.agent, bench.game)
