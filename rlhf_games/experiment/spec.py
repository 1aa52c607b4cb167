"""What an experiment file says. Who plays what must be said; all else has a default that suits small grids. Unknown keys are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from rlhf_games.core.errors import closest, did_you_mean
from rlhf_games.feedback.queries import Kind, QueryConfig
from rlhf_games.feedback.teachers import PRESETS, TeacherConfig
from rlhf_games.reward.ensemble import Anchor
from rlhf_games.reward.fit import FitConfig
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.reward.sources import SourceWeights

_MOST_UPDATES = 2**24
"""Updates are counted in float32 within an iteration."""
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
    """Standard deviation that the learned reward has on the present policy's steps."""
    trust: float = 2.0
    """The learned reward is paid only while the model predicts held-out answers better than chance, by this many standard errors.

    0: always.
    """
    anchor: Anchor = "median"
    """Which step of the present policy is worth 0: the ``median`` one, the ``mean`` one, or ``none`` (whatever the network says)."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "members")
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
    """``wait``: each iteration waits for its answers (reproducible); ``async``: takes what has come and never blocks."""
    query: QueryConfig = field(default_factory=QueryConfig)
    imitate: bool = True
    """After each iteration's updates the agent imitates what people showed it: demonstrations, takeovers, advice (behavioural cloning)."""
    teacher: str = "oracle"
    """``human`` (people answer from other processes), ``recorded:RUN`` (what was answered in another run is said again), or scripted:
    oracle, stochastic, mistake, skip, equal, myopic, random."""
    teacher_settings: dict[str, Any] = field(default_factory=dict)
    """Changes to the scripted teacher's settings: beta, gamma, mistake, skip, equal."""

    def __post_init__(self) -> None:
        _at_least(self, 0, "budget")
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
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"name must be printable text, got {self.name!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2**32), got {self.seed}")
        if self.updates >= _MOST_UPDATES:
            raise ValueError(
                f"steps gives {self.updates} updates in an iteration, too many to count: set iterations higher, or steps lower"
            )
        if self.model.members < 2 and self.learns_from_people and self.feedback.query.strategy in _COMPARE_MEMBERS:
            raise ValueError(f"feedback.query.strategy {self.feedback.query.strategy!r} compares members: set model.members to 2 or more")
        _refuse_infinite(self, "")
        scripted_teacher(self.feedback, self.seed)

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


def _refuse_infinite(config: Any, prefix: str) -> None:
    """Raises ``ValueError`` for the first number in a tree of settings that is infinite or not a number (TOML can write both)."""
    for entry in fields(config):
        value, key = getattr(config, entry.name), f"{prefix}{entry.name}"
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} must be finite, got {value}")
        if is_dataclass(value):
            _refuse_infinite(value, f"{key}.")
