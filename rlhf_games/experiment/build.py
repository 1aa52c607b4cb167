"""From an experiment file to a loop that is ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_games import workspace
from rlhf_games.core.agent import Agent, Rollout, shared_memory
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame, Game, GameSpec
from rlhf_games.core.keys import stream_key
from rlhf_games.core.streams import Stream
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.trainer import DeviceTrainer, Trainer
from rlhf_games.feedback.store import Store
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams


class Bench:
    """Game, agent, trainer and reward networks: what arms of a comparison share, so that programs are compiled once."""

    def __init__(self, experiment: Experiment) -> None:
        """Loads the game and the agent that the experiment names.

        Raises:
          UserError: there is no such game or agent, an option is unknown, or settings do not fit each other.
        """
        self._compiled = _compiled(experiment)
        self.game: Game = workspace.load_game(experiment.game.name, experiment.game.options)
        self.agent = workspace.load_agent(experiment.agent.name, experiment.agent.config)
        self.ensemble = self._ensemble(experiment)
        try:
            check_donation(self.agent, self.game)
            check_agent_fits(self.agent, self.game.spec, experiment.rollout.games, experiment.rollout.steps)
        except ValueError as error:
            problem = f"agent {experiment.agent.name} cannot learn {experiment.game.name} with these settings: {error}"
            raise UserError(f"{problem} (see agent.config and rollout)") from error
        self.trainer: Trainer = self._trainer(experiment)

    def _trainer(self, experiment: Experiment) -> Trainer:
        r, hidden = experiment.rollout, experiment.episode_ends == "hidden"
        if isinstance(self.game, DeviceGame):
            return DeviceTrainer(self.game, self.agent, self.ensemble, games=r.games, steps=r.steps, hide_ends=hidden)
        from rlhf_games.experiment.host_trainer import HostTrainer

        trainer: Any = HostTrainer(self.game, self.agent, self.ensemble, games=r.games, steps=r.steps, hide_ends=hidden)
        return trainer  # type: ignore[no-any-return]

    def _ensemble(self, experiment: Experiment) -> RewardEnsemble:
        try:
            return RewardEnsemble.build(self.game.spec, experiment.model.network, experiment.model.members)
        except ValueError as error:
            raise UserError(f"{experiment.game.name}: model.network: {error}") from error

    def model(self, experiment: Experiment) -> RewardParams:
        """A fresh reward model for the experiment's seed."""
        return self.ensemble.initial(stream_key(Stream.REWARD_MODEL, experiment.seed))

    def fits(self, experiment: Experiment) -> bool:
        """Whether the experiment differs from the first one in nothing that is compiled."""
        return _compiled(experiment) == self._compiled

    def loop(self, experiment: Experiment, store: Store | str | Path, *, resumed: bool = False) -> FeedbackLoop:
        """A run of an experiment that differs from the first one in nothing that is compiled (seed, reward, feedback, ...).

        Args:
          experiment: its ``name`` is the session under which it asks and reads answers.
          store: for its questions and answers; a path is opened, and made where there is none.
          resumed: the session's questions that the store holds are this run's own, which goes on (`FeedbackLoop.restore`).

        Raises:
          ValueError: it does differ; such an experiment needs a bench of its own.
          UserError: nothing is resumed, and the store holds questions of that session already.
        """
        if not self.fits(experiment):
            raise ValueError(f"{experiment.name!r} has another game, agent, rollout, episode ends or reward network than this bench")
        opened = store if isinstance(store, Store) else Store.open(store)
        session = opened.session or experiment.name
        if not resumed and (asked := opened.query_ids(session=session)):
            if opened is not store:
                opened.close()
            raise _used(opened.name, session, len(asked))
        return FeedbackLoop(experiment, self.trainer, self.ensemble, self.model(experiment), self.game, opened)


def _used(store: str, session: str, questions: int) -> UserError:
    """A run that begins must not learn from the answers that an earlier one got later on."""
    cure = "give the experiment another name or name another store; a run that is to go on is resumed (rlhf-games resume RUN)"
    return UserError(
        f"{store} holds {questions} questions of a session {session!r} already, whose answers a new run would learn from: {cure}"
    )


def _compiled(experiment: Experiment) -> tuple[Any, ...]:
    """The settings that a bench is built from."""
    e = experiment
    return (e.game, e.agent, e.rollout, e.episode_ends, e.model.members, e.model.network)


def check_donation(agent: Agent, game: Game) -> None:
    """Looks, without computing anything, for arrays that occur twice in a fresh state of the agent.

    On device games ``init`` is compiled, and compiled programs return no array twice.

    Raises:
      ValueError: there are some, and the game is a host game.
    """
    if isinstance(game, DeviceGame):
        return
    found: list[str] = []
    jax.eval_shape(lambda key: found.append(shared_memory(agent.init(key, game.spec))), jax.random.key(0))
    if found[0]:
        raise ValueError(found[0])


def check_agent_fits(agent: Agent, spec: GameSpec, games: int, steps: int) -> None:
    """Traces one update of the agent on a rollout of these shapes, without computing anything.

    Raises:
      ValueError: from the agent, where settings do not fit the game or each other; found now and not after a run has begun.
    """

    def update(key: jax.Array) -> Any:
        state = agent.init(key, spec)
        batch, mask = (steps, games, spec.players), jnp.ones((steps * games * spec.players, spec.actions.n), bool)
        seen = jnp.zeros((mask.shape[0], *spec.observation.shape), spec.observation.dtype)
        chosen = agent.act(agent.params(state), seen, key, mask)
        zeros, never = jnp.zeros(batch), jnp.zeros(batch[:2], bool)

        def split(leaf: jax.Array) -> jax.Array:
            return leaf.reshape(*batch, *leaf.shape[1:])

        rollout = Rollout(
            split(seen), split(chosen.action), zeros, never, never, split(mask), zeros == 0.0, jax.tree.map(split, chosen.extras), zeros,
            split(seen)[0], zeros != 0.0, zeros != 0.0,
        )  # fmt: skip
        return agent.update(state, rollout, key, jnp.float32(0.0))

    jax.eval_shape(update, jax.random.key(0))
