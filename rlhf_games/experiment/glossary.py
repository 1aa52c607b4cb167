"""What every metric of a run means: for reports, and for docs/metrics.md (``python -m rlhf_games.experiment.glossary`` prints it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_games import workspace
from rlhf_games.core.errors import UserError

GROUPS: tuple[tuple[str, str], ...] = (
    ("reward_model", "The reward model: losses of each fit, and how well it predicts answers that it was not fitted to."),
    ("feedback", "What people (or a scripted teacher) have said."),
    ("reward", "What the agent is paid."),
    ("imitation", "What the agent was shown and imitates."),
    ("agent", "The learner and its episodes."),
    ("seconds", "Seconds that each part of an iteration took."),
)
"""Groups of metrics in the order in which they are shown, with their captions; any other prefix comes after them."""

FEEDBACK = ("answers", "labels", "refused", "unmatched")
"""Metrics without a prefix that belong to the group of that name."""
_BINS = "reward_model/accuracy_difference_"

MEANINGS: dict[str, str] = {
    "true_return": "Mean true score of the episodes that ended in the iteration. The agent is trained on it only where the experiment says "
    "so (reward.true). Not finite where no episode ended.",
    "episode_length": "Mean length in steps of the episodes that ended in the iteration.",
    "episodes": "Episodes that ended in the iteration.",
    "answers": "Answers to questions about clips that stand so far, 'can't tell' included.",
    "labels": "Labels so far: what the reward model can be fitted to. 'Can't tell' gives none; a demonstration gives several.",
    "refused": "Answers so far that teach nothing because they do not fit this run's game.",
    "unmatched": "Questions so far that the recorded answers (feedback.teacher = recorded:RUN) do not answer.",
    "reward/mean": "Mean reward per step that the agent was paid in the iteration, from all sources.",
    "reward/std": "Its standard deviation over steps.",
    "reward/unit": "What the game's own score is divided by before it is paid (reward.true_unit): its typical reward, or 1.",
    "imitation/lessons": "Steps that people showed so far (demonstrations, takeovers, advice).",
    "imitation/draws": "Shown steps drawn for them, with repetition.",
    "reward_model/skill": "Nats per answer that the model did not see by which the reward that is paid predicts better than two guesses "
    "that do not look at the clips (how often each answer is given; all clips worth the same); above 0 is better than chance.",
    "reward_model/skill_error": "Standard error of the skill if the model knew nothing, by question or episode.",
    "reward_model/zero": "What is subtracted from every step's reward, in units of the reward that is paid: where zero is (model.anchor).",
    "reward_model/zero_open": "How far the answers let zero move from where the fit put it to where model.anchor puts it, in [0, 1]; 1: "
    "they do not say what a step is worth in itself, 0: they say it exactly.",
    "reward_model/episodes": "Whole episodes (of each seat) that the two measures below are made on.",
    "reward_model/episode_spearman": "Rank correlation in [−1, 1] of what whole episodes are paid with their true returns.",
    "reward_model/episode_agreement": "Rank correlation in [−1, 1] of what whole episodes are paid with what the model as fitted says of "
    "them; below 0.5, with visible ends, the choice of zero decides what is learned.",
    "reward_model/trusted": "1 where the skill is above model.trust standard errors: only then is the learned reward paid. Else 0.",
    "reward_model/train_loss": "Loss of the fit on the labels it was fitted to (nats per label), mean over the ensemble's members.",
    "reward_model/holdout_loss": "The same on labels that were held out; far above train_loss: the model has memorised.",
    "reward_model/epochs": "Passes over the labels that the fit took.",
    "reward_model/weight_decay": "Weight decay that the fit settled on, mean over members.",
    "reward_model/tie_margin": "How far apart two clips must be (in the model's units) not to be called equal.",
    "reward_model/holdout": "Held-out labels that the measures below are made on, ties included.",
    "reward_model/tie_share": "Share of ties among them, in [0, 1].",
    "reward_model/accuracy": "Share of held-out comparisons (ties aside) that the paid reward gets right, in [0, 1]; 0.5 is guessing.",
    "reward_model/nll": "Mean negative log-likelihood of held-out comparisons (nats), a tie counting half for each side; log 2 = 0.693 is "
    "a model without a clue.",
    "reward_model/nll_floor": "What nll cannot fall below: the share of ties × log 2.",
    "reward_model/ece": "Expected calibration error in [0, 1]: how far the model's stated probabilities are from how often it is right.",
    "reward_model/brier": "Mean squared error of the stated probabilities, in [0, 1]; 0.25 is a model without a clue.",
    "reward_model/spread_ratio": "Disagreement of the ensemble's members on the present policy's steps relative to labelled ones; far "
    "above 1: the policy has left what the model knows.",
    "reward_model/spearman": "Rank correlation in [−1, 1] of predicted and true return over held-out clips.",
    f"{_BINS}…": "Accuracy on held-out comparisons whose clips' true returns differ by so many points (from, to).",
    "seconds/record": "Playing the games that questions are asked about.",
    "seconds/ask": "Choosing and posting questions.",
    "seconds/answers": "Waiting for answers, and reading them.",
    "seconds/fit": "Fitting the reward model (compilation included, the first time).",
    "seconds/train": "The agent's learning (compilation included, the first time), and its imitation.",
}
"""One sentence or two for each metric that the framework writes, with unit and range."""


def meaning(name: str, agent: Mapping[str, str] | None = None) -> str:
    """What a metric means; empty where nobody has said so.

    Args:
      name: as in ``metrics.jsonl``.
      agent: meanings of the agent's own metrics, see `agent_meanings`.
    """
    return MEANINGS.get(f"{_BINS}…" if name.startswith(_BINS) else name, "") or (agent or {}).get(name, "")


def agent_meanings(name: str) -> dict[str, str]:
    """What the agent ``name`` says about its own metrics (``METRICS`` in its ``agent.py``); nothing where it cannot be loaded."""
    try:
        return dict(workspace.agent_metrics(name))
    except UserError:
        return {}


def group_of(name: str) -> str:
    """The group that a metric belongs to."""
    prefix, slash, _ = name.partition("/")
    if prefix in dict(GROUPS):
        return prefix
    return prefix if slash else "feedback" if name in FEEDBACK else "agent"


def grouped(names: Sequence[str]) -> dict[str, list[str]]:
    """Metrics by group, in the order of ``GROUPS``, other prefixes after them."""
    found: dict[str, list[str]] = {group: [] for group, _ in GROUPS}
    for name in names:
        found.setdefault(group_of(name), []).append(name)
    return {group: members for group, members in found.items() if members}


def markdown(agents: Mapping[str, Mapping[str, str]]) -> str:
    """The text of docs/metrics.md: all metrics of the framework, then those of each agent, by its name."""
    parts = [_HEAD]
    for group, members in grouped(list(MEANINGS)).items():
        parts.append(_table(group.replace("_", " ").capitalize(), dict(GROUPS)[group], {name: MEANINGS[name] for name in members}))
    for agent, meanings in agents.items():
        parts.append(_table(f"Agent `{agent}`", "What this agent adds.", meanings))
    return "\n".join(parts)


_HEAD = """# Metrics

<!-- Made by: python -m rlhf_games.experiment.glossary > docs/metrics.md -->

What a run measures, once per iteration: a line each in `metrics.jsonl`, TensorBoard events in `tensorboard/`, and the curves of
`rlhf-games report`. `step` counts steps of the game that the agent has learned from, `time` is seconds since 1970. A value that cannot be
computed is null, or its metric is left out.
"""


def _table(title: str, caption: str, meanings: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {text} |" for name, text in meanings.items()]
    return "\n".join([f"## {title}", "", caption, "", "| metric | meaning |", "|---|---|", *rows, ""])


def _main() -> None:
    shown: dict[str, Any] = {name: agent_meanings(name) for name in workspace.agents()}
    print(markdown({name: meanings for name, meanings in shown.items() if meanings}), end="")


if __name__ == "__main__":
    _main()
