from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tyro

from rlhf_games.cli.answers import Answers
from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Evaluation, Preference, Ranking, Rating
from rlhf_games.feedback.export import exported
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
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
        first, second, _ = store.post_queries(
            [QueryDraft("preference", clips, "entropy", 0.5, session="night", iteration=4, display=(1, 0))] * 3
        )
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


def test_an_export_can_be_analysed_alone(filled: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    assert main(["answers", str(filled), "--export", str(out)]) == 0
    first, second = (json.loads(line) for line in out.read_text().splitlines())
    with Store.open(filled) as store:
        (replay_id,) = store.replay_ids()
    segments = [[{"episode": replay_id, "start": start, "length": 9}] for start in (0, 9)]
    expected = {
        "game": "probe/none",
        "session": "night",
        "iteration": 4,
        "strategy": "entropy",
        "acquisition": 0.5,
        "control": False,
        "clips": [{"length": 9, "seat": 0, "segments": part} for part in segments],
        "display": [1, 0],
        "meant": "second",  # left was shown the second clip
        "response_seconds": 1.0,
        "annotator_kind": "person",
    }
    assert {name: first[name] for name in expected} == expected
    assert second["meant"] == "tie"
    book = (tmp_path / "answers-codebook.md").read_text()
    assert [line.split(" | ")[0].removeprefix("| ") for line in book.splitlines() if line.startswith("| ")][1:] == list(first)


def test_an_export_as_csv_under_pseudonyms(filled: Path, tmp_path: Path) -> None:
    with Store.open(filled) as store:
        store.answer(3, "zoe", Preference("unsure"), 5.0, 7.5, "zoe-1")
        store.post_answers([AnswerDraft("ann", Evaluation(-0.5), 8.0, 8.0, "u4", replay_id=store.replay_ids()[0], step=7)])
    out = tmp_path / "answers.csv"
    assert main(["answers", str(filled), "--export", str(out), "--pseudonyms"]) == 0
    assert "ann\n" not in out.read_text().replace(",", "\n")
    assert "zoe" not in out.read_text()
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["annotator"] for row in rows] == ["annotator-1", "annotator-1", "annotator-2", "annotator-1"]
    assert [row["meant"] for row in rows] == ["second", "tie", "unsure", ""]
    assert (rows[2]["response_seconds"], rows[2]["retracted_at"], rows[2]["control"]) == ("2.5", "", "false")
    assert json.loads(rows[0]["clips"])[1]["segments"][0]["start"] == 9
    assert (rows[3]["kind"], rows[3]["query_id"], rows[3]["step"], rows[3]["game"]) == ("evaluation", "", "7", "probe/none")
    assert json.loads(rows[3]["value"]) == {"value": -0.5, "seat": 0, "speed": 1.0, "since_end": None}


def test_what_was_meant_by_rankings_and_ratings(filled: Path) -> None:
    with Store.open(filled) as store:
        (replay_id,) = store.replay_ids()
        clips = tuple(Clip((Segment(replay_id, start, 3),)) for start in (0, 3, 6))
        ranked = [QueryDraft("ranking", clips, display=(2, 0, 1)), QueryDraft("rating", clips[:1])]
        ids = store.post_queries([*ranked, *ranked])
        values = (Ranking((0, 1, 1)), Rating(4), Ranking(()), Rating(None))
        for number, value in enumerate(values):
            store.answer(ids[number], "ann", value, 1.0, 1.0, f"r{number}")
        assert [row["meant"] for row in exported(store)][2:] == [[1, 1, 0], 4, None, None]


def test_wrong_paths_are_refused(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here"):
        tyro.cli(Answers, args=[str(tmp_path / "none")]).run()
    with pytest.raises(UserError, match="--pseudonyms is for --export"):
        tyro.cli(Answers, args=[str(filled), "--pseudonyms"]).run()
    with pytest.raises(UserError, match="cannot write"):
        tyro.cli(Answers, args=[str(filled), "--export", str(tmp_path / "no" / "x")]).run()
