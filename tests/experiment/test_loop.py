"""The loop: it can be repeated and gone on with bit for bit, asks what it should, and pays what the experiment says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.checkpoints import Checkpoints
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.feedback.labels import PairLabel
from rlhf_games.feedback.queries import QueryConfig
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.sources import RewardState, SourceWeights, reward_state, summed_reward
from rlhf_games.rollout.device import Transition

from .tiny import same, tiny

MakeLoop = Callable[..., FeedbackLoop]
ACTIVE: dict[str, Any] = {"feedback__query__strategy": "disagreement", "feedback__query__control_share": 0.3, "reward__true": 0.25}


def run(loop: FeedbackLoop, until: int = 1_000) -> list[dict[str, float]]:
    """Goes on until iteration ``until``; returns each iteration's metrics without times."""
    seen: list[dict[str, float]] = []

    def watch(progress: Any) -> None:
        seen.append({name: value for name, value in progress.metrics.items() if not name.startswith("seconds/")})

    loop.run(watch, lambda: loop.iteration >= until)
    return seen


def labels(loop: FeedbackLoop) -> list[PairLabel]:
    return list(loop.labels.labels)


def playing(loop: FeedbackLoop) -> list[str]:
    """What the recorder is in the middle of."""
    texts = loop.asker.state("policy")["playing"]
    return [Replay.from_bytes(bytes.fromhex(text)).id for text in texts]


def test_the_same_seed_gives_the_same_run_bit_for_bit(make_loop: MakeLoop) -> None:
    first, second = (make_loop(tiny(**ACTIVE), name) for name in ("a", "b"))
    one, other = run(first), run(second)
    np.testing.assert_equal(one, other)  # NaN equals NaN
    same(first.state, second.state)
    assert labels(first) == labels(second)
    third = make_loop(tiny(seed=4, **ACTIVE), "c")
    run(third)
    assert labels(third) != labels(first)


@pytest.mark.parametrize("warm_start", [True, False])
def test_a_run_that_stopped_at_any_iteration_goes_on_to_the_same_end(make_loop: MakeLoop, tmp_path: Path, warm_start: bool) -> None:
    experiment = tiny(model__fit__warm_start=warm_start, **ACTIVE)
    whole = make_loop(experiment, "whole")
    metrics = run(whole)
    for stop in range(experiment.iterations + 1):
        name = f"stopped-at-{stop}"
        begun = make_loop(experiment, name)
        before = run(begun, stop)
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(stop, *begun.checkpoint())
            resumed = make_loop(experiment, name, resumed=True)  # the same store, everything else from the disk
            resumed.restore(*checkpoints.restore(stop, resumed.state))
        np.testing.assert_equal(before + run(resumed), metrics)
        same(resumed.state, whole.state)
        assert labels(resumed) == labels(whole)
        assert playing(resumed) == playing(whole)
        if stop < experiment.iterations:  # nothing left to fit: the data is not read again
            same(resumed.data.rows(), whole.data.rows())


def test_stopping_while_it_waits_for_a_person_loses_nothing(make_loop: MakeLoop) -> None:
    experiment = tiny(feedback__teacher="human")
    waiting = make_loop(experiment)
    before = waiting.checkpoint()
    asked = iter([False, False, True])
    assert not waiting.run(lambda progress: None, lambda: next(asked))
    assert waiting.iteration == 0
    posted = waiting.store.query_ids()
    assert len(posted) == waiting.quotas[0]
    again = make_loop(experiment, resumed=True)
    again.restore(*before)
    assert again.step(lambda: True) is None
    assert again.store.query_ids() == posted, "the same questions are not asked twice"


def test_a_run_that_begins_refuses_a_store_that_holds_answers_of_its_session(make_loop: MakeLoop, bench: Bench, tmp_path: Path) -> None:
    first = make_loop(tiny())
    run(first, 2)
    asked, path = sum(first.quotas[:2]), re.escape(str(tmp_path / "store.sqlite"))
    message = f"{path} holds {asked} questions of a session 'tiny' already.*another name"
    with pytest.raises(UserError, match=message):
        make_loop(tiny())
    with pytest.raises(UserError, match=message):
        bench.loop(tiny(), first.store)
    assert first.store.progress().answered == asked, "a store that was handed over stays open"
    other = make_loop(tiny(name="another day"))
    assert run(other, 1)[0]["answers"] == other.quotas[0], "another session learns from its own answers only"
    assert make_loop(tiny(), resumed=True).labels.poll()


