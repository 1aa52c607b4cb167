"""Proximal policy optimisation: an actor-critic learner for every game with discrete, multi-discrete or box actions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from rlhf_games.core.agent import Action, Explanation, Lessons, PyTree, Rollout
from rlhf_games.core.game import GameSpec
from rlhf_games.core.promotion import third_party
from rlhf_games.learning.accumulation import summed_gradient
from rlhf_games.learning.distributions import Head, head_for
from rlhf_games.learning.networks import WIDEST
from rlhf_games.learning.products import Precision
from rlhf_games.learning.returns import rollout_advantages
from rlhf_games.learning.shuffle import shuffled

from .imitation import Bounds, cloned
from .losses import Batch, Losses, ppo_losses, weighted_mean
from .networks import ActorCritic


@dataclass(frozen=True)
class Config:
    """How PPO learns. Defaults suit MinAtar; README.md says what differs for Atari."""

    learning_rate: float = 1e-3
    """Adam's step size at the start."""
    anneal: bool = True
    """Bring the learning rate linearly to 0 over the budget."""
    adam_epsilon: float = 1e-5
    """Adam's ε."""
    discount: float = 0.99
    """γ in [0, 1]."""
    trace: float = 0.95
    """λ of generalised advantage estimation, in [0, 1]."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatches: int = 8
    """Gradient steps per pass; must divide steps × games × players."""
    clip: float = 0.2
    """ε of the clipped ratio."""
    value_clip: float = 0.0
    """How far a value may move from its old prediction before its gradient stops; 0 is off."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    entropy_weight: float = 0.01
    """Weight of the entropy bonus."""
    max_gradient_norm: float = 0.5
    """The gradient is scaled down to this global norm."""
    normalise_advantage: bool = True
    """Give each minibatch's advantages mean 0 and standard deviation 1."""
    network: Literal["auto", "mlp", "cnn"] = "auto"
    """``auto``: convolutions for pixels, dense layers for everything else."""
    hidden: tuple[int, ...] = (64, 64)
    """Sizes of the dense layers (of the one after the convolutions, for pixels: the last entry)."""
    activation: Literal["relu", "tanh", "leaky_relu"] = "relu"
    """Activation of dense layers."""
    shared: bool = True
    """One body for policy and value (faster) or two."""
    precision: Precision = "float32"
    """Of products in convolutions over pixels: ``bfloat16`` rounds their factors and sums in float32, faster where the processor can."""
    microbatch: int = 0
    """Rows per gradient accumulation step, a divisor of a minibatch's rows; 0: whole minibatches (up to 32 rows for convolutions over
    pixels on CPU, where XLA is fastest so)."""

    imitation_steps: int = 64
    """Gradient steps of behavioural cloning in one iteration, at most: few shown actions take few steps."""
    imitation_batch: int = 64
    """Shown actions per such step, drawn with replacement."""
    imitation_kl: float = 0.1
    """How far imitation may move the policy in one iteration: KL(before ‖ after) in nats, averaged over shown states."""

    def __post_init__(self) -> None:
        positive = ("learning_rate", "epochs", "minibatches", "clip", "max_gradient_norm")
        for name in (*positive, "imitation_steps", "imitation_batch", "imitation_kl"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.epochs > WIDEST:
            raise ValueError(f"epochs must be at most {WIDEST}, got {self.epochs}")
        for name in ("discount", "trace"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("adam_epsilon", "value_clip", "value_weight", "entropy_weight", "microbatch"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.hidden or not 1 <= min(self.hidden) <= max(self.hidden) <= WIDEST:
            raise ValueError(f"hidden must name at least one layer size, all positive and at most {WIDEST}, got {self.hidden}")


METRICS = {
    "loss/policy": "Clipped surrogate objective, negated (eq. 7 of the paper).",
    "loss/value": "Half the mean squared error of the value.",
    "loss/entropy": "Entropy of the policy in nats; 0 is a policy that always does the same.",
    "loss/kl": "Estimate of KL(old ‖ new) in nats: how far the policy moved in its update.",
    "loss/clipped": "Share of rows whose probability ratio lies outside of the clip range.",
    "value/explained_variance": "How well the values foretold the returns: 1 perfectly, 0 no better than their mean.",
    "value/mean": "Mean predicted value, in the units of the paid reward.",
    "imitation/steps": "Gradient steps of imitation in the iteration.",
    "imitation/kl": "KL divergence in nats of the policy after imitation from that before it, on shown steps (imitation_kl limits it).",
    "imitation/loss": "Cross-entropy (nats) of the actions that people showed, after the last step of imitation.",
}
"""What the metrics of ``update`` and ``imitate`` mean, for reports."""


class State(NamedTuple):
    """The learner: network parameters and the optimiser's state."""

    params: PyTree
    optimiser: PyTree


class Extras(NamedTuple):
    """What acting leaves for learning, leaves ``[B, ...]``."""

    raw: jax.Array
    log_prob: jax.Array
    value: jax.Array


@dataclass(eq=False)
class PPO:
    """The agent. Stateless but for what it knows of the game after ``init``."""

    config: Config
    _graph: Any = field(default=None, repr=False)
    _head: Head | None = field(default=None, repr=False)
    _pixels: bool = field(default=False, repr=False)

    def bind(self, spec: GameSpec) -> None:
        """Learns the shape of the game: enough to act with parameters from elsewhere. ``init`` calls it."""
        self._head = head_for(spec.actions)
        self._pixels = spec.observation.layout == "image" and self.config.network != "mlp"
        self._graph, _ = nnx.split(nnx.eval_shape(lambda: self._network(spec, jax.random.key(0))))

    def _network(self, spec: GameSpec, key: jax.Array) -> ActorCritic:
        c = self.config
        return ActorCritic(spec.observation, self.head.size, c.network, c.hidden, c.activation, c.shared, c.precision, rngs=nnx.Rngs(key))

    @property
    def head(self) -> Head:
        """How network outputs become actions."""
        if self._head is None:
            raise RuntimeError("call init(key, spec) or bind(spec) before anything else")
        return self._head

    def init(self, key: jax.Array, spec: GameSpec) -> State:
        """A fresh learner; the key is consumed."""
        self.bind(spec)
        _, params = nnx.split(self._network(spec, key))
        return State(params, self._optimiser().init(params))

    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        return optax.chain(optax.clip_by_global_norm(c.max_gradient_norm), optax.scale_by_adam(eps=c.adam_epsilon))

    def params(self, state: State) -> PyTree:
        """The network's parameters."""
        return state.params

    def _merged(self, params: PyTree) -> ActorCritic:
        if self._graph is None:
            raise RuntimeError("call init(key, spec) or bind(spec) before anything else")
        network: ActorCritic = nnx.merge(self._graph, params)
        return network

    def _outputs(self, params: PyTree, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        network = self._merged(params)
        return network(network.inputs(observation))

    def act(self, params: PyTree, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        """Samples from the policy."""
        outputs, value = self._outputs(params, observation)
        sample = self.head.sample(outputs, legal_action_mask, key)
        log_prob = self.head.log_prob(outputs, legal_action_mask, sample.raw)
        return Action(sample.action, Extras(sample.raw, log_prob, value))

    def value(self, params: PyTree, observation: jax.Array) -> jax.Array:
        """``[B]``."""
        return self._outputs(params, observation)[1]

    def explain(self, params: PyTree, observation: jax.Array, legal_action_mask: jax.Array) -> Explanation:
        """Probabilities and value."""
        outputs, value = self._outputs(params, observation)
        return Explanation(self.head.probabilities(outputs, legal_action_mask), value)

    def update(self, state: State, rollout: Rollout, key: jax.Array, progress: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        """``epochs`` passes of clipped policy-gradient steps over the rollout."""
        batch, inputs = self._batch(state.params, rollout)
        learning_rate = self._learning_rate(progress)

        def epoch(state: State, key: jax.Array) -> tuple[State, Losses]:
            return jax.lax.scan(lambda s, b: self._step(s, b, inputs, learning_rate), state, shuffled(batch, key, self.config.minibatches))

        state, losses = jax.lax.scan(epoch, state, jax.random.split(key, self.config.epochs))
        means = jax.tree.map(jnp.mean, losses)
        metrics = {f"loss/{name}": getattr(means, name) for name in ("policy", "value", "entropy", "kl", "clipped")}
        return state, metrics | _value_metrics(batch)

    def imitate(self, state: State, lessons: Lessons, key: jax.Array, progress: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        """Behavioural cloning within bounds, at the learning rate of the schedule; see `cloned`.

        It starts with the squared gradients that the optimiser knows from reinforcement learning and with no momentum, so that its first
        steps are short, and no weight moves further in a step than the learning rate. The optimiser itself is left alone, and so is the
        critic, but for a shared body.
        """
        c = self.config

        def descend(student: State, gradient: PyTree, rate: jax.Array) -> State:
            with third_party():
                direction, optimiser = self._optimiser().update(gradient, student.optimiser)
            moved = jax.tree.map(lambda p, d: p - rate * jnp.clip(d, -1.0, 1.0), student.params, direction)
            return State(moved, optimiser)

        clipping, adam = state.optimiser
        student = State(state.params, (clipping, adam._replace(mu=jax.tree.map(jnp.zeros_like, adam.mu))))
        bounds = Bounds(self._learning_rate(progress), c.imitation_steps, c.imitation_batch, c.imitation_kl)
        student, metrics = cloned(
            student, lessons, key, bounds, head=self.head, outputs=lambda *seen: self._outputs(*seen)[0], descend=descend
        )
        return state._replace(params=student.params), metrics

    def _learning_rate(self, progress: jax.Array) -> jax.Array:
        """``[]``: annealed along the budget, where that is wanted."""
        return self.config.learning_rate * (1.0 - progress if self.config.anneal else jnp.float32(1.0))

    def _descend(self, state: State, gradient: PyTree, learning_rate: jax.Array) -> State:
        """One step of the optimiser."""
        with third_party():
            direction, optimiser = self._optimiser().update(gradient, state.optimiser)
        return State(jax.tree.map(lambda p, d: p - learning_rate * d, state.params, direction), optimiser)

    def _batch(self, params: PyTree, rollout: Rollout) -> tuple[Batch, jax.Array]:
        """Flattens ``[T, N, P]`` to rows and adds advantages; also what the network reads of each row's observation."""
        seats = rollout.last_observation.shape[:2]
        last = self.value(params, rollout.last_observation.reshape(-1, *rollout.last_observation.shape[2:])).reshape(seats)
        advantages = rollout_advantages(rollout, rollout.extras.value, last, discount=self.config.discount, trace=self.config.trace)
        row = jnp.arange(rollout.reward.size, dtype=jnp.int32).reshape(rollout.reward.shape)
        rows = Batch(
            row, rollout.extras.raw, rollout.legal_action_mask, rollout.extras.log_prob, rollout.extras.value,
            advantages.advantage, advantages.target, advantages.counts.astype(jnp.float32),
        )  # fmt: skip
        flat: tuple[Batch, jax.Array] = jax.tree.map(lambda x: x.reshape(math.prod(x.shape[:3]), *x.shape[3:]), (rows, rollout.observation))
        return flat[0], self._merged(params).inputs(flat[1])

    def _step(self, state: State, batch: Batch, inputs: jax.Array, learning_rate: jax.Array) -> tuple[State, Losses]:
        """One gradient step on one minibatch."""
        total = jnp.maximum(jnp.sum(batch.weight), 1.0)
        if self.config.normalise_advantage:
            mean = jnp.sum(batch.advantage * batch.weight) / total
            deviation = jnp.sqrt(jnp.sum(jnp.square(batch.advantage - mean) * batch.weight) / total)
            batch = batch._replace(advantage=(batch.advantage - mean) / (deviation + 1e-8))
        gradient, losses = self._gradient(state.params, batch, inputs, total)
        return self._descend(state, gradient, learning_rate), losses

    def _gradient(self, params: PyTree, batch: Batch, inputs: jax.Array, total: jax.Array) -> tuple[PyTree, Losses]:
        """The minibatch's gradient, accumulated over micro-batches where that is faster."""

        def loss(params: PyTree, part: Batch) -> tuple[jax.Array, Losses]:
            return self._loss(params, part, inputs[part.row], total)

        rows = batch.weight.shape[0]
        size = self._microbatch(rows)
        if size == rows:
            whole: tuple[PyTree, Losses] = jax.grad(loss, has_aux=True)(params, batch)
            return whole
        return summed_gradient(loss, params, jax.tree.map(lambda x: x.reshape(rows // size, size, *x.shape[1:]), batch), size)

    def _microbatch(self, rows: int) -> int:
        """Rows to differentiate at once out of a minibatch's ``rows``."""
        if self.config.microbatch:
            if self.config.microbatch < rows and rows % self.config.microbatch:
                raise ValueError(f"a microbatch of {self.config.microbatch} rows does not divide a minibatch of {rows}; change one of them")
            return min(self.config.microbatch, rows)
        if self._pixels and jax.default_backend() == "cpu":
            return next((size for size in range(32, 7, -1) if rows % size == 0), rows)
        return rows

    def _loss(self, params: PyTree, batch: Batch, inputs: jax.Array, total: jax.Array) -> tuple[jax.Array, Losses]:
        c = self.config
        outputs, value = self._merged(params)(inputs)
        losses = ppo_losses(
            self.head.log_prob(outputs, batch.legal, batch.raw), self.head.entropy(outputs, batch.legal), value, batch, total,
            clip=c.clip, value_clip=c.value_clip, value_weight=c.value_weight, entropy_weight=c.entropy_weight,
        )  # fmt: skip
        return losses.total, losses


def _value_metrics(batch: Batch) -> dict[str, jax.Array]:
    """How well the values that acted foretold the targets, over the rows in which a seat acted."""
    total = jnp.maximum(jnp.sum(batch.weight), 1.0)

    def variance(x: jax.Array) -> jax.Array:
        return weighted_mean(jnp.square(x - weighted_mean(x, batch.weight, total)), batch.weight, total)

    explained = 1.0 - variance(batch.target - batch.value) / (variance(batch.target) + 1e-8)
    return {"value/explained_variance": explained, "value/mean": weighted_mean(batch.value, batch.weight, total)}


def make(config: Config) -> PPO:
    """Builds the agent."""
    return PPO(config)
