"""What is set for everybody at one desk: ``arena.toml`` in the settings folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from rlhf_games.config import from_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_toml

_LONGEST = 60.0


@dataclass(frozen=True)
class Desk:
    """How the arena behaves for whoever sits there."""

    ask_name: bool = False
    """Several people share this desk: who answers is asked each time the window opens."""
    least_seconds: float = 0.0
    """How long clips must have been looked at before an answer about them counts, 0 to 60 s."""
    agent_score: bool = False
    """Whether those who judge see the agent's score from the beginning; it may influence them."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.least_seconds) or not 0.0 <= self.least_seconds <= _LONGEST:
            raise ValueError(f"least_seconds must be in 0..{_LONGEST:g}, got {self.least_seconds}")


def read_desk(path: Path) -> Desk:
    """Reads ``arena.toml``; a missing file changes nothing.

    Raises:
      UserError: it cannot be read, has an unknown key, or a value that cannot be.
    """
    try:
        table = parse_toml(path.read_bytes())
    except FileNotFoundError:
        return Desk()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; mend it or remove it") from error
    return from_mapping(Desk, table, str(path))
