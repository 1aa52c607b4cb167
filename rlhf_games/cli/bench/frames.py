"""How long the frames of a window take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlhf_games.arena.app import App


def frame_seconds(app: App) -> list[float]:
    """Seconds of work of each frame from now on; grows while the window runs."""
    seconds: list[float] = []
    real = app.frame

    def frame() -> None:
        begin = time.perf_counter()
        real()
        seconds.append(time.perf_counter() - begin)

    app.frame = frame  # type: ignore[method-assign]
    return seconds
