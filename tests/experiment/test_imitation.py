"""From what a person showed in the store to what the agent does."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.films import play
from rlhf_games.experiment.imitation import LessonBook
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.trainer import compiled_imitation
from rlhf_games.feedback.answers import Advice, AnswerValue, Demonstration, Takeover
from rlhf_games.feedback.store import AnswerDraft, Store
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.replay import Replay
from rlhf_games.replay.simulate import simulate
from rlhf_games.workspace import load_game

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
    book = LessonBook(loop.store, loop.asker.reader, 100)
    assert book.poll()
    lessons = book.due()
    assert lessons is not None
    assert len(book) == 4 == int(jnp.sum(lessons.weight > 0))
    assert lessons.action[:4].tolist() == [1 - int(replay.actions[2, 0]), *replay.actions[4:7, 0].tolist()]
    assert np.array_equal(lessons.observation[:4], seen(loop, replay_id)[[2, 4, 5, 6]])
    again = book.due()
    assert again is not None
    assert again.observation is lessons.observation, "nothing is read again while nothing changes"


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
    assert metrics["imitation/lessons"] == 1.0
    assert likely() > before
    (advice,) = loop.store.answers(kinds=["advice"]).answers
    loop.store.retract(advice.id, "ann")
    metrics = loop.step()
    assert metrics is not None
    assert "imitation/steps" not in metrics, "what is taken back teaches no more"


def test_demonstrations_alone_teach_the_game(make_loop: MakeLoop) -> None:
    """A budget of no questions at all: behavioural cloning of right actions, 160 of them."""
    experiment: Experiment = tiny(feedback__budget=0, iterations=12, steps=64)
    loop = make_loop(experiment)
    agent, game = loop.trainer.agent, loop.trainer.game  # type: ignore[attr-defined]
    replays = play(game, agent, loop.trainer.policy(loop.state.learner), range(20), 8)
    for replay_id in loop.store.add_replays(replays):
        for step, sight in enumerate(seen(loop, replay_id)[:8]):
            say(loop, Advice(int(sight[0] > 0)), replay_id, step)  # the game's rule: match the coin
    untaught = loop.trainer.evaluate(loop.state.learner, 1, 32).returns.mean()
    for _ in range(experiment.iterations):
        metrics = loop.step()
        assert metrics is not None
        assert metrics["imitation/kl"] <= 0.1
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


def test_each_lesson_is_drawn_so_often_and_no_more(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    replay_id = played(loop)
    say(loop, Advice(1), replay_id, 2)
    book = LessonBook(loop.store, loop.asker.reader, 100)

    def weights() -> list[float]:
        book.poll()
        due = book.due()
        return [] if due is None else [float(weight) for weight in due.weight if weight]

    assert weights() == [50.0]
    assert weights() == [50.0], "nothing was drawn yet"
    book.imitated(64.0)  # one batch
    assert weights() == [18.0]
    say(loop, Demonstration(2), replay_id, 4)
    assert weights() == [18.0, 50.0, 50.0]
    book.imitated(59.0)  # half of the 118
    assert weights() == [13.5, 37.5, 37.5]
    again = LessonBook(loop.store, loop.asker.reader, 100)
    again.restore(book.state())
    again.poll()
    assert again.due() is not None
    assert again.due(new=True) is None, "both were imitated before"
    again.due()
    again.imitated(1000.0)
    assert again.due() is None


@pytest.mark.parametrize(("trust", "annealed"), [(100.0, 0.0), (0.0, 0.5)])
def test_after_the_last_update_only_what_is_new_is_imitated(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, trust: float, annealed: float
) -> None:
    """At the rate of before the updates, which anneal it to 0; where the agent is not paid, schedules stand still for imitation too."""
    loop = make_loop(tiny(feedback__budget=8, iterations=2, steps=128, model__trust=trust))
    replay_id = played(loop)
    say(loop, Advice(1), replay_id, 3)
    drawn = []
    imitate = loop.trainer.imitate

    def counted(learner: Any, lessons: Any, progress: float) -> Any:
        drawn.append((float(lessons.weight.sum()), progress))
        return imitate(learner, lessons, progress)

    really = loop._train

    def train() -> dict[str, float]:
        say(loop, Advice(0), replay_id, 5)  # while the agent learns for the last time
        return really()

    monkeypatch.setattr(loop.trainer, "imitate", counted)
    monkeypatch.setattr(loop, "_train", train)
    loop.step()
    assert drawn == [(128.0, annealed), (256.0, annealed)], "half of 256 before the updates; then all of the new one"
    assert sorted(loop.checkpoint()[1]["imitated"].values()) == [128.0, 256.0]


def test_lessons_of_a_board_carry_its_legal_moves(tmp_path: Path) -> None:
    game = load_game("board/tic_tac_toe", {})
    replay = play_episode(game, 3)
    store = Store.open(tmp_path / "board.sqlite")
    (replay_id,) = store.add_replays([replay])
    mover = int(np.argmax(game.open(3).timestep.acting))
    first, third = (int(replay.actions[t, mover]) for t in (0, 2))
    for step, action in ((0, first), (2, third), (2, first)):  # the last is taken: that advice cannot be meant
        store.post_answers([AnswerDraft("ann", Advice(action, mover), 1.0, 2.0, str(uuid.uuid4()), replay_id=replay_id, step=step)])
    book = LessonBook(store, ClipReader(game, store.replay), 10)
    book.poll()
    due = book.due()
    assert due is not None
    assert due.weight[:4].tolist() == [5.0, 5.0, 0.0, 0.0]
    taken = {first, int(replay.actions[1, 1 - mover])}
    assert due.legal_action_mask[0].tolist() == [True] * 9
    assert due.legal_action_mask[1].tolist() == [cell not in taken for cell in range(9)]
    store.close()


def test_a_seat_that_waits_shows_nothing(tmp_path: Path) -> None:
    """A recording has an action for every seat, and a board gives the mover's mask to both: neither is a choice of who waits."""
    game = load_game("board/tic_tac_toe", {})
    replay = play_episode(game, 3)
    mover = int(np.argmax(game.open(3).timestep.acting))
    assert replay.length == 7, "cells 8, 6, 4, 2 of the one who begins are three in a row"
    for seat, weights in ((mover, [5, 0, 5, 0, 5, 0, 5]), (1 - mover, [0, 5, 0, 5, 0, 5, 0])):
        store = Store.open(tmp_path / f"{seat}.sqlite")
        (replay_id,) = store.add_replays([replay])
        advice = [(step, Advice(0, seat)) for step in range(7)]  # cell 0 is free to the end
        for step, value in [(0, Demonstration(7, seat=seat)), (0, Takeover(7, seat=seat)), *advice]:
            store.post_answers([AnswerDraft("ann", value, 1.0, 2.0, str(uuid.uuid4()), replay_id=replay_id, step=step)])
        book = LessonBook(store, ClipReader(game, store.replay), 10)
        book.poll()
        due = book.due()
        assert due is not None
        assert due.weight[:21].tolist() == weights * 3
        store.close()


def play_episode(game: Any, seed: int) -> Replay:
    """Both seats take the first free cell from the end."""
    session = game.open(seed)
    recorder = SessionRecorder(session, seed, player=("a", "b"))
    seen = session.timestep
    while not seen.terminated:
        seen = recorder.step(np.array([8 - int(np.argmax(mask[::-1])) for mask in seen.legal_action_mask], np.int32))
    return recorder.replay()
