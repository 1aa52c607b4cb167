"""A fit of the reward model to what was said, its zero and its scale, and what it foretells of answers that it never saw.

Shapes: ``M`` members, ``B`` steps of the present policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.experiment.spec import ModelConfig
from rlhf_games.feedback.labels import ties
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams, anchor_of, calibrated, with_feature_scale, with_tie_share
from rlhf_games.reward.fit import FitReport, FitState, fit, initial_state
from rlhf_games.reward.rows import Scale
from rlhf_games.reward.skill import Predicted, Skill, skill
from rlhf_games.reward.zero import Fitted, Zero, constant_log_prob, find_zero, paid_log_prob


class Refit(NamedTuple):
    """What came of a fit."""

    state: FitState
    """Fitted and calibrated: its parameters are the reward that is paid."""
    skill: Skill
    outputs: NDArray[Any]
    """``[M, B]`` raw outputs on the present policy's steps."""
    metrics: dict[str, float]


def refit(
    ensemble: RewardEnsemble,
    config: ModelConfig,
    data: AnswerDataset,
    state: FitState,
    blank: RewardParams,
    features: jax.Array,
    key: jax.Array,
) -> Refit | None:
    """Fits the model to all answers of the data set; None where none of them counts.

    Args:
      ensemble: the networks.
      config: how.
      data: the answers.
      state: of the last fit; donated.
      blank: fresh parameters, for fits that do not start from the last one.
      features: ``[B, ...]`` encoded steps of the present policy, on which zero and scale are measured.
      key: consumed.
    """
    if not any(config.fit.weights.of(kind) for kind in data.rows()):
        return None
    fitted, report = fit(ensemble, config.fit, _start(ensemble, config, data, state, blank), data.rows(), key)
    outputs = np.asarray(_outputs(ensemble, fitted.params, features))
    answers = _answers(config, data, fitted.params, report)
    zero = find_zero(answers, anchor_of(outputs, config.anchor), config.fit.noise)
    params = calibrated(fitted.params, jnp.asarray(outputs), offset=zero.offset, spread=config.spread)
    known = _skill(answers, data, zero, config.fit.noise)
    return Refit(fitted._replace(params=params), known, outputs, _metrics(params, report, zero, known, known.convinces(config.trust)))


def _start(ensemble: RewardEnsemble, config: ModelConfig, data: AnswerDataset, state: FitState, blank: RewardParams) -> FitState:
    if not config.fit.warm_start:
        state = initial_state(blank)
    params = state.params
    if not state.optimiser.count:
        tied = [tie for label, used in zip(data.labels, data.trains, strict=True) if used for tie in ties(label)]
        params = with_tie_share(params, float(np.mean(tied)) if tied else 0.0)
    if not ensemble.pixels:
        params = with_feature_scale(params, data.features_flat())
    return state._replace(params=params)


def _answers(config: ModelConfig, data: AnswerDataset, params: RewardParams, report: FitReport) -> list[Fitted]:
    """What the fitted model says of all answers that count."""
    scale, rows = Scale(jax.nn.softplus(params.tie_margin), report.cuts), data.rows()
    return [Fitted(kind, rows[kind], returns, scale, config.fit.weights.of(kind)) for kind, returns in report.returns.items()]


def _skill(answers: Sequence[Fitted], data: AnswerDataset, zero: Zero, noise: float) -> Skill:
    """What the reward that is paid foretells of answers that the model never saw."""
    kinds = []
    for kind in answers:
        unseen, units, episodes = data.evidence(kind.kind)
        found = (paid_log_prob(kind, zero.offset, noise), constant_log_prob(kind, noise))
        paid, constant = (np.asarray(log_prob)[:, : len(units)] for log_prob in found)
        kinds.append(Predicted(kind.kind, paid, constant, unseen, np.asarray(kind.rows.label)[: len(units)], units, episodes))
    return skill(kinds, noise)


def _metrics(params: RewardParams, report: FitReport, zero: Zero, known: Skill, trusted: bool) -> dict[str, float]:
    return {
        "reward_model/skill": known.gain,
        "reward_model/skill_error": known.error,
        "reward_model/trusted": float(trusted),
        "reward_model/zero_open": zero.open,
        "reward_model/zero": float(np.mean(zero.offset / np.asarray(params.scale))),
        "reward_model/train_loss": float(np.mean(report.train_loss)),
        "reward_model/holdout_loss": float(np.mean(report.holdout_loss)),
        "reward_model/epochs": float(report.epochs),
        "reward_model/weight_decay": float(np.mean(report.weight_decay)),
        "reward_model/tie_margin": float(np.mean(jax.nn.softplus(params.tie_margin))),
    }


_outputs = jax.jit(RewardEnsemble.raw, static_argnums=0)
