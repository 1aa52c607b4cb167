"""Is there a screen at all?"""

from __future__ import annotations

import os

import pygame

from rlhf_games.core.errors import UserError


def open_display() -> None:
    """Connects to the screen.

    Raises:
      UserError: there is none. (SDL would draw into memory then and tell nobody; who wants that says so by ``SDL_VIDEODRIVER``.)
    """
    try:
        pygame.display.init()
    except pygame.error as error:
        raise UserError(f"no window can be opened: {error}") from error
    if pygame.display.get_driver() in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER"):
        pygame.display.quit()
        cure = "run this on a machine with a screen, or over ssh -X, or under a virtual one (xvfb-run)"
        raise UserError(f"there is no screen here on which a window could open (DISPLAY is {os.environ.get('DISPLAY', '')!r}): {cure}")
