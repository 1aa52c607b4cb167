"""For authors of games and agents: contract suites, and probe games whose answers are known."""

from rlhf_games.testing.agent_contract import AGENT_RULES, AgentSubject, check_agent, example_specs
from rlhf_games.testing.game_contract import GAME_RULES, GameSubject, check_game
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
from rlhf_games.testing.rule import Rule, Verdict, verdicts

__all__ = [
    "AGENT_RULES",
    "GAME_RULES",
    "IDENTITY_PROBES",
    "ONE_STEP_PROBES",
    "ActionReward",
    "AgentSubject",
    "Answers",
    "ConstantReward",
    "DelayedReward",
    "GameSubject",
    "IdentityBox",
    "IdentityDiscrete",
    "IdentityMultiDiscrete",
    "MatchObservation",
    "ObservedReward",
    "Probe",
    "Rule",
    "Verdict",
    "check_agent",
    "check_game",
    "example_specs",
    "verdicts",
]
