"""What happens while a person ranks several clips: the best first, ties allowed.

The ranking grows by digits (the clip under the digit gets the next place) or by dragging. With the last clip's digit it is complete and
stored at once: one key a clip and none besides; a slip is taken back as any answer is. What was dragged waits for `confirm`, because a
hand that drags often has not finished. `confirm` also ends a ranking early: the clips that were not named share the last place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhf_games.arena.answering import AnswerSession
from rlhf_games.arena.held import Asked
from rlhf_games.feedback.answers import Ranking

MOST_CLIPS = 9
"""As many as there are digits."""


@dataclass(frozen=True)
class Order:
    """A ranking in the making. Clips are named by their place on the screen, from 0."""

    clips: int
    """How many there are to rank."""
    groups: tuple[tuple[int, ...], ...] = ()
    """Best first; clips of one group are as good as each other. Never an empty group, no clip twice."""

    @property
    def placed(self) -> frozenset[int]:
        """Clips that have a rank."""
        return frozenset(clip for group in self.groups for clip in group)

    @property
    def complete(self) -> bool:
        """Whether every clip has a rank."""
        return len(self.placed) == self.clips

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each clip, 0 best, as answers hold it; clips without one share the rank after the last."""
        found = [len(self.groups)] * self.clips
        for rank, group in enumerate(self.groups):
            for clip in group:
                found[clip] = rank
        return tuple(found)

    def rank(self, clip: int) -> int | None:
        """The clip's rank from 0; None where it has none."""
        return self.ranks[clip] if clip in self.placed else None

    def append(self, clip: int, tie: bool = False) -> Order:
        """The clip (which has no rank yet) as the next, or in a tie with the last ones named."""
        if tie and self.groups:
            return Order(self.clips, (*self.groups[:-1], (*self.groups[-1], clip)))
        return Order(self.clips, (*self.groups, (clip,)))

    def insert(self, clip: int, before: int) -> Order:
        """The clip on a rank of its own, before the group that is now number ``before`` (their count: after all)."""
        head, tail = _without(clip, self.groups[:before]), _without(clip, self.groups[before:])
        return Order(self.clips, (*head, (clip,), *tail))

    def join(self, clip: int, other: int) -> Order:
        """The clip in a tie with another one; where that has no rank, both come next."""
        if clip == other:
            return self
        base = self if other in self.placed else self.append(other)
        groups = _without(clip, base.groups)
        return Order(self.clips, tuple((*group, clip) if other in group else group for group in groups))


def _without(clip: int, groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    left = (tuple(entry for entry in group if entry != clip) for group in groups)
    return tuple(group for group in left if group)


class RankSession(AnswerSession[Ranking]):
    """One person ranking."""

    kind = "ranking"

    def __init__(self, *args: Any, **more: Any) -> None:
        """As `AnswerSession`."""
        super().__init__(*args, **more)
        self.order = Order(0)
        """What has been said so far about the clips on the screen."""
        self._before: list[Order] = []
        self._complete_early = False
        """Whether the last clip's rank came before an answer counts."""

    def tick(self) -> None:
        """As `AnswerSession`; a ranking that was complete too early is stored when its time has come."""
        super().tick()
        if self._complete_early and self.answerable and self.looked_enough:
            self._complete_early = False
            self.say(Ranking(self.order.ranks))

    def place(self, clip: int, tie: bool = False) -> bool:
        """The clip comes next, or in a tie with the one before; the last one's rank makes the answer. False: nothing happened."""
        if not self.answerable or not 0 <= clip < self.order.clips or clip in self.order.placed:
            return False
        self._set(self.order.append(clip, tie))
        if self.order.complete and not self.say(Ranking(self.order.ranks)):
            self._complete_early = True
            self.notice = "Look a little longer: this ranking is stored then."
        return True

    def insert(self, clip: int, before: int) -> None:
        """Gives a clip the rank before a group (see `Order.insert`), also one that has a rank already. Waits for `confirm`."""
        if self._movable(clip) and 0 <= before <= len(self.order.groups):
            self._set(self.order.insert(clip, before))

    def join(self, clip: int, other: int) -> None:
        """Puts a clip in a tie with another one. Waits for `confirm`."""
        if self._movable(clip) and self._movable(other):
            self._set(self.order.join(clip, other))

    def confirm(self) -> bool:
        """Stores the ranking; clips without a rank share the last place. False where nothing was ranked yet, or nothing waits."""
        if not self.answerable or not self.order.groups:
            return False
        return self.say(Ranking(self.order.ranks))

    def unsure(self) -> bool:
        """Can't tell."""
        return self.say(Ranking(())) if self.answerable else False

    def back(self) -> None:
        """Takes the last step of the ranking back; where there is none, the last answer."""
        if self.answerable and self._before:
            self.order, self._complete_early = self._before.pop(), False
        else:
            self.undo()

    def cannot_show(self, asked: Asked[Ranking]) -> str:
        """There must be a digit for each clip."""
        if len(asked.films) > MOST_CLIPS:
            return f"it has {len(asked.films)} clips, and at most {MOST_CLIPS} can be ranked here"
        return super().cannot_show(asked)

    def _show(self, asked: Asked[Ranking]) -> None:
        super()._show(asked)
        self.order, self._before, self._complete_early = Order(len(asked.films)), [], False

    def _movable(self, clip: int) -> bool:
        return self.answerable and 0 <= clip < self.order.clips

    def _set(self, order: Order) -> None:
        if order != self.order:
            self._before.append(self.order)
            self.order, self.notice, self._complete_early = order, "", False
