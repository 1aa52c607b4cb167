"""What a report says about answers, worked out by hand; and a run's own report with its questions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from rlhf_games.cli.main import main
from rlhf_games.experiment.answering_report import answers_of, cohen_kappa, distribution, picture, tables
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.run_report import write_run_report
from rlhf_games.experiment.runner import Interruption, create_run, execute
from rlhf_games.feedback.answers import Evaluation, Preference, Rating
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
from rlhf_games.replay.checksum import Checksum
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay

from .tiny import tiny


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four questions of the run "mine", one of another; ann and bob answer."""
    opened = Store.open(tmp_path / "store.sqlite")
    replay = Replay("probe/none", "1", {}, 0, np.zeros((50, 1), np.int32), Checksum((0.0,), 50, "0" * 32, ()), "terminated", ("agent",))
    opened.add_replays([replay])
    clips = (Clip((Segment(replay.id, 0, 9),)), Clip((Segment(replay.id, 9, 9),)))
    mine = [QueryDraft("preference", clips, session="mine", display=(0, 1), wanted=2)] * 4
    ids = opened.post_queries([*mine, QueryDraft("rating", clips[:1], session="another")])
    said = {"ann": ("left", "left", "right", "right"), "bob": ("left", "right", "right", "right")}
    for name, choices in said.items():
        for number, choice in enumerate(choices):
            value = Preference(choice, 2 if number == 3 else 1)  # type: ignore[arg-type]
            opened.answer(ids[number], name, value, 10.0, 11.0 + number, f"{name}{number}")
    opened.answer(ids[4], "ann", Rating(5), 1.0, 2.0, "other")
    unasked = [AnswerDraft("eve", Evaluation(v), 1.0, 1.0, f"e{v}", replay_id=replay.id, step=3) for v in (1.0, -0.5, 0.5)]
    opened.post_answers(unasked)
    opened.undo_last("eve")
    return opened


def test_annotators_agreement_and_distribution(store: Store) -> None:
    with store:
        rows = answers_of(store, "mine")
    annotators, agreement, answered = tables(rows)
    assert annotators.header[-2:] == ("seconds", "90 %")
    assert list(annotators.rows) == [
        ("ann", "person", 4, 0, 0, 0, 2.5, pytest.approx(3.7)),  # 1, 2, 3, 4 s
        ("bob", "person", 4, 0, 0, 0, 2.5, pytest.approx(3.7)),
        ("eve", "person", 0, 2, 1, 0, None, None),
    ]
    # Three of four agree. By chance: both left 2/4 · 1/4, both right 2/4 · 3/4, together 1/2; κ = (3/4 − 1/2) / (1 − 1/2).
    assert list(agreement.rows) == [("ann, bob", 4, 0.75, 0.5)]
    assert distribution(rows) == {
        ("evaluation", "bad"): 1,
        ("evaluation", "good"): 2,
        ("preference", "left better"): 3,
        ("preference", "right better"): 3,
        ("preference", "right much better"): 2,
    }
    assert [row[2:] for row in answered.rows][:2] == [(1, 0.5), (1, 0.5)], "what was taken back does not count"


def test_kappa_where_chance_explains_everything() -> None:
    assert cohen_kappa(["a", "b"], ["a", "b"]) == 1.0
    assert cohen_kappa(["a", "b"], ["b", "a"]) == -1.0
    assert cohen_kappa(["a", "a"], ["a", "a"]) is None


def test_a_store_without_answers_says_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.sqlite") as store:
        assert tables(answers_of(store, "mine")) == []
        assert picture(answers_of(store, "mine")) is None


def test_the_report_of_a_real_run_shows_its_questions(bench: Bench, in_lab: Path, tmp_path: Path) -> None:
    run = create_run(tiny(feedback__wanted=2), tmp_path / "run")
    execute(run, lambda progress: None, Interruption(print), bench)
    text = write_run_report(run).read_text(encoding="utf-8")
    shown = re.findall(r"<figcaption>Answer (\d+) of 60 \(preference, iteration (\d), uniform\), by (teacher:oracle[-2]*)", text)
    assert [number for number, _, _ in shown] == ["1", "21", "40", "60"], "evenly, from the first to the last"
    assert (shown[0][1], shown[-1][1]) == ("0", "3")
    assert "teacher:oracle, teacher:oracle-2" in text
    assert main(["report", str(run.path), "--no-clips"]) == 0
    quick = (run.path / "report.html").read_text(encoding="utf-8")
    assert "<figcaption>Answer" not in quick
    assert "teacher:oracle, teacher:oracle-2" in quick
