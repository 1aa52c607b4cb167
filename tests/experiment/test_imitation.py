"""From what a person showed in the store to what the agent does."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.imitation import LessonBook
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.trainer import compiled_imitation
from rlhf_games.feedback.answers import Advice, AnswerValue, Demonstration
from rlhf_games.feedback.store import AnswerDraft
from rlhf_games.replay.simulate import simulate

from .tiny import tiny

MakeLoop = Callable[..., FeedbackLoop]


def played(loop: FeedbackLoop) -> str:
    """A replay of the first policy, in the store."""
    assert loop.step() is not None
    return loop.store.queries(loop.store.query_ids())[0].clips[0].segments[0].replay_id


def seen(loop: FeedbackLoop, replay_id: str) -> NDArray[Any]:
    """``[T + 1, ...]`` what the only seat saw in a replay."""
    (track,) = simulate(loop.trainer.game, [loop.store.replay(replay_id)])  # type: ignore[attr-defined]
    return np.asarray(track.observation[:, 0])


def say(loop: FeedbackLoop, value: AnswerValue, replay_id: str, step: int) -> None:
    loop.store.post_answers([AnswerDraft("ann", value, 1.0, 2.0, str(uuid.uuid4()), replay_id=replay_id, step=step)])


def test_lessons_show_what_the_agent_saw(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    replay_id = played(loop)
    replay = loop.store.replay(replay_id)
    say(loop, Advice(1 - int(replay.actions[2, 0])), replay_id, 2)
    say(loop, Demonstration(3), replay_id, 4)
    book = LessonBook(loop.store, loop.asker.reader)
    assert book.poll()
    lessons = book.arrays()
    assert len(book) == 4 == int(jnp.sum(lessons.weight))
    assert lessons.action[:4].tolist() == [1 - int(replay.actions[2, 0]), *replay.actions[4:7, 0].tolist()]
    assert np.array_equal(lessons.observation[:4], seen(loop, replay_id)[[2, 4, 5, 6]])
    assert book.arrays() is lessons, "nothing is read again while nothing changes"


@pytest.mark.parametrize("action", [0, 1])
def test_the_advised_action_becomes_likelier_and_undo_takes_it_back(make_loop: MakeLoop, action: int) -> None:
    loop = make_loop(tiny(feedback__budget=8, iterations=8, steps=64, model__trust=100.0))  # never trusted: lessons alone teach
    replay_id = played(loop)
    observation = jnp.asarray(seen(loop, replay_id)[3:4])

    def likely() -> float:
        params = loop.trainer.policy(loop.state.learner)
        return float(loop.trainer.agent.explain(params, observation, jnp.ones((1, 2), bool)).probabilities[0, action])  # type: ignore[attr-defined]

    before = likely()
    say(loop, Advice(action), replay_id, 3)
    metrics = loop.step()
    assert metrics is not None
    assert metrics["imitation/steps"] == 1.0
    assert likely() > before
    (advice,) = loop.store.answers(kinds=["advice"]).answers
    loop.store.retract(advice.id, "ann")
    metrics = loop.step()
    assert metrics is not None
    assert "imitation/steps" not in metrics, "what is taken back teaches no more"


def test_demonstrations_alone_teach_the_game(make_loop: MakeLoop) -> None:
    """A budget of no questions at all: behavioural cloning of right actions."""
    shown = make_loop(tiny(), "shown")
    replay_id = played(shown)
    replay = shown.store.replay(replay_id)
    observation = seen(shown, replay_id)
    experiment: Experiment = tiny(feedback__budget=0, iterations=12, steps=64)
    loop = make_loop(experiment, "taught")
    loop.store.add_replays([replay])
    for step in range(replay.length):
        say(loop, Advice(int(observation[step, 0] > 0)), replay_id, step)  # the game's rule: match the coin
    untaught = loop.trainer.evaluate(loop.state.learner, 1, 32).returns.mean()
    for _ in range(experiment.iterations):
        loop.step()
    assert untaught < 4.0
    assert loop.trainer.evaluate(loop.state.learner, 1, 32).returns.mean() > 6.0, "eight coins, at most 8"


def test_nothing_is_imitated_where_that_is_switched_off(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__imitate=False))
    replay_id = played(loop)
    say(loop, Advice(1), replay_id, 0)
    metrics = loop.step()
    assert metrics is not None
    assert not any(name.startswith("imitation/") for name in metrics)


def test_an_agent_that_cannot_imitate_says_so(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        """Has no imitate."""

    loop = make_loop(tiny())
    replay_id = played(loop)
    say(loop, Advice(1), replay_id, 0)
    monkeypatch.setattr(loop.trainer, "_imitate", compiled_imitation(Stubborn()))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cannot imitate"):
        loop.step()
