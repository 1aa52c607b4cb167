"""Names from stores, flags and files are shown as they are: nothing in them is obeyed, by rich or by the terminal."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress
from rich.table import Table

from rlhf_games.cli.console import LiteralColumn, LiteralConsole
from rlhf_games.cli.main import main
from rlhf_games.core.literal import literal
from rlhf_games.feedback.answers import Preference
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.checksum import Checksum
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay

ROOT = Path(__file__).resolve().parents[2]
MARKED = "[red]x[/red] [/x] :smile: [link=http://a]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("müller – 研究 [/x]\n\tend", "müller – 研究 [/x]\n\tend"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m\x7f\r", r"\x9b31m\x7f\r"),
        ("\u202eabc\u2066\u200b", r"\u202eabc\u2066\u200b"),
        ("\udc80\u2028", r"\udc80\u2028"),
        ("'\"\\", "'\"\\"),
    ],
)
def test_what_is_not_drawn_is_escaped(text: str, shown: str) -> None:
    assert literal(text) == shown


def test_long_lines_are_shortened() -> None:
    assert literal("a" * 50 + "\n" + "b" * 5, 20) == "a" * 10 + " ... (30 characters left out) ... " + "a" * 10 + "\nbbbbb"


@given(st.text())
def test_nothing_but_drawn_characters_is_left(text: str) -> None:
    shown = literal(text)
    assert {unicodedata.category(char) for char in shown if char not in "\n\t"}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert literal(shown) == shown


def test_tables_titles_bars_and_lines_are_literal() -> None:
    console = LiteralConsole(highlight=False)
    console.file = io.StringIO()
    console.width = 200
    table = Table(MARKED + "\x1b[31m", title=MARKED + "\x1b[32m")
    table.add_row(MARKED + "\x1b[33m")
    with Progress(LiteralColumn("{task.description}"), LiteralColumn("{task.fields[note]}"), console=console) as bar:
        bar.add_task(MARKED + "\x1b[35m", note=MARKED + "\x1b[36m")
    console.print(MARKED + "\x1b[34m")
    console.print(table)
    said = console.file.getvalue()
    assert {int(number) for number in re.findall(r"\\x1b\[(\d+)m", said)} == set(range(31, 37))
    assert said.count(MARKED) == 6
    assert "\x1b" not in said


def test_every_console_and_every_column_is_literal() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "rlhf_games").rglob("*.py") if path.name != "console.py"}
    for word in (
        r"\bConsole\(",
        r"\bTextColumn\b",
        r"from rich import print",
        r"rich\.print",
        r"rich\.markup",
        r"\[/?(bold|dim|italic|red|green)\]",
    ):
        assert [path.name for path, text in sources.items() if re.search(word, text)] == []


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "[x] store.sqlite"
    replay = Replay("probe/none", "1", {}, 0, np.zeros((50, 1), np.int32), Checksum((0.0,), 50, "0" * 32, ()), "terminated", ("agent",))
    with Store.open(path) as store:
        store.add_replays([replay])
        clips = (Clip((Segment(replay.id, 0, 9),)), Clip((Segment(replay.id, 9, 9),)))
        (first,) = store.post_queries([QueryDraft("preference", clips)])
        store.answer(first, "[/x] [bold]", Preference("left", 2), 1.0, 2.0, "u1")
    return path


def test_an_annotator_named_like_markup(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["answers", str(store)]) == 0
    assert "[/x] [bold]" in capsys.readouterr().out


LONG = "x" * 5_000
WITH_LONG_NAMES = [
    ["run", "\x1b]0;title\x07" + LONG],
    ["run", "--out", "\x1b]0;title\x07" + LONG],
    ["new", "\x1b]0;title\x07" + LONG],
    ["games", "\x1b]0;title\x07" + LONG],
    ["check", "game", "\x1b]0;title\x07" + LONG],
    ["check", "agent", "\x1b]0;title\x07" + LONG, "--game", "minatar/breakout"],
    ["resume", "\x1b]0;title\x07" + LONG],
    ["answers", "\x1b]0;title\x07" + LONG],
    ["report", "\x1b]0;title\x07" + LONG],
    ["reproduce", "\x1b]0;title\x07" + LONG],
    ["study", "\x1b]0;title\x07" + LONG],
    ["arena", "\x1b]0;title\x07" + LONG],
    ["coach", "\x1b]0;title\x07" + LONG],
    ["run", "--set", "name='\x1b]0;title\x07" + LONG + "'"],
    ["--workspace", "\x1b]0;title\x07" + LONG, "games"],
]


@pytest.mark.parametrize("words", WITH_LONG_NAMES, ids=lambda words: " ".join(words)[:12])
def test_errors_are_literal_and_short(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert r"\x1b]0;title\x07" in said
    assert "\x1b" not in said
    assert len(said) < 3_000


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_output_without_letters_for_it(store: Path, variables: dict[str, str]) -> None:
    for words in (["games", "breakout"], ["answers", str(store)], ["--help"], ["games", "–"]):
        command = [sys.executable, "-P", "-m", "rlhf_games", *words]
        done = subprocess.run(command, capture_output=True, check=False, env=os.environ | variables)
        assert done.returncode == (2 if "–" in words else 0), done.stderr
        assert (done.stdout + done.stderr).isascii()
        assert b"Traceback" not in done.stderr
