from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tyro

from rlhf_games.cli.answers import Answers
from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.checksum import Checksum
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    replay = Replay("probe/none", "1", {}, 0, np.zeros((50, 1), np.int32), Checksum((0.0,), 50, "0" * 32, ()), "terminated", ("agent",))
    with Store.open(path) as store:
        store.add_replays([replay])
        clips = (Clip((Segment(replay.id, 0, 9),)), Clip((Segment(replay.id, 9, 9),)))
        first, second, _ = store.post_queries([QueryDraft("preference", clips, display=(1, 0))] * 3)
        store.answer(first, "ann", Preference("left", 2), 1.0, 2.0, "u1")
        store.answer(second, "ann", Preference("equal"), 3.0, 4.0, "u2")
        store.undo_last("ann")
    return path


def test_it_shows_how_far_things_are(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["answers", str(filled.parent)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "1 answers to queries (1 taken back), 2 queries open (0 being looked at), 0 withdrawn" in words
    assert "ann │ person │ 1" in words


def test_it_exports_every_answer(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers.jsonl"
    assert tyro.cli(Answers, args=[str(filled), "--export", str(out)]).run() == 0
    first, second = (json.loads(line) for line in out.read_text().splitlines())
    assert (first["uuid"], first["value"], first["display"], first["retracted_at"]) == (
        "u1",
        {"choice": "left", "strength": 2},
        [1, 0],
        None,
    )
    assert (first["annotator"], first["shown_at"], first["answered_at"]) == ("ann", 1.0, 2.0)
    assert second["value"]["choice"] == "equal"
    assert second["retracted_at"] > 0
    capsys.readouterr()
    assert tyro.cli(Answers, args=[str(filled), "--export", "-"]).run() == 0
    assert capsys.readouterr().out == out.read_text()


def test_wrong_paths_are_refused(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here"):
        tyro.cli(Answers, args=[str(tmp_path / "none")]).run()
    with pytest.raises(UserError, match="cannot write"):
        tyro.cli(Answers, args=[str(filled), "--export", str(tmp_path / "no" / "x")]).run()
