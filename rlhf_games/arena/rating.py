"""What happens while a person rates clips, one at a time, from 1 (worst) to 5 (best)."""

from __future__ import annotations

from rlhf_games.arena.answering import AnswerSession
from rlhf_games.feedback.answers import Rating

SCALE = {1: "very bad", 2: "bad", 3: "middling", 4: "good", 5: "very good"}
"""What the grades are called."""


class RateSession(AnswerSession[Rating]):
    """One person rating."""

    kind = "rating"
    noun = "Clip"

    def rate(self, stars: int | None) -> bool:
        """Rates the clip on the screen, 1 to 5, or None: can't tell. False where there is nothing to rate (yet): then nothing happened."""
        return self.say(Rating(stars)) if self.answerable else False
