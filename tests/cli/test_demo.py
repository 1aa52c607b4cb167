"""``rlhf-games demo`` from another folder, with a budget that is too small to learn anything but large enough for every part."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_games.cli.main import main
from rlhf_games.feedback.store import Store

STEPS, ANSWERS = 16_384, 16
KEYS = {
    "labels", "return_feedback", "return_true", "return_constant", "return_random_labels", "return_random", "ratio", "seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a tiny demo wrote."""
    here = tmp_path_factory.mktemp("elsewhere")
    command = [
        sys.executable,
        "-m",
        "rlhf_games",
        "demo",
        "--steps",
        str(STEPS),
        "--answers",
        str(ANSWERS),
        "--out",
        "shown",
        "--seed",
        "3",
    ]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1/6" in done.stderr
    assert "6/6" in done.stderr
    assert "summary.json" in done.stdout
    assert [path.name for path in here.iterdir()] == ["shown"]
    return here / "shown"


def test_the_summary_holds_what_it_must(written: Path) -> None:
    summary = json.loads((written / "summary.json").read_text())
    assert set(summary) == KEYS | {"seed", "ratio_constant", "ratio_random_labels"}
    assert summary["seed"] == 3
    assert 0 < summary["labels"] <= ANSWERS
    assert summary["seconds"] > 0
    span = summary["return_true"] - summary["return_random"]
    if summary["ratio"] is not None:
        assert summary["ratio"] * span == pytest.approx(summary["return_feedback"] - summary["return_random"], abs=1e-3)


def test_the_files_are_whole(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {"demo.png", "report.html", "summary.json", "curves.json", "answers"}
    assert (written / "demo.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    report = (written / "report.html").read_text()
    assert "What was learned" in report
    assert "which clip is better?" in report
    assert report.count("data:image/png;base64,") >= 6  # the picture for light and dark screens, clips moving and still
    assert "http" not in report.replace("http-equiv", "")


def test_all_arms_took_the_same_steps(written: Path) -> None:
    curves = json.loads((written / "curves.json").read_text())["arms"]
    assert len(curves) == 6
    for arm in curves.values():
        assert arm["steps"] == [STEPS // 2, STEPS]


def test_the_answers_are_kept(written: Path) -> None:
    for name in ("feedback", "random-labels"):
        with Store.open(written / "answers" / f"{name}.sqlite", create=False) as store:
            assert len(store.answers().answers) == ANSWERS
    assert {path.name for path in (written / "answers").iterdir()} == {"feedback.sqlite", "random-labels.sqlite"}


@pytest.mark.parametrize("words", [["--answers", "3"], ["--steps", "0"], ["--seed", "-1"]], ids=" ".join)
def test_numbers_that_make_no_sense_are_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *words, "--out", str(tmp_path / "new")]) == 2
    assert words[0].strip("-") in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    for out in (tmp_path, tmp_path / "mine"):
        assert main(["demo", "--out", str(out)]) == 2
        assert "holds something already" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "precious"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--seed", "--out", "--steps", "--answers", "--open"):
        assert flag in shown