@pytest.mark.parametrize("schedule", ["constant", "hyperbolic", "at_once"])
def test_each_iteration_asks_its_quota(make_loop: MakeLoop, schedule: str) -> None:
    loop = make_loop(tiny(feedback__schedule=schedule))
    run(loop)
    queries = loop.store.queries(loop.store.query_ids())
    asked = [sum(query.iteration == i for query in queries) for i in range(loop.experiment.iterations)]
    assert asked == loop.quotas
    assert sum(asked) == loop.experiment.feedback.budget == loop.labels.answered


def test_async_never_waits_and_takes_what_has_come(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        raise AssertionError("the learner waited")

    monkeypatch.setattr("rlhf_games.experiment.loop.time.sleep", sleep)
    loop = make_loop(tiny(feedback__mode="async", feedback__teacher="human", reward__true=1.0, model__trust=0.0))
    first = loop.step()
    assert first is not None
    assert first["answers"] == 0
    assert "reward_model/train_loss" not in first
    assert not loop.trusted, "a model that nobody has taught pays nothing"
    scripted = make_loop(tiny(feedback__mode="async", model__trust=0.0), resumed=True)  # answers as another process would
    assert scripted.teacher is not None
    assert scripted.teacher.answer_pending(5) == 5
    second = loop.step()
    assert second is not None
    assert (second["answers"], loop.trusted) == (5, True)
    assert second["reward/std"] > 0
    assert run(loop)[-1]["answers"] == 5


def test_nothing_is_spent_while_there_is_nothing_to_learn_from(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__mode="async", model__trust=0.0))  # answers as another process would
    teacher, loop.teacher = loop.teacher, None
    assert teacher is not None
    asked_to_stop: list[int] = []

    def answers_late() -> bool:
        asked_to_stop.append(teacher.answer_pending(2))
        return False

    first = loop.step(answers_late)
    assert first is not None
    assert asked_to_stop == [2, 2, 2], "it looked again and again until five answers were there, and then no more"
    assert (first["answers"], loop.trusted, loop.iteration) == (6.0, True, 1)
    assert loop.step(answers_late) is not None
    assert len(asked_to_stop) == 3, "once something is paid, nobody is waited for"


def test_an_unpaid_agent_stays_as_it_is_and_is_still_measured(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(model__trust=100.0))  # no model convinces
    before = jax.tree.map(np.asarray, loop.trainer.policy(loop.state.learner))
    for metrics in run(loop):
        assert metrics["reward_model/trusted"] == 0.0
        assert "loss/policy" not in metrics
        assert abs(metrics["true_return"]) < 4.0, "about what coin flips earn in eight coins"
    same(loop.trainer.policy(loop.state.learner), before)


def test_diagnostics_of_every_fit(make_loop: MakeLoop) -> None:
    fits = run(make_loop(tiny(feedback__budget=60)))
    for metrics in fits:
        found = {name.removeprefix("reward_model/"): value for name, value in metrics.items() if name.startswith("reward_model/")}
        assert {"train_loss", "holdout_loss", "epochs", "weight_decay", "tie_margin", "holdout", "spread_ratio"} <= set(found)
        assert found["holdout"] + 1 < metrics["labels"]
        assert found["spread_ratio"] > 0
    last = {name.removeprefix("reward_model/"): value for name, value in fits[-1].items()}
    assert {"accuracy", "nll", "nll_floor", "ece", "brier", "spearman", "tie_share"} <= set(last)
    assert all(0 <= last[name] <= 1 for name in ("accuracy", "ece", "brier", "tie_share"))
    assert last["nll"] >= last["nll_floor"]
    assert -1 <= last["spearman"] <= 1


def test_diagnostics_know_a_model_that_is_right_from_one_that_is_wrong(make_loop: MakeLoop) -> None:
    # of a seed whose model is right: with eight units some stop at 0.6, and the diagnostics say so
    experiment = tiny(seed=1, feedback__budget=300, iterations=1, steps=64, model__fit__max_epochs=60)
    loop = make_loop(experiment)
    learned = run(loop)[-1]
    assert learned["reward_model/accuracy"] > 0.9
    assert learned["reward_model/spearman"] > 0.9
    assert learned["reward_model/nll"] < 0.45
    guessing = make_loop(dataclasses.replace(experiment, feedback=dataclasses.replace(experiment.feedback, teacher="random")), "guess")
    assert run(guessing)[-1]["reward_model/accuracy"] < 0.8


