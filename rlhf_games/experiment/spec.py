"""What an experiment file says. Who plays what must be said; all else has a default that suits small grids. Unknown keys are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from rlhf_games.core.errors import closest, did_you_mean
from rlhf_games.feedback.place import keep_secret
from rlhf_games.feedback.queries import Kind, QueryConfig
from rlhf_games.feedback.teachers import PRESETS, TeacherConfig
from rlhf_games.reward.ensemble import Anchor
from rlhf_games.reward.fit import FitConfig
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.reward.sources import SourceWeights

_MOST_UPDATES = 2**24
"""Updates are counted in float32 within an iteration."""
_LARGEST_SIZE = 2**24
"""Of games, steps of a clip, epochs and the like: far above what any machine does, and far below what overflows."""
_LARGEST_ROLLOUT = 2**30
_LARGEST_NUMBER = 1e12
"""Of factors and weights: float32 holds their products too."""
_UNLIMITED = ("seed", "steps")
"""Have limits of their own."""
_MOST_MEMBERS = 1_000
_LONGEST_NAME = 200
"""Bytes: it becomes part of a folder's name."""
_RECORDED = "recorded:"
_COMPARE_MEMBERS = ("disagreement", "disagreement_k_centre", "mutual_information")


@dataclass(frozen=True)
class GameChoice:
    """Which game is played."""

    name: str
    """``family/game``; ``rlhf-games games`` lists them."""
    options: dict[str, Any] = field(default_factory=dict)
    """The family's own options (its README lists them)."""


@dataclass(frozen=True)
class AgentChoice:
    """Which agent learns."""

    name: str
    """A folder under ``agents/``."""
    config: dict[str, Any] = field(default_factory=dict)
    """The agent's own settings (its README lists them)."""


@dataclass(frozen=True)
class RolloutConfig:
    """How experience is collected."""

    games: int = 64
    """Games played side by side."""
    steps: int = 128
    """Steps of each game between two updates of the agent."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "games", "steps")


@dataclass(frozen=True)
class RecordConfig:
    """A few games of their own that the present policy plays for people to look at."""

    lanes: int = 16
    """Games side by side."""
    steps: int = 256
    """Steps each of them goes on in an iteration."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "lanes", "steps")


