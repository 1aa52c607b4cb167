"""For authors of games and agents: contract suites, and probe games whose answers are known."""

from rlhf_games.testing.probes import (
    IDENTITY_PROBES,
    ONE_STEP_PROBES,
    ActionReward,
    Answers,
    ConstantReward,
    DelayedReward,
    IdentityBox,
    IdentityDiscrete,
    IdentityMultiDiscrete,
    MatchObservation,
    ObservedReward,
    Probe,
)

__all__ = [
    "IDENTITY_PROBES",
    "ONE_STEP_PROBES",
    "ActionReward",
    "Answers",
    "ConstantReward",
    "DelayedReward",
    "IdentityBox",
    "IdentityDiscrete",
    "IdentityMultiDiscrete",
    "MatchObservation",
    "ObservedReward",
    "Probe",
]