class Paid:
    """Stands between loop and trainer: keeps every reward that training was given."""

    def __init__(self, loop: FeedbackLoop) -> None:
        self.states: list[RewardState] = []
        self.trainer: Any = loop.trainer
        loop.trainer = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trainer, name)

    def train(self, learner: Any, reward: RewardState, **budget: Any) -> Any:
        self.states.append(jax.tree.map(np.asarray, reward))
        return self.trainer.train(learner, reward, **budget)


def test_scale_is_frozen_within_an_iteration(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(model__spread=0.5, model__anchor="mean", model__trust=0.0))
    paid = Paid(loop)
    for _ in range(loop.experiment.iterations):
        loop.step()
        same(paid.states[-1].model, loop.state.model.params)  # what was fitted is what was paid, and stays until the next fit
    assert len(paid.states) == loop.experiment.iterations, "one reward per iteration"
    scales = [tuple(state.model.scale.tolist()) for state in paid.states]
    assert len(set(scales)) == len(scales)
    _, recording = loop.trainer.record(loop.state.learner, paid.states[-1], steps=40)
    normalised = loop.ensemble.normalised(loop.state.model.params, recording.features)
    assert np.all(np.abs(np.std(normalised, axis=1) - 0.5) < 0.25), "about the spread that was asked for, on the present policy"


@pytest.mark.parametrize("source", ["true", "constant", "random"])
def test_what_an_arm_without_feedback_is_paid(make_loop: MakeLoop, source: str) -> None:
    loop = make_loop(tiny(reward__learned=0.0, **{f"reward__{source}": 0.5}))
    paid = Paid(loop)
    metrics = run(loop)
    assert loop.store.query_ids() == [], "nobody is asked"
    weights = [0.5 * (source == name) for name in ("learned", "true", "constant", "random")]
    assert [state.weights.tolist() for state in paid.states] == [weights] * loop.experiment.iterations
    mean, std = (np.array([entry[f"reward/{name}"] for entry in metrics]) for name in ("mean", "std"))
    if source == "constant":
        np.testing.assert_array_equal((mean, std), ([0.5] * 4, [0.0] * 4))
    elif source == "random":
        assert np.all(np.abs(mean) < 0.25)
        assert np.all(np.abs(std - 0.5) < 0.15)
    else:  # each step earns 0.5 or -0.5
        np.testing.assert_allclose(mean**2 + std**2, 0.25, atol=0.02)


def test_the_reward_is_the_weighted_sum_of_its_sources(bench: Bench) -> None:
    model = bench.model(tiny())
    key = jax.random.key(1)
    seen = jnp.array([[-1.0], [1.0], [1.0]])
    transition = Transition(seen, jnp.array([0, 1, 0]), -seen, jnp.array([1.0, 1.0, -1.0]))
    reward = summed_reward(bench.ensemble)

    def of(**weights: float) -> Any:
        return np.asarray(reward(reward_state(SourceWeights(**({"learned": 0.0} | weights)), model), transition, key))

    np.testing.assert_array_equal(of(true=2.0), [2.0, 2.0, -2.0])
    np.testing.assert_array_equal(of(constant=-0.5), [-0.5] * 3)
    np.testing.assert_allclose(of(learned=3.0), 3.0 * np.asarray(bench.ensemble.mean(model, transition)), rtol=1e-6)
    np.testing.assert_allclose(of(random=2.0), 2.0 * np.asarray(jax.random.normal(key, (3,))), rtol=1e-6)
    parts = of(learned=1.0) + of(true=1.0) + of(constant=0.1) + of(random=0.2)
    np.testing.assert_allclose(of(learned=1.0, true=1.0, constant=0.1, random=0.2), parts, rtol=1e-5)


def test_the_query_strategy_is_the_one_that_was_set(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__query__strategy="disagreement", feedback__query__control_share=0.2))
    run(loop)
    queries = loop.store.queries(loop.store.query_ids())
    control = [query for query in queries if query.control]
    assert len(control) == sum(round(QueryConfig().control_share * 2 * count) for count in loop.quotas)
    assert {query.strategy for query in control} == {"uniform"}
    assert all(query.acquisition is not None for query in queries if not query.control)
