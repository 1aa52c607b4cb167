"""What the README prints works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rlhf_games.feedback.store import Store

README = Path(__file__).parents[1] / "README.md"


def test_the_ten_lines_work_when_they_are_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for printed, quick in (("steps=655_360", "steps=8_192, iterations=1"), ("budget=400", "budget=8"), ("episodes=128", "episodes=4")):
        assert printed in lines
        lines = lines.replace(printed, quick)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        found: dict[str, object] = {}
        exec(lines, found)
        found["loop"].store.close()  # type: ignore[attr-defined]
    first, second = (float(text) for text in capsys.readouterr().out.split("\n") if text and " " not in text)
    assert first == second, "the second run learns from its own answers, as the first did"
    with Store.open("answers.sqlite") as store:
        sessions = [query.session for query in store.queries(store.query_ids())]
    assert [sessions.count(session) for session in dict.fromkeys(sessions)] == [8, 8]
