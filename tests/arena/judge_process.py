"""A person who judges as fast as the arena lets them, in a real window loop without a screen, until they are killed.

Run as ``judge_process.py STORE JOURNAL``. The journal gets ``ack QUERY`` when the arena shows that an answer was taken: when the next
pair is on the screen or the count of given answers has risen.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import numpy as np
import pygame

from rlhf_games.arena.app import App
from rlhf_games.arena.films import Footage
from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.work import new_worker
from rlhf_games.feedback.store import Store


class Films:
    """Clips without a game: what is killed here is the judging."""

    def __init__(self) -> None:
        self.worker = new_worker("films")

    def request(self, clip, urgent=False):  # type: ignore[no-untyped-def]
        return self.worker.submit(lambda: Footage(np.zeros((clip.length, 4, 6, 3), np.uint8), 10.0, "test/line", 1, False))

    def expect(self, clips):  # type: ignore[no-untyped-def]
        pass

    def close(self) -> None:
        self.worker.shutdown()


def main(target: str, journal: str) -> None:
    out = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    session = JudgeSession(Store.open(target, create=False), Films(), "ann", new_worker("store"))
    app = App(JudgeView(session, Keymap(), aim=lambda name: (name, "")), size=(320, 240))
    given, asked = 0, 0
    while True:
        app.frame()
        if session.given > given:
            given = session.given
            os.write(out, f"ack {asked}\n".encode())
        if session.phase == "showing" and session.current is not None:
            asked = session.current.query.id
            os.write(out, f"try {asked}\n".encode())
            app.take(pygame.Event(pygame.KEYDOWN, key=pygame.K_LEFT, mod=0, unicode=""))
            app.take(pygame.Event(pygame.KEYUP, key=pygame.K_LEFT, mod=0))
        time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
