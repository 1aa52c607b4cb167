"""How an iteration went, in a line for people: for the terminal and for a run's ``progress.log``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlhf_games.experiment.loop import Progress
    from rlhf_games.experiment.spec import Experiment


def in_words(progress: Progress, experiment: Experiment) -> str:
    """Steps, score, answers and how well the reward model predicts, as ``rlhf-games run --help`` explains them."""
    metrics, wanted = progress.metrics, experiment.feedback.answers if experiment.learns_from_people else 0
    parts = [f"{progress.steps:,} steps"]
    if not math.isnan(metrics["true_return"]):
        parts.append(f"score {metrics['true_return']:.2f}")
    if wanted:
        silent = f", {metrics['unmatched']:.0f} not recorded" if metrics.get("unmatched") else ""
        parts.append(f"{metrics['answers']:.0f}/{wanted} answers{silent}")
    if "reward_model/accuracy" in metrics:
        decided = metrics["reward_model/holdout"] * (1 - metrics["reward_model/tie_share"])
        parts.append(f"right on {100 * metrics['reward_model/accuracy']:.0f} % of {decided:.0f} held-out comparisons")
    if metrics.get("reward_model/trusted") == 0:
        parts.append("not trusted yet")
    return " · ".join(parts)
