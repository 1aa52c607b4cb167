"""Answers of one kind as arrays, and how likely each kind of answer is: all that fitting knows about kinds.

Shapes: ``M`` members, ``K`` capacity (answers, padded), ``W`` clips of an answer, ``C`` clips of the table, ``L`` steps of a clip,
``A`` annotators who rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_games.feedback.likelihoods import evaluation_log_prob, preference_log_prob, ranking_log_prob, rating_log_prob
from rlhf_games.reward.clips import ClipTable

STARS = 5
"""Levels of a rating."""


class Rows(NamedTuple):
    """Labelled answers of one kind, padded to a capacity so that programs are compiled once."""

    clips: ClipTable
    """What the answers are about, each clip once."""
    places: jax.Array
    """``[K, W]`` int32: the clips of each answer, as rows of the table."""
    label: jax.Array
    """What was said: pairs ``[K]`` int32 ``FIRST``, ``SECOND`` or ``TIE``; rankings ``[K, W]`` int32 ranks, -1 where there is no clip;
    ratings ``[K]`` int32 from 0; evaluations ``[K]`` float32."""
    annotator: jax.Array
    """``[K]`` int32: number of who said it, among those who rate."""
    weight: jax.Array
    """``[M, K]`` float32: how often each member's bootstrap drew the answer; 0 on hold-out and padding."""
    holdout: jax.Array
    """``[K]`` bool."""


Answers: TypeAlias = Mapping[str, Rows]
"""Rows by kind of answer."""


class Scale(NamedTuple):
    """What turns returns into answers, of one member."""

    tie_margin: jax.Array
    """``[]`` float32 > 0, as in `preference_log_prob`."""
    cuts: jax.Array
    """``[A, STARS - 1]`` float32, ascending: each annotator's cut-points."""


Likelihood: TypeAlias = Callable[[jax.Array, jax.Array, jax.Array, Scale, float], jax.Array]
"""Returns ``[n, W]``, labels ``[n, ...]``, annotators ``[n]``, scale and ε to log-probabilities ``[n]``."""


def _pair(returns: jax.Array, label: jax.Array, annotator: jax.Array, scale: Scale, noise: float) -> jax.Array:
    return preference_log_prob(returns[:, 0] - returns[:, 1], label, scale.tie_margin, noise)


def _ranking(returns: jax.Array, label: jax.Array, annotator: jax.Array, scale: Scale, noise: float) -> jax.Array:
    return ranking_log_prob(returns, label, jnp.broadcast_to(scale.tie_margin, label.shape[:1]), noise)


def _rating(returns: jax.Array, label: jax.Array, annotator: jax.Array, scale: Scale, noise: float) -> jax.Array:
    return rating_log_prob(returns[:, 0], label, scale.cuts[annotator], noise)


def _evaluation(returns: jax.Array, label: jax.Array, annotator: jax.Array, scale: Scale, noise: float) -> jax.Array:
    return evaluation_log_prob(returns[:, 0], label, noise)


LIKELIHOODS: dict[str, Likelihood] = {
    "preference": _pair,
    "ranking": _ranking,
    "rating": _rating,
    "evaluation": _evaluation,
    "takeover": _pair,
    "demonstration": _pair,
}
"""By kind of answer: a new kind of feedback is one new entry."""


def pair_rows(features: Any, mask: Any, label: Any, weight: Any, holdout: Any) -> Rows:
    """Rows of pairs from arrays: features ``[K, 2, L, ...]``, mask ``[K, 2, L]``, label ``[K]``, weight ``[M, K]``, hold-out ``[K]``."""
    features, mask = jnp.asarray(features), jnp.asarray(mask)
    count, places, length = mask.shape
    content = features.reshape(count * places, length, *features.shape[3:])
    nothing = jnp.zeros((count * places, 0))
    table = ClipTable(content, jnp.zeros((count * places, length, 0), jnp.int32), mask.reshape(-1, length), nothing)
    order = jnp.arange(count * places, dtype=jnp.int32).reshape(count, places)
    return Rows(table, order, jnp.asarray(label), jnp.zeros(count, jnp.int32), jnp.asarray(weight), jnp.asarray(holdout))


def raw_cuts(cuts: Any) -> jax.Array:
    """Ascending cut-points ``[..., n]`` as unbounded numbers: the first, and the inverse softplus of each gap."""
    found = np.asarray(cuts, np.float64)
    gaps = np.maximum(np.diff(found, axis=-1), 1e-3)
    return jnp.asarray(np.concatenate([found[..., :1], np.log(np.expm1(gaps))], axis=-1), jnp.float32)


def ascending(raw: jax.Array) -> jax.Array:
    """Cut-points ``[..., n]`` from what `raw_cuts` gives."""
    return jnp.cumsum(jnp.concatenate([raw[..., :1], jax.nn.softplus(raw[..., 1:])], axis=-1), axis=-1)
