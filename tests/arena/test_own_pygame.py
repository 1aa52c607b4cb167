"""Games of others that use pygame as if it were theirs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.menu_view import MenuView

from .conftest import Time, press, pump


@pytest.fixture
def app(show: Callable[..., App], clock: Time) -> App:
    return show(MenuView("Menu", "", list, Keymap()), clock, (640, 480))


def aside(work: Callable[[], Any]) -> Any:
    """What comes of some work on another thread."""
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(work).result()


def still_there(app: App) -> None:
    """The window is there, it hears keys, and it can write."""
    surface = pygame.display.get_surface()
    assert surface is not None
    assert surface.get_size() == (640, 480)
    assert app.view is not None
    press(app, pygame.K_x, text="x")
    assert app.view._search == "x"  # type: ignore[attr-defined]
    app.canvas.clear()
    pump(app)
    assert len(np.unique(pygame.surfarray.array3d(surface).reshape(-1, 3), axis=0)) > 10, "words have soft edges"
    press(app, pygame.K_BACKSPACE)


def rude() -> tuple[tuple[int, int], int, bool]:
    """What an environment for people may do."""
    pygame.init()
    own = pygame.display.set_mode((50, 40))
    own.fill("white")
    pygame.display.flip()
    pygame.display.set_caption("mine")
    pygame.event.set_blocked(None)
    taken = len(pygame.event.get()) + (pygame.event.poll().type != pygame.NOEVENT)
    pygame.event.clear()
    pygame.event.post(pygame.Event(pygame.QUIT))
    same = pygame.display.get_surface() is own
    pygame.font.quit()
    pygame.display.quit()
    pygame.quit()
    return own.get_size(), taken, same


def test_what_others_do_with_pygame_leaves_the_window_alone(app: App) -> None:
    pygame.event.post(pygame.Event(pygame.KEYDOWN, key=pygame.K_a, mod=0, unicode="a"))
    assert aside(rude) == ((50, 40), 0, True)
    assert pygame.display.get_caption()[0] != "mine"
    pump(app)
    assert app.view._search == "a", "a key that was pressed meanwhile"  # type: ignore[union-attr]
    press(app, pygame.K_BACKSPACE)
    still_there(app)


def test_an_environment_of_gymnasium_in_a_window_of_its_own(app: App) -> None:
    def play() -> int:
        env = gymnasium.make("CartPole-v1", render_mode="human")
        env.reset(seed=0)
        steps = sum(1 for _ in range(3) if env.step(0))
        env.close()
        return steps

    assert aside(play) == 3
    still_there(app)


def test_without_a_window_pygame_is_everybodys(app: App) -> None:
    app.close()

    def look() -> tuple[int, int]:
        size: tuple[int, int] = pygame.display.set_mode((30, 20)).get_size()
        shown = pygame.display.get_surface() is not None and pygame.display.get_init()
        pygame.display.quit()
        assert shown
        assert not pygame.display.get_init()
        return size

    assert aside(look) == (30, 20)
