"""From what was recorded to questions in the store."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.feedback.queries import overlap
from rlhf_games.feedback.store import Query
from rlhf_games.feedback.teachers import clip_rewards
from rlhf_games.replay.simulate import simulate

from .tiny import tiny

MakeLoop = Callable[..., FeedbackLoop]


def asked(loop: FeedbackLoop) -> list[Query]:
    loop.run(lambda progress: None)
    return loop.store.queries(loop.store.query_ids())


def test_rounds_record_enough_not_to_ask_twice_about_the_same_steps(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    recorded = loop.experiment.record.lanes * loop.experiment.record.steps
    for count in (0, 1, 7, 100):
        rounds = loop.asker.rounds(count)
        assert rounds >= 1
        assert rounds * recorded >= 2 * count * loop.experiment.feedback.query.clip_length


def test_questions_of_one_policy_are_about_different_steps_of_replays_in_the_store(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    queries = asked(loop)
    replays = loop.store.replays([segment.replay_id for query in queries for clip in query.clips for segment in clip.segments])
    assert all(replay.policy.startswith("tiny/") for replay in replays.values())
    tracks = simulate(loop.trainer.game, list(replays.values()))  # type: ignore[attr-defined]
    assert len(tracks) == len(replays), "every replay reproduces"
    for query in queries:
        assert all(1 <= clip.length <= loop.experiment.feedback.query.clip_length for clip in query.clips)
        assert query.policy_version == f"tiny/{query.iteration}"
    clips = [clip for query in queries if query.iteration == 0 for clip in query.clips]
    shared = sum(overlap(a, b, loop.asker.episode_of) for a, b in combinations(clips, 2))
    assert shared <= 0.02 * len(clips) * (len(clips) - 1) / 2


@pytest.mark.parametrize(
    ("ends", "cross", "length", "crosses"),
    [("visible", True, 5, False), ("hidden", False, 5, False), ("hidden", True, 5, True), ("hidden", False, 12, True)],
)
def test_clips_cross_episode_ends_only_where_they_must_or_may(
    make_loop: MakeLoop, ends: str, cross: bool, length: int, crosses: bool
) -> None:
    """Episodes of eight steps."""
    settings = {"feedback__query__cross_ends": cross, "feedback__query__clip_length": length}
    loop = make_loop(tiny(**settings))
    loop.asker._experiment = tiny(**settings, episode_ends=ends)
    clips = [clip for query in asked(loop) for clip in query.clips]
    assert any(len(clip.segments) > 1 for clip in clips) == crosses
    if ends == "hidden":
        assert {clip.length for clip in clips} == {length}


def test_queries_say_what_recent_episodes_brought(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    first = loop.store.queries(loop.store.query_ids())
    assert first == []
    for query in asked(loop):
        assert query.recent_length == 8.0
        assert query.recent_return is not None
        assert -8.0 <= query.recent_return <= 8.0


def test_asking_the_same_iteration_again_gives_the_same_questions(make_loop: MakeLoop) -> None:
    first, again = (make_loop(tiny(feedback__teacher="human"), "shared") for _ in range(2))
    assert first.step(lambda: True) is None
    ids = first.store.query_ids()
    assert len(ids) == first.quotas[0]
    assert again.step(lambda: True) is None
    assert again.store.query_ids() == ids


def test_the_oracle_prefers_the_clip_that_earned_more(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    asked(loop)
    assert len(loop.labels.labels) == loop.experiment.feedback.budget
    for label in loop.labels.labels:
        first, second = (float(np.sum(rewards)) for rewards in clip_rewards(loop.asker.reader.read([label.first, label.second], 5)))
        assert label.kind == ("tie" if first == second else "first" if first > second else "second")
