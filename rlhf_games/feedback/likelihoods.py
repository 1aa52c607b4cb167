"""How likely an answer is, given what the clips are worth: one pure function per kind of answer (reward-rational choice).

Reward-rational choice: Jeon, Milli & Dragan 2020, arXiv 2002.04833.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

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
