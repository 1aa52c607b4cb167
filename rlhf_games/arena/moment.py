"""What a decision brought, and its pictures over the time until the next one. Shapes: ``P`` seats, ``A`` actions, ``F`` pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlhf_games.core.game import TimeStep


class Moment(NamedTuple):
    """What a decision brought."""

    frames: NDArray[np.uint8]
    """``[F, H, W, 3]``."""
    reward: NDArray[np.float32]
    """``[P]``."""
    ended: bool
    legal: NDArray[np.bool_]
    """``[P, A]``."""
    acting: NDArray[np.bool_]
    """``[P]``."""


def moment_of(seen: TimeStep[NDArray[Any]], frames: NDArray[np.uint8]) -> Moment:
    """A moment from what the seats see and what people see."""
    ended = bool(seen.terminated) or bool(seen.truncated)
    return Moment(frames, np.asarray(seen.reward), ended, np.asarray(seen.legal_action_mask), np.asarray(seen.acting))


class Screening:
    """Shows a moment's pictures one after the other."""

    def __init__(self, now: Callable[[], float]) -> None:
        """``now``: seconds, never going back."""
        self._now = now
        self.moment: Moment | None = None
        """The one on the screen; None while there is none."""
        self.since = now()
        """When it came there."""

    def show(self, moment: Moment) -> None:
        """From now on this one."""
        self.moment, self.since = moment, self._now()

    def frame(self, seconds: float) -> int:
        """Number of the picture to show now, where all of them together take ``seconds``; the last one stays."""
        if self.moment is None:
            return 0
        count = len(self.moment.frames)
        return max(0, min(count - 1, int((self._now() - self.since) / seconds * count)))

    def picture(self, seconds: float) -> NDArray[np.uint8] | None:
        """The picture ``[H, W, 3]`` to show now; None while there is none."""
        return None if self.moment is None else self.moment.frames[self.frame(seconds)]
