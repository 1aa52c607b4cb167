"""How the learner of a run stands, for the people who answer: read from the run's files while it writes them."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from rlhf_games.core.parse import parse_json

State: TypeAlias = Literal["waits", "learns", "finished", "away"]
"""``waits``: for answers; ``away``: no process learns, and the run is not finished."""
_OTHER_PAY = ("true", "constant", "random")


class Learner(NamedTuple):
    """What a run's learner does now."""

    state: State
    words: str
    """For people: that, and why."""


def read_learner(folder: Path, waiting: int, metrics: Mapping[str, Any]) -> Learner | None:
    """How the learner of a run stands; None where its files do not say.

    Args:
      folder: of the run.
      waiting: its questions that are open.
      metrics: the last line of its ``metrics.jsonl``; empty where there is none yet.
    """
    try:
        status = parse_json((folder / "status.json").read_bytes())
        config = parse_json((folder / "config.json").read_bytes())
        state = status["state"]
        mode, weights = config["feedback"]["mode"], config["reward"]
        paid, taught = any(weights.get(name) for name in _OTHER_PAY), bool(weights["learned"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if state == "finished":
        return Learner("finished", "the run is over")
    if state != "running" or not _held(folder / "learner.lock"):
        return Learner("away", f"nothing learns here now: rlhf-games resume {folder} goes on")
    doubt = _doubt(metrics) if taught else ""
    if doubt and not paid and not waiting:
        return Learner("waits", f"the agent does not train yet, and asks as it plays: {doubt}")
    if waiting and (mode == "wait" or (doubt and not paid)):
        return Learner("waits", f"the agent waits for answers{f': {doubt}' if doubt else ''}")
    return Learner("learns", f"the agent is learning{f'; {doubt}' if doubt else ''}")


def _doubt(metrics: Mapping[str, Any]) -> str:
    """Why the reward model is not trusted; empty where it is."""
    if metrics.get("reward_model/trusted") == 1:
        return ""
    gain, error = (metrics.get(f"reward_model/{name}") for name in ("skill", "skill_error"))
    if "reward_model/trusted" not in metrics:
        return "its reward model has too few answers to be tried on"
    numbers = ""
    if isinstance(gain, float) and isinstance(error, float) and math.isfinite(gain) and math.isfinite(error):
        numbers = f" (by {gain:.2f} ± {error:.2f})"
    return f"its reward model is not trusted yet, as it does not foretell answers better than a guess beyond doubt{numbers}"


def _held(lock: Path) -> bool:
    """Whether a living process holds a lock file."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
