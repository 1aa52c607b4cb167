"""From an experiment file to a loop that is ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from rlhf_games import workspace
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame, Game
from rlhf_games.experiment.loop import FeedbackLoop
from rlhf_games.experiment.spec import Experiment
from rlhf_games.experiment.trainer import DeviceTrainer, Trainer
from rlhf_games.feedback.store import Store
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams

_MODEL_KEY = 2
"""Folded into the run's seed for the reward model's first weights."""


class Bench:
    """Game, agent, trainer and reward networks: what arms of a comparison share, so that programs are compiled once."""

    def __init__(self, experiment: Experiment) -> None:
        """Loads the game and the agent that the experiment names.

        Raises:
          UserError: there is no such game or agent, an option is unknown, or settings do not fit each other.
        """
        self.game: Game = workspace.load_game(experiment.game.name, experiment.game.options)
        self.agent = workspace.load_agent(experiment.agent.name, experiment.agent.config)
        self.ensemble, _ = self.model(experiment)
        self.trainer: Trainer = self._trainer(experiment)

    def _trainer(self, experiment: Experiment) -> Trainer:
        r, hidden = experiment.rollout, experiment.episode_ends == "hidden"
        if isinstance(self.game, DeviceGame):
            return DeviceTrainer(self.game, self.agent, self.ensemble, games=r.games, steps=r.steps, hide_ends=hidden)
        from rlhf_games.experiment.host_trainer import HostTrainer

        trainer: Any = HostTrainer(self.game, self.agent, self.ensemble, games=r.games, steps=r.steps, hide_ends=hidden)
        return trainer  # type: ignore[no-any-return]

    def model(self, experiment: Experiment) -> tuple[RewardEnsemble, RewardParams]:
        """A fresh reward model for the experiment's seed."""
        key = jax.random.fold_in(jax.random.key(experiment.seed), _MODEL_KEY)
        try:
            return RewardEnsemble.create(self.game.spec, experiment.model.network, experiment.model.members, key)
        except ValueError as error:
            raise UserError(f"{experiment.game.name}: model.network: {error}") from error

    def loop(self, experiment: Experiment, store: Store | str | Path) -> FeedbackLoop:
        """A run of an experiment that differs from the first one in nothing that is compiled (seed, reward, feedback, ...)."""
        _, params = self.model(experiment)
        opened = store if isinstance(store, Store) else Store.open(store)
        return FeedbackLoop(experiment, self.trainer, self.ensemble, params, self.game, opened)
