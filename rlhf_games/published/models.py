"""A published policy and reward model, ready to be asked. JAX is imported at the first question, so ask in a thread of its own.

Shapes: ``B`` seats (or transitions), ``A`` actions, ``M`` ensemble members. Arrays go in and come out as NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.published.container import About, Leaves

if TYPE_CHECKING:
    import jax

    from rlhf_games.core.agent import Agent, Explanation, PyTree
    from rlhf_games.core.game import Game
    from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
    from rlhf_games.rollout.device import Transition

_ROWS = 256
"""Rows that are computed at once, at most. Fewer are padded to a power of two, so that few programs are compiled."""


class Built(NamedTuple):
    """Game, agent and reward networks, and their compiled programs."""

    game: Game
    agent: Agent
    ensemble: RewardEnsemble
    agent_form: PyTree
    reward_form: RewardParams
    act: Any
    explain: Any
    reward: Any


class Programs:
    """Everything that does not change from one publication of a run to the next: compiled once for each shape."""

    def __init__(self, about: About) -> None:
        self._about, self._lock = about, Lock()
        self._built: Built | None = None

    @property
    def built(self) -> Built:
        """Loads the game and the agent at first use.

        Raises:
          UserError: no workspace has them, or they do not take these options any more.
        """
        with self._lock:
            if self._built is None:
                self._built = _build(self._about)
            return self._built


def _build(about: About) -> Built:
    import jax

    from rlhf_games import workspace
    from rlhf_games.config import from_mapping
    from rlhf_games.reward.ensemble import RewardEnsemble
    from rlhf_games.reward.networks import NetworkConfig

    game = workspace.load_game(about.game, about.game_options)
    agent = workspace.load_agent(about.agent, about.agent_config)
    config = from_mapping(NetworkConfig, about.network, f"the reward network that {about.run} published")
    ensemble = RewardEnsemble.build(game.spec, config, about.members)

    def reward(params: RewardParams, transition: Transition) -> jax.Array:
        return ensemble.normalised(params, ensemble.encode(transition))

    key = jax.random.key(0)
    try:
        agent_form = jax.eval_shape(lambda key: agent.params(agent.init(key, game.spec)), key)  # also tells the agent what game it is for
        reward_form = jax.eval_shape(ensemble.initial, key)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:  # sizes that no array has
        raise UserError(f"what {about.run} published cannot be built ({type(error).__name__}: {str(error)[:200]}): {_CURE}") from error
    return Built(
        game,
        agent,
        ensemble,
        agent_form,
        reward_form,
        jax.jit(agent.act),
        jax.jit(agent.explain),
        jax.jit(reward),
    )


class Publication:
    """One published policy with its reward model. May be used from several threads."""

    def __init__(self, about: About, programs: Programs, trees: Mapping[str, Leaves], where: str) -> None:
        """``where``: what messages call it; see `PublishedRun.poll`."""
        self.about = about
        self._programs, self._trees, self._where = programs, trees, where

    @property
    def game(self) -> Game:
        """The run's game, with the run's options."""
        return self._programs.built.game

    @property
    def agent(self) -> Agent:
        """The agent; its parameters are ``agent_params``."""
        return self._programs.built.agent

    @property
    def ensemble(self) -> RewardEnsemble:
        """The reward networks; their parameters are ``reward_params``."""
        return self._programs.built.ensemble

    @cached_property
    def agent_params(self) -> PyTree:
        """What ``Agent.act`` and ``Agent.explain`` need. Raises ``UserError`` where another version of the agent saved them."""
        return self._tree("agent", self._programs.built.agent_form)

    @cached_property
    def reward_params(self) -> RewardParams:
        """What the ensemble needs. Raises ``UserError`` where another version saved it."""
        params: RewardParams = self._tree("reward", self._programs.built.reward_form)
        return params

    def policy(self, observation: NDArray[Any], key: jax.Array, legal: NDArray[np.bool_]) -> NDArray[Any]:
        """Samples an action for each seat.

        Args:
          observation: ``[B, ...]``, as the game gives it.
          key: is consumed (``rlhf_games.core.keys.step_key`` makes one of a seed and a time).
          legal: ``[B, A]``.

        Returns:
          ``[B, ...]`` legal actions.
        """
        chosen = self._programs.built.act(self.agent_params, observation, key, legal)
        return np.asarray(chosen.action)

    def explain(self, observation: NDArray[Any], legal: NDArray[np.bool_]) -> Explanation:
        """What the policy thinks: ``probabilities[B, A]`` and ``value[B]`` (NumPy) of ``observation[B, ...]`` with ``legal[B, A]``."""
        built, params = self._programs.built, self.agent_params
        explained: Explanation = _in_parts(lambda rows: built.explain(params, *rows), (observation, legal), rows_last=False)
        return explained

    def reward(self, transition: Transition) -> NDArray[np.float32]:
        """``[M, B]`` what each member of the ensemble pays for transitions with leaves ``[B, ...]``; the learner is paid their mean.

        Where ``about.trusted`` is False the learner is not paid by it yet.
        """
        built, params = self._programs.built, self.reward_params
        paid: NDArray[np.float32] = _in_parts(lambda rows: built.reward(params, rows), transition, rows_last=True)
        return paid

    def _tree(self, name: str, form: PyTree) -> Any:
        from rlhf_games.published.leaves import flatten, unflatten

        tree = self._trees.get(name)
        if tree is None or tree.paths != flatten(form)[0]:
            raise UserError(f"{self._where} was published by another version of {self.about.agent} or of rlhf-games: {_CURE}")
        return unflatten(form, tree.arrays, self._where, _CURE)


_CURE = "use the version that the run was made with, or run it anew"


def _in_parts(ask: Any, rows: Any, *, rows_last: bool) -> Any:
    """``ask`` about at most ``_ROWS`` rows at a time, padded with their last one; leaves come back joined, as NumPy."""
    import jax

    count = len(jax.tree.leaves(rows)[0])
    axis = 1 if rows_last else 0
    parts = []
    for start in range(0, count, _ROWS):
        size = min(_ROWS, count - start)
        places = np.minimum(np.arange(1 << (size - 1).bit_length()), size - 1) + start
        answer = ask(jax.tree.map(lambda leaf: np.asarray(leaf)[places], rows))  # noqa: B023 - used at once
        parts.append(jax.tree.map(lambda leaf: np.asarray(leaf).take(np.arange(size), axis), answer))  # noqa: B023
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *parts)
