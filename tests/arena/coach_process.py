"""A person who coaches as fast as the arena lets them, in a real window loop without a screen, until they are killed.

Run as ``coach_process.py STORE JOURNAL``. The journal gets ``ack UUID`` when the arena shows that a mark is stored.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
from arena.coaches import Policy, Runs  # found through the folder of all tests
from arena.conftest import Line

from rlhf_games.arena.app import App
from rlhf_games.arena.coach_game import CoachGame
from rlhf_games.arena.coach_log import CoachLog
from rlhf_games.arena.coach_session import CoachSession
from rlhf_games.arena.coach_view import CoachView
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.work import new_worker
from rlhf_games.feedback.store import Store


def main(target: str, journal: str) -> None:
    out = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = CoachLog(Store.open(target, create=False), "ann", new_worker("store"))
    game = CoachGame(Runs(Policy(Line(limit=10_000))))
    session = CoachSession(game, log, new_worker("game"), new_worker("instead"), hand_back=0.02)
    app = App(CoachView(session, Keymap(), "Line", ""), size=(320, 240))
    keys = (pygame.K_EQUALS, pygame.K_MINUS, pygame.K_LEFT)
    told, turn = set[str](), 0
    for _ in range(8):
        session.change_speed(faster=True)
    while True:
        app.frame()
        for mark in log.marks:
            if mark.state == "stored" and mark.uuid not in told:
                told.add(mark.uuid)
                os.write(out, f"ack {mark.uuid}\n".encode())
        session.start()
        if session.decisions and all(mark.state in ("stored", "gone") for mark in log.marks):
            key = keys[turn % 3] if turn % 12 != 11 else pygame.K_BACKSPACE
            app.take(pygame.Event(pygame.KEYDOWN, key=key, mod=0, unicode={61: "=", 45: "-"}.get(key, "")))
            app.take(pygame.Event(pygame.KEYUP, key=key, mod=0))
            turn += 1
        time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
