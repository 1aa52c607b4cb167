"""What the demo shows: the picture, the paragraph about it, the report with moving clips, the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_games.config import to_mapping
from rlhf_games.experiment import figures
from rlhf_games.experiment.answering_report import answered
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.comparison import ArmResult, Outcome
from rlhf_games.experiment.films import SEAM_WORDS, median, play, side_by_side
from rlhf_games.experiment.report import Clip, Picture, Table, write_report
from rlhf_games.feedback.labels import PairLabel
from rlhf_games.replay.clip import Clip as ClipOf
from rlhf_games.replay.clip import Segment
from rlhf_games.replay.frames import FrameReader
from rlhf_games.replay.replay import Replay

GOAL, LEAK = 0.7, 0.25
"""Answers are shown to teach when their ratio is at least GOAL while both controls stay at or below LEAK."""

_EPISODES, _SHOWN_STEPS = 5, 240
"""Episodes of which the median is shown, and how much of it."""

_CAPTION = (
    "The true score while learning: the mean over the episodes that ended since the last point. Only one of the agents is trained on it. "
    "Of the constant rewards the best one is drawn."
)


def write_files(folder: Path, outcome: Outcome, clips: Sequence[Clip]) -> None:
    """Writes demo.png, report.html, curves.json and summary.json."""
    curve = Picture.drawn(_CAPTION, lambda theme: draw(outcome, theme))
    (folder / "demo.png").write_bytes(curve.png)
    write_report(
        folder / "report.html",
        f"{outcome.title}, taught by answers",
        [conclusion(outcome)],
        [curve],
        [_table(outcome), _settings(outcome)],
        clips,
        subtitle=f"{outcome.experiment.game.name}  ·  seed {outcome.experiment.seed}  ·  {outcome.seconds:.0f} s for all agents",
    )
    (folder / "curves.json").write_text(json.dumps(_curves(outcome), indent=1) + "\n", encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary(outcome), indent=2) + "\n", encoding="utf-8")


def summary(outcome: Outcome) -> dict[str, Any]:
    """What ``summary.json`` holds; a ratio is null where the true score taught nothing."""
    ratios = {role: round(outcome.ratio(role), 4) for role in ("feedback", "constant", "random_labels")}
    finite = {role: ratio if math.isfinite(ratio) else None for role, ratio in ratios.items()}
    return {
        "labels": len(outcome.best("feedback").loop.labels.labels),
        **{f"return_{role}": round(outcome.best(role).mean, 4) for role in ("feedback", "true", "constant", "random_labels")},
        "return_random": round(outcome.random, 4),
        "ratio": finite["feedback"],
        "ratio_constant": finite["constant"],
        "ratio_random_labels": finite["random_labels"],
        "seconds": round(outcome.seconds, 1),
        "seed": outcome.experiment.seed,
    }


def conclusion(outcome: Outcome) -> str:
    """What the picture proves, in one paragraph; it says so where it proves nothing."""
    ratio, constant, guessed = (_percent(outcome.ratio(role)) for role in ("feedback", "constant", "random_labels"))
    told, best = len(outcome.best("feedback").loop.labels.labels), outcome.best("constant").arm.label.removeprefix("constant ")
    values = [result.arm.label.removeprefix("constant ") for result in outcome.results if result.arm.role == "constant"]
    rules = (
        f"All agents are the same, play the same number of steps of {outcome.title} from the same seed, and none of them, and no reward "
        "model, is ever told that an episode ended. They differ only in what they are paid."
    )
    found = (
        f"The one that never sees the score and learns only from {told} answers about pairs of short clips gets {ratio} of the way from "
        f"random play to the agent that is paid the score itself. Paid the same at every step, it gets {constant} of the way (with {best}, "
        f"the best of {_listed(values)}), and with as many answers drawn by coin flip {guessed}."
    )
    return f"{rules} {found} {_verdict(outcome)}"


def proves(outcome: Outcome) -> bool:
    """Whether the answers taught and the controls did not."""
    return outcome.has_span and outcome.ratio("feedback") >= GOAL and not _leaks(outcome)


def draw(outcome: Outcome, theme: figures.Theme) -> Any:
    """The learning curves of the four arms, from random play on."""
    shown = [outcome.best(role) for role in ("feedback", "true", "constant", "random_labels")]
    curves = {r.arm.label: [(np.concatenate([[0], r.steps]), np.concatenate([[outcome.random], r.curve]))] for r in shown}
    return figures.learning_curves(
        curves,
        title=f"{outcome.title} learned from {shown[0].arm.label}{', not from the score' if proves(outcome) else ''}",
        measure="true score of an episode",
        steps="steps of the game",
        references={"random play": outcome.random},
        theme=theme,
    )


def _leaks(outcome: Outcome) -> bool:
    return max(outcome.ratio("constant"), outcome.ratio("random_labels")) > LEAK


def _verdict(outcome: Outcome) -> str:
    if not outcome.has_span:
        return "But the score itself taught next to nothing in so few steps, so this run proves nothing: give it more steps."
    if _leaks(outcome):
        return "A reward that knows nothing got far too, so this run does not prove that the answers did it: try more seeds."
    if outcome.ratio("feedback") < GOAL:
        return "The controls learn next to nothing, and the answers taught too little here: give it more steps or more answers."
    return "So what the agent can do, it was taught by the content of the answers, and by nothing that the game gives away otherwise."


def _table(outcome: Outcome) -> Table:
    rows: list[Sequence[object]] = []
    for result in outcome.results:
        asked = result.loop.labels.answered if result.arm.experiment.learns_from_people else None
        name = f"{result.arm.label}: {result.arm.meaning}"
        score = (round(result.mean, 2), round(result.stderr, 2), round(outcome.normalised(result.mean), 2))
        rows.append((name, *score, asked, round(result.seconds, 1)))
    rows.append(
        ("random play: not trained at all", round(outcome.random, 2), None, round(outcome.normalised(outcome.random), 2), None, None)
    )
    episodes = outcome.experiment.evaluation_episodes
    caption = f"After learning: mean true score over {episodes} whole episodes; ratio 0 is random play, 1 the true score"
    return Table(caption, ("the agent", "score", "±", "ratio", "answers", "seconds"), rows)


def _settings(outcome: Outcome) -> Table:
    e = outcome.experiment
    rows: list[Sequence[object]] = [
        ("steps of each agent", e.iterations * e.steps_per_iteration),
        ("rounds of questions", e.iterations),
        ("steps of a clip", e.feedback.query.clip_length),
        ("episode ends", e.episode_ends),
        ("who answers", e.feedback.teacher),
        ("members of the reward model", e.model.members),
    ]
    return Table("Settings", ("setting", "value"), rows, folded=True)


def _curves(outcome: Outcome) -> dict[str, Any]:
    """Everything that is drawn, and the settings, to draw it again."""
    found: dict[str, Any] = {}
    for result in outcome.results:
        found[result.arm.experiment.name.rpartition("/")[2]] = {
            "steps": result.steps.tolist(),
            "true_return": [round(value, 4) if math.isfinite(value) else None for value in result.curve.tolist()],
            "final_return": round(result.mean, 4),
            "final_stderr": round(result.stderr, 4),
            "seconds": round(result.seconds, 1),
        }
    return {"arms": found, "experiment": to_mapping(outcome.experiment)}


def clips(bench: Bench, outcome: Outcome) -> list[Clip]:
    """What was learned, beside what coin flips teach; then the first and the last question that had an answer."""
    taught, guessed = outcome.best("feedback"), outcome.best("random_labels")
    seeds = [(outcome.experiment.seed + offset) % 2**32 for offset in range(1, _EPISODES + 1)]
    shown = [
        median(play(bench.game, bench.agent, bench.trainer.policy(result.loop.state.learner), seeds, _SHOWN_STEPS))
        for result in (taught, guessed)
    ]
    known = {replay.id: replay for replay in shown}

    def fetch(replay_id: str) -> Replay:
        return known[replay_id] if replay_id in known else taught.loop.asker.fetch(replay_id)

    with closing(FrameReader(bench.game, fetch)) as reader:
        films = [reader.frames(ClipOf((Segment(replay.id, 0, replay.length),))) for replay in shown]
        scores = [f"score {replay.checksum.returns[0]:g}" for replay in shown]
        caption = (
            f"What was learned: each the median of {_EPISODES} episodes by score, at most {_SHOWN_STEPS} steps long. "
            "Left, the agent that was taught by answers; right, the one whose answers were coin flips."
        )
        headers = [f"{taught.arm.label} · {scores[0]}", f"{guessed.arm.label} · {scores[1]}"]
        speed = reader.fps * 2
        return [(caption, side_by_side(films, headers), speed), *_judged(taught, reader, speed / 2)]


def _judged(result: ArmResult, reader: FrameReader, fps: float) -> Iterator[Clip]:
    """The first and the last question whose answer was not a tie, as they were shown."""
    labels = result.loop.labels.labels
    decided = [(number, label) for number, label in enumerate(labels, 1) if isinstance(label, PairLabel) and label.kind != "tie"]
    for number, label in decided[:1] + decided[-1:][: len(decided) - 1]:
        (query,) = result.loop.store.queries([label.query_id])
        (answer,) = [answer for answer in result.loop.store.answers().answers if answer.id == label.answer_id]
        batch = result.loop.asker.reader.read((label.first, label.second), result.arm.experiment.feedback.query.clip_length)
        shown = answered(answer, query, reader, batch.reward.sum(1).tolist(), result.loop.asker.fetch)
        caption = (
            f"Answer {number} of {len(labels)}: which clip is better? The framed one, said the teacher, who knows the score. "
            f"The learner is told which, never why. {SEAM_WORDS}"
        )
        yield caption, shown, fps


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%".replace("-", "−") if math.isfinite(share) else "an unknown part"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