@dataclass(frozen=True)
class ModelConfig:
    """The reward model."""

    members: int = 3
    """Size of the ensemble."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    spread: float = 0.3
    """Root mean square of the learned reward on the present policy's steps: how far they lie from its zero."""
    trust: float = 2.0
    """The learned reward is paid only while the model predicts answers that it never saw better than chance, by this many standard errors.

    0: always.
    """
    anchor: Anchor = "median"
    """Which step of the present policy is worth 0, as far as the answers leave it open: the ``median`` one, the ``mean`` one, or ``none``
    (whatever the network says). Clips of unequal length, for example, say what a step is worth; then that counts."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "members")
        if self.members > _MOST_MEMBERS:
            raise ValueError(f"members must be at most {_MOST_MEMBERS}, got {self.members}")
        if not self.trust >= 0:
            raise ValueError(f"trust must be at least 0, got {self.trust}")
        if not self.spread > 0:
            raise ValueError(f"spread must be above 0, got {self.spread}")


@dataclass(frozen=True)
class FeedbackConfig:
    """What is asked, and of whom. Evaluations, takeovers and demonstrations need not be asked for: they teach whenever people give them."""

    kind: Kind = "preference"
    """``preference`` (two clips), ``ranking`` (``clips`` clips, ties allowed) or ``rating`` (one clip, 1 to 5 stars)."""
    clips: int = 4
    """Clips of a ranking, 3 to 6."""
    budget: int = 700
    """Questions asked in all, unanswerable ones included."""
    wanted: int = 1
    """Different annotators who shall each answer every question; a scripted teacher answers as so many, who err each in their own way."""
    initial: float = 0.25
    """Share of the budget asked about the first policy, before any learning."""
    schedule: Literal["constant", "hyperbolic", "at_once"] = "hyperbolic"
    """How the rest is spread over the iterations."""
    mode: Literal["wait", "async"] = "wait"
    """``wait``: each iteration waits for its answers (reproducible); ``async``: takes what has come. Only while nothing at all is paid yet
    (no reward.* but the learned one, and that not trusted) does ``async`` wait too: for a few answers more, or for all that were asked."""
    query: QueryConfig = field(default_factory=QueryConfig)
    imitate: bool = True
    """Before each iteration's updates the agent imitates what people showed it: demonstrations, takeovers, advice (behavioural cloning)."""
    imitation_draws: int = 256
    """How often each step that people showed is drawn for that, in all: half when it is new, half of the rest in each iteration after."""
    teacher: str = "oracle"
    """``human`` (people answer from other processes), ``recorded:RUN`` (what was answered in another run is said again), or scripted:
    oracle, stochastic, mistake, skip, equal, myopic, random."""
    teacher_settings: dict[str, Any] = field(default_factory=dict)
    """Changes to the scripted teacher's settings: beta, gamma, mistake, skip, equal."""

    def __post_init__(self) -> None:
        _at_least(self, 0, "budget")
        _at_least(self, 1, "imitation_draws")
        if source := recorded_source(self.teacher):  # a password stays in memory: settings are written to files
            object.__setattr__(self, "teacher", _RECORDED + keep_secret(source))
        _at_least(self, 1, "wanted")
        if not 3 <= self.clips <= 6:
            raise ValueError(f"clips must be in 3..6, got {self.clips}")
        if not 0.0 <= self.initial <= 1.0:
            raise ValueError(f"initial must be in [0, 1], got {self.initial}")

    @property
    def answers(self) -> int:
        """Answers wanted in all."""
        return self.budget * self.wanted

    @property
    def shown(self) -> int:
        """Clips of a question."""
        return {"preference": 2, "ranking": self.clips, "rating": 1}[self.kind]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One run."""

    game: GameChoice
    agent: AgentChoice
    name: str = "run"
    """For people."""
    seed: int = 0
    """Determines everything else, with a scripted teacher in mode ``wait``."""
    steps: int = 1_000_000
    """Steps of the game the agent learns from (rounded up to whole iterations)."""
    iterations: int = 20
    """How often questions are asked and the reward model is fitted."""
    episode_ends: Literal["hidden", "visible"] = "visible"
    """Whether the agent and the reward model learn of episode ends; the same in every arm of a comparison."""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    record: RecordConfig = field(default_factory=RecordConfig)
    reward: SourceWeights = field(default_factory=SourceWeights)
    model: ModelConfig = field(default_factory=ModelConfig)
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    evaluation_episodes: int = 128
    """Whole episodes played at the end to measure the true return."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps", "iterations", "evaluation_episodes")
        if not self.name.strip() or not self.name.isprintable() or len(self.name.encode()) > _LONGEST_NAME:
            raise ValueError(f"name must be printable text of at most {_LONGEST_NAME} bytes, got {self.name[:_LONGEST_NAME]!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2**32), got {self.seed}")
        if self.updates >= _MOST_UPDATES:
            raise ValueError(
                f"steps gives {self.updates} updates in an iteration, too many to count: set iterations higher, or steps lower"
            )
        if self.learns_from_people and self.model.trust > 0 and not self._measurable:
            raise ValueError(
                "model.trust needs answers that some member of the model did not see: set model.fit.holdout above 0, or "
                "model.fit.bootstrap with at least 2 model.members, or model.trust = 0 to pay the learned reward from the first answer on"
            )
        if self.model.members < 2 and self.learns_from_people and self.feedback.query.strategy in _COMPARE_MEMBERS:
            raise ValueError(f"feedback.query.strategy {self.feedback.query.strategy!r} compares members: set model.members to 2 or more")
        _refuse_unusual(self, "")
        if self.rollout.games * self.rollout.steps > _LARGEST_ROLLOUT:
            raise ValueError(
                f"rollout.games × rollout.steps must be at most {_LARGEST_ROLLOUT}, got {self.rollout.games} × {self.rollout.steps}"
            )
        scripted_teacher(self.feedback, self.seed)

    @property
    def _measurable(self) -> bool:
        """Whether there are answers to measure the reward model on."""
        return self.model.fit.holdout > 0 or (self.model.fit.bootstrap and self.model.members > 1)

    @property
    def updates(self) -> int:
        """Updates of the agent in one iteration."""
        per_update = self.rollout.games * self.rollout.steps
        return max(1, -(-self.steps // (per_update * self.iterations)))

    @property
    def steps_per_iteration(self) -> int:
        """Steps the agent learns from in one iteration."""
        return self.updates * self.rollout.games * self.rollout.steps

    @property
    def learns_from_people(self) -> bool:
        """Whether any questions are asked."""
        return self.reward.learned != 0 and self.feedback.budget > 0


def scripted_teacher(feedback: FeedbackConfig, seed: int) -> TeacherConfig | None:
    """The teacher an experiment names; None for ``human`` and ``recorded:RUN``.

    Raises:
      ValueError: there is no such teacher, or a setting it does not have.
    """
    if feedback.teacher == "human" or recorded_source(feedback.teacher):
        return None
    presets = {**PRESETS, "random": TeacherConfig(beta=0.0)}
    if feedback.teacher not in presets:
        raise ValueError(f"feedback.teacher must be human or one of {', '.join(presets)}, or recorded:RUN, got {feedback.teacher!r}")
    base = presets[feedback.teacher]
    for name, value in feedback.teacher_settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"feedback.teacher_settings.{name} must be a number, got {value!r}")
    values = {"beta": base.beta, "gamma": base.gamma, "mistake": base.mistake, "skip": base.skip, "equal": base.equal}
    if unknown := set(feedback.teacher_settings) - set(values):
        key, close = f"feedback.teacher_settings.{min(unknown)}", closest(min(unknown), values)
        hint = did_you_mean(f"feedback.teacher_settings.{close}") if close else f"; known are: {', '.join(values)}"
        raise ValueError(f"{key} is no setting of a teacher{hint}")
    try:
        return TeacherConfig(**(values | feedback.teacher_settings), seed=seed)
    except ValueError as error:
        raise ValueError(f"feedback.teacher_settings: {error}") from error


def recorded_source(teacher: str) -> str:
    """The run (or store) whose answers are said again, of ``recorded:RUN``; empty for every other teacher."""
    return teacher[len(_RECORDED) :] if teacher.startswith(_RECORDED) else ""


def _at_least(config: Any, least: int, *names: str) -> None:
    """Raises ``ValueError`` where one of these fields is too small."""
    for name in names:
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(config, name)}")


def _refuse_unusual(config: Any, prefix: str) -> None:
    """Raises ``ValueError`` for the first number in a tree of settings that is not finite, or a size that no machine has."""
    for entry in fields(config):
        value, key = getattr(config, entry.name), f"{prefix}{entry.name}"
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} must be finite, got {value}")
        if isinstance(value, float) and abs(value) > _LARGEST_NUMBER:
            raise ValueError(f"{key} must be at most {_LARGEST_NUMBER:g} in size, got {value}")
        if isinstance(value, int) and value > _LARGEST_SIZE and key not in _UNLIMITED:
            raise ValueError(f"{key} must be at most {_LARGEST_SIZE}, got {value}")
        if is_dataclass(value):
            _refuse_unusual(value, f"{key}.")
