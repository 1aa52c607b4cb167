"""Every metric of a run is explained, in the reports and in docs/metrics.md."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from rlhf_games import workspace
from rlhf_games.experiment.glossary import FEEDBACK, GROUPS, MEANINGS, agent_meanings, group_of, grouped, markdown, meaning
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.feedback.answers import Demonstration
from rlhf_games.feedback.store import AnswerDraft
from rlhf_games.reward.diagnostics import Report

from .tiny import tiny

MakeLoop = Callable[..., FeedbackLoop]


def names(loop: FeedbackLoop) -> set[str]:
    found: set[str] = set()
    loop.run(lambda progress: found.update(progress.metrics))
    return found


def test_no_metric_of_a_run_is_without_a_meaning(make_loop: MakeLoop, tmp_path: Path) -> None:
    first = make_loop(tiny(feedback__query__strategy="disagreement", model__trust=0.0))
    first.step()
    (replay_id, *_) = first.store.replay_ids()
    draft = AnswerDraft("ann", Demonstration(3), 1.0, 2.0, str(uuid.uuid4()), replay_id=replay_id, step=0)
    first.store.post_answers([draft])
    said = names(first)
    assert {"imitation/steps", "imitation/loss", "reward_model/accuracy", "loss/kl"} <= said
    recorded = f"recorded:{tmp_path / 'store.sqlite'}"
    for name, changes in {"ranks": {"kind": "ranking"}, "stars": {"kind": "rating"}, "again": {"teacher": recorded}}.items():
        feedback = {f"feedback__{key}": value for key, value in changes.items()}
        said |= names(make_loop(tiny(iterations=1, steps=64, **feedback), name))
    assert "unmatched" in said
    agent = agent_meanings("ppo")
    assert sorted(name for name in said if not meaning(name, agent)) == []
    assert sorted(set(agent) - said) == [], "the agent explains metrics that it does not have"


def test_no_measure_of_the_reward_model_is_without_a_meaning() -> None:
    values = dict.fromkeys(("tie_share", "accuracy", "nll", "nll_floor", "ece", "brier", "spread_ratio", "spearman"), 0.5)
    everything = Report(holdout=3, accuracy_by_difference={"0..1": 1.0, "4..": 0.5}, **values)
    assert [name for name in everything.to_dict() if not meaning(f"reward_model/{name}")] == []


def test_the_page_of_metrics_is_what_the_glossary_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    agents = {name: agent_meanings(name) for name in workspace.agents()}
    assert page.read_text(encoding="utf-8") == markdown(agents), "python -m rlhf_games.experiment.glossary > docs/metrics.md"


def test_every_group_has_metrics_with_a_meaning() -> None:
    assert set(FEEDBACK) <= set(MEANINGS)
    assert [group for group, _ in GROUPS if not any(group_of(name) == group for name in MEANINGS)] == []


def test_metrics_are_grouped_whatever_they_are_called() -> None:
    said = ["true_return", "loss", "seconds/fit", "answers", "novelty/bonus", "reward_model/accuracy"]
    assert grouped(said) == {
        "reward_model": ["reward_model/accuracy"],
        "feedback": ["answers"],
        "agent": ["true_return", "loss"],
        "seconds": ["seconds/fit"],
        "novelty": ["novelty/bonus"],
    }


@pytest.mark.parametrize("name", ["no-such-agent", ""])
def test_agents_that_cannot_be_loaded_explain_nothing(name: str) -> None:
    assert agent_meanings(name) == {}
    assert meaning("their/metric", agent_meanings(name)) == ""
    assert meaning("reward_model/accuracy_difference_1..2") == MEANINGS["reward_model/accuracy_difference_…"]
