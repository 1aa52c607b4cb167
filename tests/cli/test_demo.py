"""What ``rlhf-games demo`` refuses and how it explains itself; a whole one runs from the wheel, in ``tests/test_wheel.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf_games.cli.demo import _display
from rlhf_games.cli.main import main
from rlhf_games.experiment import demo as parts
from rlhf_games.experiment.comparison import arms


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


@pytest.mark.parametrize("terminal", [False, True])
def test_each_arm_is_announced_in_plain_words(terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if terminal:
        for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "300"}.items():
            monkeypatch.setenv(name, value)
    experiment = parts.experiment(0, answers=400)
    with _display(experiment) as display:
        for arm in arms(experiment):
            display.begins(arm)
        display.says("[/x] stops\x1b[2J")
    said = capsys.readouterr().err
    assert "[bold]" not in said
    assert "[dim]" not in said
    assert "[/x] stops\\x1b[2J" in said
    first = "\x1b[1m1/6 400 answers\x1b[0m: this agent learns only" if terminal else "1/6 400 answers: this agent learns only"
    assert first in said


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--seed", "--out", "--steps", "--answers", "--open"):
        assert flag in shown
