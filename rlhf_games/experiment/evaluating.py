"""How well a learner plays: whole episodes that training never saw, the same ones for all that share a seed."""

from __future__ import annotations

from rlhf_games.core.agent import PyTree
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.trainer import Trainer
from rlhf_games.rollout.evaluate import Episodes

_EVALUATION_SEED = 1_000_003
"""Added to the run's seed."""


def evaluated(trainer: Trainer, learner: PyTree, experiment: Experiment) -> Episodes:
    """The ``evaluation_episodes`` of an experiment, played by a learner's present policy."""
    return trainer.evaluate(learner, (experiment.seed + _EVALUATION_SEED) % 2**32, experiment.evaluation_episodes)
