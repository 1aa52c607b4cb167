"""What happens while a person judges pairs of clips: which is better?"""

from __future__ import annotations

from rlhf_games.arena.answering import AnswerSession
from rlhf_games.feedback.answers import Choice, Preference


class JudgeSession(AnswerSession[Preference]):
    """One person judging."""

    kind = "preference"
    noun = "Pair"

    def answer(self, choice: Choice, strength: int = 1) -> bool:
        """Answers the pair on the screen; returns False where there is nothing to answer (yet): then nothing happened."""
        return self.say(Preference(choice, strength)) if self.answerable else False
