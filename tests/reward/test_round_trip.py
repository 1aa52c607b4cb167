"""What a person said moves the learned reward in the direction they meant, through every real part in between."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from rlhf_games.reward.rows import Rows

from .pull import Pull


class Judge:
    """One question about two clips in a store, people who answer it, and the learner's end of it."""

    def __init__(self, store: Store, reader: ClipReader, pull: Pull, pair: tuple[Clip, Clip], display: tuple[int, ...]) -> None:
        self.store, self.reader, self.pull = store, reader, pull
        [self.query_id] = store.post_queries([QueryDraft("preference", pair, display=display, wanted=5)])
        self.labels = LabelReader(store)
        self.data = AnswerDataset(reader, pull.ensemble, 4, 2, 0, 0.0, bootstrap=False)

    def say(self, choice: Any, annotator: str = "ann", strength: int = 1) -> int:
        self.store.lease(annotator)
        return self.store.answer(self.query_id, annotator, Preference(choice, strength), 1.0, 2.0, str(uuid.uuid4()))

    def learn(self) -> Rows | None:
        self.labels.poll()
        self.data.update(self.labels.labels)
        return self.data.rows().get("preference")

    def shown(self) -> tuple[Clip, ...]:
        """On the left, and on the right."""
        return self.store.queries([self.query_id])[0].shown

    def apart(self) -> float:
        """r(left) - r(right) of what was shown."""
        left, right = (self.pull.worth(self.reader, clip)[0] for clip in self.shown())
        return left - right

    def push(self) -> float:
        """How fast r(left) - r(right) grows along the downhill direction of the fit's loss."""
        rows = self.learn()
        return self.pull.push(self.reader, {} if rows is None else {"preference": rows}, *self.shown())


@pytest.fixture(scope="module")
def pull(model: tuple[RewardEnsemble, RewardParams]) -> Pull:
    return Pull(model)


@pytest.fixture
def store(tmp_path: Path, replays: dict[str, Replay]) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        opened.add_replays(list(replays.values()))
        yield opened


@pytest.fixture
def judge(store: Store, reader: ClipReader, pull: Pull, different: tuple[Clip, Clip]) -> Callable[..., Judge]:
    def make(display: tuple[int, int] = (0, 1), swap: bool = False) -> Judge:
        return Judge(store, reader, pull, different[::-1] if swap else different, display)

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
    push, apart = asked.push(), asked.apart()
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
