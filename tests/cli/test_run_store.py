"""``--store``: runs whose questions and answers lie elsewhere, and every verb finds them again."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from rlhf_games import workspace
from rlhf_games.arena.runs import find_runs, find_target
from rlhf_games.cli.main import main
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.place import keep_secret, password_of, resolve, secret_of, without_password
from rlhf_games.feedback.store import AnswerDraft, Store

from ..experiment.tiny import SETTINGS, flags, make_lab  # noqa: TID252 - tests are no package


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_lab(tmp_path / "lab")
    monkeypatch.setenv(workspace.VARIABLE, str(folder))
    monkeypatch.chdir(folder)
    workspace.refresh()
    yield folder
    monkeypatch.undo()
    workspace.refresh()


def annotators_of(report: str) -> list[list[str]]:
    """The rows of a report's table of annotators."""
    table = report.partition("Annotators: answers that stand")[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2] or table, re.DOTALL)
    return [cells for row in rows if (cells := re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL))]


def test_a_run_with_its_store_elsewhere_is_found_by_every_verb(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", "--out", "runs/own", *flags(SETTINGS), "--store", "all.sqlite"]) == 0
    assert not (lab / "runs" / "own" / "store.sqlite").exists()
    assert main(["run", "--out", "runs/second", *flags(SETTINGS), "--store", "runs/own"]) == 0, "the store of that run"
    monkeypatch.chdir("/")
    own = str(lab / "runs" / "own")
    capsys.readouterr()
    assert main(["answers", own]) == 0
    assert "30 answers to queries" in capsys.readouterr().out
    assert main(["answers", str(lab / "all.sqlite")]) == 0
    assert "60 answers to queries" in capsys.readouterr().out
    assert main(["answers", own, "--export", "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 30
    for name in ("own", "second"):
        assert main(["report", str(lab / "runs" / name), "--no-clips"]) == 0
        report = (lab / "runs" / name / "report.html").read_text(encoding="utf-8")
        assert annotators_of(report) == [["teacher:oracle", "teacher", "30", "0", "0", "0", "–", "–"]], "its own answers and no others"
    assert main(["answers", own]) == 0
    table = capsys.readouterr().out
    assert [line.split()[1::2] for line in table.splitlines() if "teacher:oracle" in line] == [["teacher:oracle", "teacher", "30"]]
    assert main(["reproduce", own, "--out", str(lab / "again")]) == 0
    assert (lab / "again" / "store.sqlite").exists()
    assert main(["reproduce", str(lab / "runs" / "second"), "--out", str(lab / "third")]) == 2
    assert "shared its store" in capsys.readouterr().err
    assert main(["teach", own, "--idle", "0.01", "--poll", "0.01"]) == 0
    assert {run.name for run in find_runs(lab / "runs")} == {"own", "second"}


def test_the_window_of_a_run_shows_that_runs_questions(lab: Path) -> None:
    for name in ("a", "b"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rlhf_games.experiment.loop.FeedbackLoop._collect", lambda *_: False)  # as if stopped while it waits
            assert main(["run", "--out", name, *flags(SETTINGS), "--teacher", "human", "--no-window", "--store", "all.sqlite"]) == 130
    target = find_target("b")
    assert (target.name, target.game) == ("b", "probe/match")
    with Store.open(target.store, create=False) as store, Store.open("all.sqlite") as everything:
        mine = store.query_ids(still_wanted=True)
        assert mine == everything.query_ids()[len(mine) :], "asked after those of the other run"
        assert [query.id for query in store.lease_many("ann", 100)] == mine
        assert store.progress().open == len(mine)
        everything.post_answers(
            [AnswerDraft("ann", Preference("left"), 1.0, 2.0, uuid.uuid4().hex, query_id=query) for query in everything.query_ids()[:1]]
        )
        assert store.undo_last("ann") is None, "an answer to the other run"


def test_a_store_that_cannot_be_used_leaves_no_run_behind(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for store, why in (
        ("nowhere/x.sqlite", "does not exist"),
        ("postgresql://ann:s3cr%40t@127.0.0.1:1/x", "cannot be used"),
        ("mysql://h/x", "lives in"),
    ):
        assert main(["run", "--out", "run", *flags(SETTINGS), "--store", store]) == 2
        said = capsys.readouterr().err
        assert why in said
        assert "s3cr" not in said
        assert not Path("run").exists()
    for wrong in ("postgresql://ann:s3c@ret@host/x", "postgresql://ann:s3cret@host:port/x", "nosql://ann:s3cret@host/x"):
        assert main(["answers", wrong]) == 2
        said = capsys.readouterr().err
        assert not any(part in said for part in ("s3c", "ret@"))
    Path("run").mkdir()
    (Path("run") / "store.json").write_text('{"store": 3}')
    assert main(["answers", "run"]) == 2
    assert "store.json" in capsys.readouterr().err


@given(password=st.text(st.characters(exclude_characters="@", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_no_password_that_a_database_takes_is_shown(password: str) -> None:
    full = f"postgresql://ann:{password}@host/games?sslmode=require"
    assert make_url(full).password == unquote(password), "it is one"
    assert without_password(full) == "postgresql://ann@host/games?sslmode=require"
    assert password_of(keep_secret(full)) == unquote(password)


def test_addresses_without_their_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for full, public in {
        "postgresql://ann:pw@host:5/games": "postgresql://ann@host:5/games",
        "postgresql://ann:p:w@x@host/games": "postgresql://ann@host/games",
        "postgresql://host/games?password=pw&user=ann": "postgresql://host/games?user=ann",
        "postgresql://host/games?password=pw": "postgresql://host/games",
        "postgresql://ann@host/games?sslmode=require": "postgresql://ann@host/games?sslmode=require",
        "postgresql://u:pa?ss@host/db": "postgresql://u@host/db",
        "postgresql://u:p/a?s=s@host:5/db?sslmode=require": "postgresql://u@host:5/db?sslmode=require",
        "postgresql://u:p@s/w@host/db": "postgresql://u@host/db",
        "postgresql://u:p@s?w@host/db": "postgresql://u@host/db",
        "postgresql+psycopg://u:@host": "postgresql+psycopg://u@host",
        "postgresql://a@b@host/db": "postgresql://a@b@host/db",
        "postgresql://host/db?user=a@b&pass%77ord=pw": "postgresql://host/db?user=a@b",
        "postgresql://host/db?&Password=p?w&sslpassword=x": "postgresql://host/db",
        "postgresql://host/db?": "postgresql://host/db?",
        "sqlite:////a:b@c.sqlite": "sqlite:////a:b@c.sqlite",
        "some:where@here.sqlite": "some:where@here.sqlite",
    }.items():
        assert without_password(full) == public
    public = keep_secret("postgresql://ann:p%40w@host/one")
    assert (secret_of(public), password_of(public)) == ("postgresql://ann:p%40w@host/one", "p@w")
    assert (secret_of("postgresql://bob@host/one"), password_of("postgresql://bob@host/one")) == ("postgresql://bob@host/one", None)
    assert resolve("x.sqlite") == str(tmp_path / "x.sqlite")
    assert resolve("sqlite:///x.sqlite") == resolve("sqlite+pysqlite:///x.sqlite?mode=rw") == str(tmp_path / "x.sqlite")
    assert resolve("sqlite:////x.sqlite") == "/x.sqlite"
    assert resolve("sqlite:///:memory:") == "sqlite:///:memory:"
    assert resolve(str(tmp_path)) == str(tmp_path / "store.sqlite")
    (tmp_path / "store.json").write_text(json.dumps({"store": "postgresql://host/x", "session": "s"}))
    assert resolve(".") == "postgresql://host/x"
