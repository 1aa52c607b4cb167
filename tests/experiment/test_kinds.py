"""Runs that ask for rankings and ratings, and runs that take what people say by themselves."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf_games.arena.tasks import find_task
from rlhf_games.cli.window import Window
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.feedback.answers import Demonstration, Evaluation
from rlhf_games.feedback.labels import RankingLabel, RatingLabel
from rlhf_games.feedback.queries import overlap
from rlhf_games.feedback.store import AnswerDraft
from rlhf_games.feedback.teachers import clip_rewards

from .tiny import same, tiny

MakeLoop = Callable[..., FeedbackLoop]


def finished(loop: FeedbackLoop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    loop.run(lambda progress: found.append(dict(progress.metrics)))
    return found


def earned(loop: FeedbackLoop, clips: Any) -> list[float]:
    return [float(np.sum(rewards)) for rewards in clip_rewards(loop.asker.reader.read(clips, 5))]


def test_a_run_on_rankings(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__kind="ranking", feedback__clips=4, feedback__query__strategy="disagreement"))
    metrics = finished(loop)
    queries = loop.store.queries(loop.store.query_ids())
    assert {query.kind for query in queries} == {"ranking"}
    assert all(len(query.clips) == 4 for query in queries)
    assert not any(overlap(a, b, loop.asker.episode_of) for query in queries for a, b in combinations(query.clips, 2))
    labels = [label for label in loop.labels.labels if isinstance(label, RankingLabel)]
    assert len(labels) == len(loop.labels.labels) == loop.labels.answered == loop.experiment.feedback.budget
    for label in labels:
        returns = earned(loop, label.clips)
        assert all((returns[a] > returns[b]) == (label.ranks[a] < label.ranks[b]) for a, b in combinations(range(4), 2))
    assert 0.0 <= metrics[-1]["reward_model/accuracy"] <= 1.0
    assert np.isfinite([metrics[-1][f"reward_model/{name}"] for name in ("skill", "train_loss", "holdout_loss", "spearman")]).all()


def test_a_run_on_ratings(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny(feedback__kind="rating", feedback__budget=60, feedback__query__strategy="disagreement_k_centre"))
    metrics = finished(loop)
    assert {query.kind for query in loop.store.queries(loop.store.query_ids())} == {"rating"}
    labels = [label for label in loop.labels.labels if isinstance(label, RatingLabel)]
    assert len(labels) == loop.labels.answered == 60
    first = [label for label in labels if loop.store.queries([label.query_id])[0].iteration == 0]
    returns = [earned(loop, label.clips)[0] for label in first]
    stars = [label.stars for label in first]
    assert len(set(stars)) > 2
    for (a, low), (b, high) in combinations(zip(returns, stars, strict=True), 2):
        assert (a - b) * (low - high) >= 0, "what earned more has no fewer stars"
    assert "reward_model/accuracy" not in metrics[-1]
    assert np.isfinite([metrics[-1][f"reward_model/{name}"] for name in ("skill", "train_loss", "holdout_loss")]).all()


@pytest.mark.parametrize("kind", ["ranking", "rating"])
def test_such_a_run_goes_on_to_the_same_end(make_loop: MakeLoop, kind: str) -> None:
    experiment = tiny(feedback__kind=kind, feedback__clips=3)
    whole, part = make_loop(experiment, "whole"), make_loop(experiment, "part")
    finished(whole)
    part.run(lambda progress: None, lambda: part.iteration == 2)
    resumed = make_loop(experiment, "part", resumed=True)
    resumed.restore(*part.checkpoint())
    finished(resumed)
    same(resumed.state, whole.state)
    same(resumed.data.rows(), whole.data.rows())


def test_what_people_say_by_themselves_teaches_beside_what_is_asked(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    loop.step()
    assert set(loop.data.rows()) == {"preference"}
    replay = next(replay for replay in loop.store.replays(loop.store.replay_ids()).values() if replay.length == 8)
    values = [(Evaluation(1.0), 6), (Evaluation(-0.5), 7), (Demonstration(8), 0)]
    loop.store.post_answers(
        [AnswerDraft("ann", value, 1.0, 2.0, str(uuid.uuid4()), replay_id=replay.id, step=step) for value, step in values]
    )
    metrics = loop.step()
    assert metrics is not None
    assert set(loop.data.rows()) == {"preference", "evaluation", "demonstration"}
    assert len(loop.data.of("evaluation")[0]) == 2
    assert metrics["answers"] == loop.labels.answered == sum(loop.quotas[:2]), "a budget is counted in questions"
    assert np.isfinite(metrics["reward_model/skill"])


def test_an_episode_that_does_not_reproduce_does_not_end_the_run(make_loop: MakeLoop) -> None:
    loop = make_loop(tiny())
    loop.step()
    replay = next(replay for replay in loop.store.replays(loop.store.replay_ids()).values() if replay.length == 8)
    other = replace(replay, checksum=replace(replay.checksum, returns=(99.0,)), policy="elsewhere")
    loop.store.add_replays([other])
    [answer] = loop.store.post_answers([AnswerDraft("ann", Evaluation(1.0), 1.0, 2.0, str(uuid.uuid4()), replay_id=other.id, step=8)])
    metrics = loop.step()
    assert metrics is not None
    assert metrics["refused"] == 1.0
    assert other.id in loop.free.refused[answer]
    assert set(loop.data.rows()) == {"preference"}


def test_clips_of_a_ranking_are_few() -> None:
    for clips in (2, 7):
        with pytest.raises(UserError, match=r"feedback\.clips: must be in 3\.\.6"):
            tiny(feedback__clips=clips)
    assert [tiny(feedback__kind=kind).feedback.shown for kind in ("preference", "ranking", "rating")] == [2, 4, 1]


@pytest.mark.parametrize("kind", ["preference", "ranking", "rating"])
def test_the_window_beside_a_run_opens_where_its_questions_are_answered(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[list[str]] = []

    class Process:
        """Opens nothing."""

        def __init__(self, command: list[str], **_: Any) -> None:
            began.append(command)

        def poll(self) -> None: ...

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("rlhf_games.cli.window.subprocess.Popen", Process)
    Window(tmp_path, "", lambda words: None, kind)
    [command] = began
    assert kind in find_task(command[command.index("--task") + 1]).kinds
