"""What a person said moves the learned reward in the direction they meant, through every real part in between."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.gradient import log_probs
from rlhf_games.reward.rows import Rows
from rlhf_games.rollout.device import Transition

Model = tuple[RewardEnsemble, RewardParams]


class Judge:
    """One question about two clips in a store, people who answer it, and the learner's end of it."""

    def __init__(self, store: Store, reader: ClipReader, model: Model, pair: tuple[Clip, Clip], display: tuple[int, ...]) -> None:
        self.store, self.reader = store, reader
        self.ensemble, self.params = model
        [self.query_id] = store.post_queries([QueryDraft("preference", pair, display=display, wanted=5)])
        self.labels = LabelReader(store)
        self.data = AnswerDataset(reader, self.ensemble, 4, 2, 0, 0.0, bootstrap=False)

    def say(self, choice: Any, annotator: str = "ann", strength: int = 1) -> int:
        self.store.lease(annotator)
        return self.store.answer(self.query_id, annotator, Preference(choice, strength), 1.0, 2.0, str(uuid.uuid4()))

    def learn(self) -> Rows | None:
        self.labels.poll()
        self.data.update(self.labels.labels)
        return self.data.rows().get("preference")

    def difference(self) -> tuple[float, Any]:
        """r(left) - r(right) of what was shown, and its gradient; read and encoded by the test itself."""
        left, right = (self._steps(clip) for clip in self.store.queries([self.query_id])[0].shown)

        def value(members: Any) -> jax.Array:
            params = self.params._replace(members=members)
            raw = [self.ensemble.raw(params, self.ensemble.encode(steps)) for steps in (left, right)]
            return jnp.sum(raw[0]) - jnp.sum(raw[1])

        found, gradient = jax.value_and_grad(value)(self.params.members)
        return float(found), gradient

    def push(self) -> float:
        """How fast r(left) - r(right) grows along the downhill direction of the fit's loss."""
        data = self.learn()
        if data is None:
            return 0.0

        def loss(members: Any) -> jax.Array:
            return -jnp.sum(log_probs(self.ensemble, self.params._replace(members=members), "preference", data, 0.1) * data.weight)

        downhill = jax.tree.map(jnp.negative, jax.grad(loss)(self.params.members))
        parts = jax.tree.map(lambda a, b: jnp.sum(a * b), downhill, self.difference()[1])
        return float(sum(jax.tree.leaves(parts)))

    def _steps(self, clip: Clip) -> Transition:
        batch = self.reader.read([clip])
        return Transition(*(jnp.asarray(x[0]) for x in (batch.observation, batch.action, batch.next_observation, batch.reward)))


@pytest.fixture
def store(tmp_path: Path, replays: dict[str, Replay]) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        opened.add_replays(list(replays.values()))
        yield opened


@pytest.fixture
def judge(store: Store, reader: ClipReader, model: Model, different: tuple[Clip, Clip]) -> Callable[..., Judge]:
    def make(display: tuple[int, int] = (0, 1), swap: bool = False) -> Judge:
        return Judge(store, reader, model, different[::-1] if swap else different, display)

    return make


@pytest.fixture
def different(reader: ClipReader, clips: list[Clip]) -> tuple[Clip, Clip]:
    """Two clips that show different coins."""
    totals = reader.read(clips).reward.sum(1)
    return clips[int(np.argmax(totals))], clips[int(np.argmin(totals))]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("display", [(0, 1), (1, 0)])
def test_the_better_side_rises_whatever_the_order(judge: Callable[..., Judge], display: tuple[int, int], swap: bool) -> None:
    asked = judge(display, swap)
    answer = asked.say("left")
    assert asked.push() > 1e-6
    asked.store.retract(answer, "ann")
    assert asked.push() == 0.0
    asked.say("right", "ben", strength=2)
    assert asked.push() < -1e-6


@pytest.mark.parametrize("display", [(0, 1), (1, 0)])
def test_a_tie_pulls_both_sides_together(judge: Callable[..., Judge], display: tuple[int, int]) -> None:
    asked = judge(display)
    asked.say("equal")
    push, apart = asked.push(), asked.difference()[0]
    assert abs(apart) > 1e-3
    assert np.sign(push) == -np.sign(apart)


def test_cannot_tell_teaches_nothing(judge: Callable[..., Judge]) -> None:
    asked = judge()
    asked.say("unsure")
    assert asked.push() == 0.0
    assert asked.learn() is None
    assert asked.labels.answered == 1


def test_two_annotators_count_twice_and_taking_back_counts_once(judge: Callable[..., Judge]) -> None:
    asked = judge((1, 0))
    asked.say("left")
    one = asked.push()
    second = asked.say("left", "ben")
    assert asked.push() == pytest.approx(2 * one, rel=1e-4)
    asked.store.retract(second, "ben")
    assert asked.push() == pytest.approx(one, rel=1e-4)
    asked.say("right", "cleo")
    rows = asked.learn()
    assert rows is not None
    assert rows.label.shape == (256,)
    assert sorted(label.kind for label in asked.labels.labels) == ["first", "second"]
