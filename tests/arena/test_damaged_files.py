"""What the arena reads besides runs and stores, however it looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf_games.arena.desk import Desk, read_desk
from rlhf_games.arena.learner import read_learner
from rlhf_games.core.errors import UserError

DEEP = "[" * 100_000
CONFIG = json.dumps({"feedback": {"mode": "wait"}, "reward": {"learned": 1.0, "true": 0.0}})


@pytest.mark.parametrize("text", [DEEP, "", "{", "[]", "3", '{"state": 3', '{"status": "finished"}', "\x00"])
def test_a_learner_whose_files_say_nothing(tmp_path: Path, text: str) -> None:
    for name, other in (("status.json", "config.json"), ("config.json", "status.json")):
        (tmp_path / name).write_text(text)
        (tmp_path / other).write_text(CONFIG if other == "config.json" else '{"state": "finished"}')
        assert read_learner(tmp_path, 0, {}) is None
    (tmp_path / "config.json").write_text("\ufeff" + CONFIG)
    learner = read_learner(tmp_path, 0, {})
    assert learner is not None
    assert learner.state == "finished", "a byte order mark is no damage"


def test_a_desk_that_an_editor_of_windows_wrote(tmp_path: Path) -> None:
    path = tmp_path / "arena.toml"
    path.write_bytes(b"\xef\xbb\xbfask_name = true\r\n")
    assert read_desk(path) == Desk(ask_name=True)
    for content in (f"a = {DEEP}".encode(), b"\xff\xfe", b"ask_name = tru", b"a = 1" + b"0" * 5_000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"arena\.toml"):
            read_desk(path)
