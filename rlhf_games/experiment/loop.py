"""The loop: play and learn on the learned reward, ask, take answers, refit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import NDArray

from rlhf_games.core.agent import PyTree
from rlhf_games.core.game import Game
from rlhf_games.core.keys import stream_key
from rlhf_games.core.streams import Stream
from rlhf_games.experiment.asking import Asker
from rlhf_games.experiment.episode_measures import measured_episodes
from rlhf_games.experiment.fitting import refit
from rlhf_games.experiment.imitation import LessonBook
from rlhf_games.experiment.measuring import measured
from rlhf_games.experiment.spec import Experiment, recorded_source, scripted_teacher
from rlhf_games.experiment.trainer import Recording, Trainer
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.panel import Panel, panel
from rlhf_games.feedback.recorded import RecordedTeacher
from rlhf_games.feedback.schedules import quota
from rlhf_games.feedback.store import Store
from rlhf_games.feedback.teachers import Teacher, clip_rewards
from rlhf_games.replay.clip import Clip
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.fit import FitState, initial_state
from rlhf_games.reward.sources import RewardState, reward_state

POLL_SECONDS = 0.2
"""How often a waiting loop looks for answers."""
_FIRST_ANSWERS = 5
"""While nothing is paid yet, mode ``async`` fits again after so many new answers."""


class LoopState(NamedTuple):
    """Everything that a checkpoint holds."""

    learner: PyTree
    model: FitState
    key: jax.Array


@dataclass(frozen=True)
class Progress:
    """What the loop tells whoever watches, after each iteration."""

    iteration: int
    steps: int
    """Steps the agent has learned from."""
    metrics: Mapping[str, float]
    seconds: float
    """Since the loop began (or went on)."""


Watcher = Callable[[Progress], None]


class FeedbackLoop:
    """One run of one experiment. Construct, then `run`; all state that matters is in ``state`` and in the store."""

    def __init__(
        self, experiment: Experiment, trainer: Trainer, ensemble: RewardEnsemble, model: RewardParams, game: Game, store: Store
    ) -> None:
        """A run that has not begun; see `build`."""
        self.experiment, self.trainer, self.ensemble, self.store = experiment, trainer, ensemble, store
        e = experiment
        self._blank = model
        self.session = store.session or experiment.name
        """Whose questions these are: in a store that runs share, each has a session of its own."""
        self.asker = Asker(experiment, game, ensemble, store)
        self.state = LoopState(trainer.start(e.seed, e.record.lanes), initial_state(model), stream_key(Stream.LOOP, e.seed))
        settings, length = e.model.fit, e.feedback.query.clip_length
        self.free = FreeStanding(store, game.spec, self.session, length, self.asker.reader.read)
        self.labels = LabelReader(store, session=self.session, free=self.free, asked=self.asker.questions.ids)
        self.lessons = LessonBook(store, self.asker.reader, e.feedback.imitation_draws) if e.feedback.imitate else None
        self.data = AnswerDataset(
            self.asker.reader, ensemble, length, e.model.members, e.seed, settings.holdout, settings.bootstrap, self.asker.episode_of
        )
        self.quotas = quota(e.feedback.schedule, e.feedback.budget, e.feedback.initial, e.iterations) if e.learns_from_people else []
        self._asked = 0
        self.teacher = self._teacher()
        self.iteration = 0
        self.steps = 0
        """Steps the agent has learned from: an iteration in which nothing was paid adds none."""
        self._annealed = 0.0
        self.trusted = False
        self._scored = (0.0, 0.0)
        """Of the game's own rewards so far; see `RewardState.scored`."""
        self._true_unit = e.reward.true_unit

    def _teacher(self) -> Teacher | Panel | RecordedTeacher | None:
        config = scripted_teacher(self.experiment.feedback, self.experiment.seed)
        if config is None or not self.experiment.learns_from_people:
            return self._recorded_teacher()
        length = self.experiment.feedback.query.clip_length

        def rewards(clips: Sequence[Clip]) -> list[NDArray[Any]]:
            return list(clip_rewards(self.asker.reader.read(clips, length)))

        name, wanted = f"teacher:{self.experiment.feedback.teacher}", self.experiment.feedback.wanted
        return panel(self.store, config, rewards, name, wanted, session=self.session)

    def _recorded_teacher(self) -> RecordedTeacher | None:
        source = recorded_source(self.experiment.feedback.teacher)
        return RecordedTeacher(self.store, source, self.session) if source and self.experiment.learns_from_people else None

    def run(self, watch: Watcher, until: Callable[[], bool] = lambda: False) -> bool:
        """Goes through the iterations that are left.

        Args:
          watch: is told after each iteration.
          until: asked between iterations and while waiting for people; True stops the loop there, cleanly.

        Returns:
          Whether all iterations were done.
        """
        began = time.monotonic()
        while self.iteration < self.experiment.iterations and not until():
            metrics = self.step(until)
            if metrics is None:
                return False
            watch(Progress(self.iteration, self.steps, metrics, time.monotonic() - began))
        return self.iteration >= self.experiment.iterations

    def step(self, until: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """One iteration; None where ``until`` said stop while waiting for answers (the iteration is then begun anew later)."""
        e, i = self.experiment, self.iteration
        times = {"record": time.monotonic()}
        recording = self._record(self.asker.rounds(self.quotas[i])) if e.learns_from_people else None
        metrics: dict[str, float] = {}
        if recording is not None:
            times["ask"] = time.monotonic()
            posted = self.asker.ask(self.quotas[i], i, self.state.model.params, self.policy_name)
            self._asked += len(posted)
            self.data.post(self.store.queries(posted))
            times["answers"] = time.monotonic()
            known = self._learn_from_answers(recording, until)
            if known is None:
                return None
            metrics |= known
        times["train"] = time.monotonic()
        annealed = self._annealed
        metrics |= self._imitate(annealed) | self._train()
        if i + 1 == e.iterations:  # what was shown meanwhile is imitated all the same, not with a rate that has come down to 0
            metrics |= self._imitate(annealed, new=True)
        times["end"] = time.monotonic()
        names = list(times)
        seconds = {f"seconds/{a}": times[b] - times[a] for a, b in pairwise(names)}
        if recording is not None:
            seconds["seconds/answers"] -= metrics["seconds/fit"]
        metrics |= seconds
        metrics |= {"answers": float(self.labels.answered), "labels": float(len(self.labels.labels))}
        if self.free.refused:
            metrics["refused"] = float(len(self.free.refused))
        if isinstance(self.teacher, RecordedTeacher):
            metrics["unmatched"] = float(self.teacher.unmatched)
        self.iteration += 1
        return metrics

    def checkpoint(self) -> tuple[LoopState, dict[str, Any]]:
        """Everything needed to go on later: arrays, and JSON values beside them. Only between iterations."""
        extra = {
            "iteration": self.iteration,
            "steps": self.steps,
            "annealed": self._annealed,
            "trusted": self.trusted,
            "asked": self._asked,
            "asker": self.asker.state(self.policy_name) if self.experiment.learns_from_people else None,
            "trainer": self.trainer.extra_state(self.state.learner),
            "scored": list(self._scored),
            "true_unit": self._true_unit,
            "imitated": self.lessons.state() if self.lessons is not None else {},
        }
        return self.state, extra

    def restore(self, state: LoopState, extra: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint of the same experiment; answers are read again from the store."""
        self.state = state
        self.iteration, self.trusted, self._asked = extra["iteration"], extra["trusted"], extra["asked"]
        # Checkpoints of earlier versions do not say: those counted every iteration.
        self.steps = extra.get("steps", self.iteration * self.experiment.steps_per_iteration)
        self._annealed = extra.get("annealed", self.iteration / self.experiment.iterations)
        self.trainer.restore_extra(state.learner, extra["trainer"])
        self._scored = tuple(extra.get("scored", (0.0, 0.0)))
        # Runs of revision cd37529 were paid in points, which they say nowhere, and go on so.
        self._true_unit = extra.get("true_unit", self._true_unit if "scored" in extra else "point")
        if self.lessons is not None:
            self.lessons.restore(extra.get("imitated", {}))  # runs of revision cd37529 did not count
        if extra["asker"] is not None:
            self.data.post(self.asker.restore(extra["asker"], self.iteration))
            self.labels.poll()  # also where nothing is left to do but to say how many there were

    @property
    def policy_name(self) -> str:
        """Name of the present policy."""
        return f"{self.session}/{self.iteration}"

    def _record(self, rounds: int) -> Recording:
        """Lets the recorder's games go on; returns the last recording."""
        for _ in range(rounds):
            learner, recording = self.trainer.record(self.state.learner, self._reward(), steps=self.experiment.record.steps)
            self.state = self.state._replace(learner=learner)
            self.asker.observe(recording.chunk, self.policy_name)
        return recording

    def _reward(self) -> RewardState:
        weights = replace(self.experiment.reward, true_unit=self._true_unit)
        if not self.trusted:  # what a model without skill gives is noise, and the agent would learn to please it
            weights = replace(weights, learned=0.0)
        return reward_state(weights, self.state.model.params, self._scored)

    def _train(self) -> dict[str, float]:
        """Lets the agent learn for one iteration; while nothing at all is paid it stays as it is, and its schedules too.

        Without a reward, advantages are the critic's errors; normalised, they would push the policy about at random and use up its entropy.
        What is left of the schedules is spread evenly over the iterations that are left, so that they end with the run.
        """
        e = self.experiment
        if e.reward.learned and not self._paid:
            return {"true_return": self.asker.recorded_return}
        begin, left = self._annealed, e.iterations - self.iteration
        end = begin + (1.0 - begin) / left if left > 1 else 1.0
        learner, trained = self.trainer.train(self.state.learner, self._reward(), updates=e.updates, begin=begin, end=end)
        self.state = self.state._replace(learner=learner)
        self._scored = (float(trained.pop("scored/squares")), float(trained.pop("scored/count")))
        self.steps, self._annealed = self.steps + e.steps_per_iteration, end
        return {name: float(value) for name, value in trained.items()}

    def _imitate(self, annealed: float, *, new: bool = False) -> dict[str, float]:
        """Lets the agent imitate what people showed (``new``: only what it never imitated), before it learns from its reward.

        ``annealed``: how much of its schedules is done, in [0, 1].
        """
        if self.lessons is None:
            return {}
        self.lessons.poll()
        due = self.lessons.due(new=new)
        if due is None:
            return {}
        learner, told = self.trainer.imitate(self.state.learner, due, annealed)
        self.state = self.state._replace(learner=learner)
        metrics = {name: float(value) for name, value in told.items()}
        self.lessons.imitated(metrics.get("imitation/draws", float(jnp.sum(due.weight))))
        return {"imitation/lessons": float(len(self.lessons))} | metrics

    def _learn_from_answers(self, recording: Recording, until: Callable[[], bool]) -> dict[str, float] | None:
        """Takes answers and fits, until the agent is paid or nobody is left to wait for; None where ``until`` said stop."""
        seconds = 0.0
        while self._collect(until):
            begin = time.monotonic()
            metrics = self._fit(recording)
            seconds += time.monotonic() - begin
            if self._paid or self._all_answered():
                return metrics | {"seconds/fit": seconds}
        return None

    @property
    def _paid(self) -> bool:
        """Whether any source pays the agent yet."""
        reward = self.experiment.reward
        return self.trusted or bool(reward.true or reward.constant or reward.random)

    def _all_answered(self) -> bool:
        """Whether no question of this run waits for an answer, however many answers others have got."""
        waiting = self.asker.questions.ids.intersection(self.store.query_ids(still_wanted=True, session=self.session))
        return waiting <= self.teacher.seen if isinstance(self.teacher, RecordedTeacher) else not waiting  # it has no more to say

    def _collect(self, until: Callable[[], bool]) -> bool:
        """Takes answers. False where ``until`` said stop.

        Mode ``wait``: until every question has its answer. Mode ``async``: what has come; only while there is nothing at all to learn from
        it waits for a few answers more.
        """
        before = len(self.labels.labels)
        while True:
            if self.teacher is not None:
                while self.teacher.answer_pending(256):
                    pass
            everything = self._all_answered()  # before reading, so that all these answers are read
            self.labels.poll()
            enough = self._paid or len(self.labels.labels) - before >= _FIRST_ANSWERS
            if everything or (enough and self.experiment.feedback.mode == "async"):
                return True
            if until():
                return False
            time.sleep(POLL_SECONDS)

    def _fit(self, recording: Recording) -> dict[str, float]:
        """Fits the model to all labels that stand and gives its reward a known scale on what the policy does now."""
        e = self.experiment
        self.data.update(self.labels.labels)
        key, fit_key = jax.random.split(self.state.key)
        found = refit(self.ensemble, e.model, self.data, self.state.model, self._blank, recording.features, fit_key)
        if found is None:  # nothing was said, or all of it was taken back
            self.trusted = False
            return {"reward_model/trusted": 0.0}
        self.state = self.state._replace(model=found.state, key=key)
        self.trusted = found.skill.convinces(e.model.trust)
        params = found.state.params
        return {
            **found.metrics,
            **measured(self.ensemble, params, self.data, e.feedback.kind, found.outputs, e.model.fit.noise),
            **measured_episodes(self.ensemble, params, self.asker.reader, self.asker.episodes),
        }
