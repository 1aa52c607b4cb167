"""How likely an answer is, given what the clips are worth: one pure function per kind of answer (reward-rational choice).

Reward-rational choice: Jeon, Milli & Dragan 2020, arXiv 2002.04833. All are in the same units: a clip's return is the sum of rewards
along it, and a difference of 1 makes the better one of two clips ``e`` times as likely to be called better as the other.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

FIRST, SECOND, TIE = 0, 1, 2
"""Labels of a comparison."""


def preference_log_prob(difference: jax.Array, label: jax.Array, tie_margin: jax.Array, noise: float) -> jax.Array:
    """Log-probability of comparison answers: Bradley–Terry with a tie margin and uniform errors.

    ``P(first) = σ(d - δ)``, ``P(second) = σ(-d - δ)`` and ``P(tie) = (e^{2δ} - 1) P(first) P(second)`` sum to 1 (Rao & Kupper 1967; the
    "weak comparison" of Bıyık et al. 2019); as the margin ``δ`` goes to 0, ties vanish and Bradley–Terry's ``σ(d)`` remains. Errors are
    ``(1 - ε) P + ε/3``: the mixture of Christiano et al. 2017, section 2.2.3, over three answers instead of two.

    Args:
      difference: ``[...]`` float32, the sum of rewards along the first clip minus that along the second.
      label: ``[...]`` int32: ``FIRST``, ``SECOND`` or ``TIE``.
      tie_margin: ``[...]`` float32 > 0, broadcastable to ``difference``: half the width of the region of indifference.
      noise: ε in [0, 1): share of answers that are drawn uniformly out of the three.

    Returns:
      ``[...]`` float32, at most 0.
    """
    first = jax.nn.log_sigmoid(difference - tie_margin)
    second = jax.nn.log_sigmoid(-difference - tie_margin)
    tie = 2.0 * tie_margin + jnp.log(-jnp.expm1(-2.0 * tie_margin)) + first + second  # log(e^{2δ} - 1) without overflow
    chosen = jnp.where(label == FIRST, first, jnp.where(label == SECOND, second, tie))
    if noise == 0.0:
        return chosen
    return jnp.logaddexp(chosen + jnp.log1p(-noise), jnp.full_like(chosen, jnp.log(noise / 3.0)))


def first_probability(difference: jax.Array) -> jax.Array:
    """``[...]`` probability in [0, 1] that the first clip is better, ties and errors left aside: ``σ(d)``."""
    return jax.nn.sigmoid(difference)


def ranking_log_prob(returns: jax.Array, ranks: jax.Array, tie_margin: jax.Array, noise: float) -> jax.Array:
    """Log-probability of rankings with ties: Plackett–Luce in the extension of Davidson and Luce, and uniform errors.

    A ranking is made from the top: out of the clips that are left, the set ``S`` that shares the best rank is chosen with probability
    proportional to ``ν^(|S| - 1) (∏_S exp R)^(1 / |S|)`` (Firth, Kosmidis & Turner 2019, arXiv 1909.07123; Davidson 1970 for pairs), here
    with one parameter for ties of any size. ``ν = e^δ - 1`` for the tie margin ``δ`` of `preference_log_prob`: two clips worth the same tie
    with the same probability in both models. Without ties (``ν`` → 0) it is Plackett–Luce. Errors are ``(1 - ε) P + ε / n``, with ``n`` the
    number of rankings with ties of so many clips (3, 13, 75, 541, 4683 for 2 to 6).

    Args:
      returns: ``[..., W]`` float32 sums of rewards along the clips.
      ranks: ``[..., W]`` int32: 0 best, equal numbers for a tie, no number left out; -1 at places without a clip.
      tie_margin: ``[...]`` float32 > 0, broadcastable to the answers.
      noise: ε in [0, 1).

    Returns:
      ``[...]`` float32, at most 0.
    """
    width = returns.shape[-1]
    sets = jnp.asarray(_subsets(width))  # [sets, W]
    sizes = jnp.sum(sets, axis=-1)
    lead = (1,) * (returns.ndim - 1)
    mean = jnp.einsum("...w,sw->...s", returns, sets / sizes[:, None])
    tied = jnp.log(jnp.expm1(tie_margin))[..., None] * (sizes - 1.0).reshape(*lead, -1)
    weight = mean + tied  # [..., sets]
    total = jnp.zeros_like(mean[..., 0])
    for rank in range(width):
        left, best = (ranks >= rank).astype(jnp.float32), (ranks == rank).astype(jnp.float32)
        outside = jnp.einsum("...w,sw->...s", 1.0 - left, sets) > 0
        every = jax.nn.logsumexp(jnp.where(outside, -jnp.inf, weight), axis=-1, where=~outside)
        count = jnp.sum(best, axis=-1)
        chosen = jnp.sum(best * returns, axis=-1) / jnp.maximum(count, 1.0) + jnp.log(jnp.expm1(tie_margin)) * (count - 1.0)
        total = total + jnp.where(count > 0, chosen - jnp.where(count > 0, every, 0.0), 0.0)
    if noise == 0.0:
        return total
    every_count = np.array([rankings(clips) for clips in range(width + 1)], np.float32)
    clips = jnp.sum((ranks >= 0).astype(jnp.int32), axis=-1)
    return jnp.logaddexp(total + jnp.log1p(-noise), jnp.log(noise / jnp.asarray(every_count)[clips]))


def rating_log_prob(clip_return: jax.Array, stars: jax.Array, cuts: jax.Array, noise: float) -> jax.Array:
    """Log-probability of ratings: the ordinal logit (proportional odds, McCullagh 1980), and uniform errors.

    ``P(stars ≤ k) = σ(c_k - R)`` with the annotator's cut-points ``c_1 < ... < c_{n-1}``; errors are ``(1 - ε) P + ε / n``.

    Args:
      clip_return: ``[...]`` float32 sum of rewards along the clip.
      stars: ``[...]`` int32, 0 for the worst of ``n``.
      cuts: ``[..., n - 1]`` float32, ascending.
      noise: ε in [0, 1).

    Returns:
      ``[...]`` float32, at most 0.
    """
    levels = cuts.shape[-1] + 1
    gaps = cuts - clip_return[..., None]
    # log(σ(b) - σ(a)) for neighbours a < b, without cancellation; the lowest and the highest star are open to one side
    inner = jax.nn.log_sigmoid(gaps[..., 1:]) + jax.nn.log_sigmoid(-gaps[..., :-1]) + jnp.log(-jnp.expm1(gaps[..., :-1] - gaps[..., 1:]))
    low, high = jax.nn.log_sigmoid(gaps[..., :1]), jax.nn.log_sigmoid(-gaps[..., -1:])
    every = jnp.concatenate([low, inner, high], axis=-1)
    chosen = jnp.sum(jnp.where(stars[..., None] == jnp.arange(levels).reshape(*(1,) * stars.ndim, -1), every, 0.0), axis=-1)
    if noise == 0.0:
        return chosen
    return jnp.logaddexp(chosen + jnp.log1p(-noise), jnp.full_like(chosen, jnp.log(noise / levels)))


def evaluation_log_prob(credited: jax.Array, value: jax.Array, noise: float) -> jax.Array:
    """Log-probability of a live cheer or scolding, times its size: ``|v| log((1 - ε) σ(sign(v) H) + ε/2)``.

    ``H`` is the sum of rewards along the steps that the person can have meant, each weighted by its share of the blame
    (`rlhf_games.feedback.credit`), so a half-hearted ``v`` counts as half an answer.

    Args:
      credited: ``[...]`` float32, ``H``.
      value: ``[...]`` float32 in [-1, 1].
      noise: ε in [0, 1).

    Returns:
      ``[...]`` float32, at most 0; 0 where the value is 0.
    """
    chosen = jax.nn.log_sigmoid(jnp.sign(value) * credited)
    if noise > 0.0:
        chosen = jnp.logaddexp(chosen + jnp.log1p(-noise), jnp.full_like(chosen, jnp.log(noise / 2.0)))
    return jnp.abs(value) * chosen


@lru_cache(maxsize=8)
def _subsets(width: int) -> NDArray[np.float32]:
    """``[2^W - 1, W]``: every set of places, as 1 and 0."""
    places = [chosen for size in range(1, width + 1) for chosen in combinations(range(width), size)]
    return np.array([[float(place in chosen) for place in range(width)] for chosen in places], np.float32)


@lru_cache(maxsize=64)
def rankings(clips: int) -> int:
    """How many rankings with ties there are of so many clips (ordered Bell numbers)."""
    return 1 if clips == 0 else sum(math.comb(clips, best) * rankings(clips - best) for best in range(1, clips + 1))
