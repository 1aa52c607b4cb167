"""JSON and TOML of any kind: a value, or a ValueError."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.core.parse import DEEPEST, parse_json, parse_toml


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"step": Infinity}', "Infinity is no number"),
        ('{"step": -Infinity}', "-Infinity is no number"),
        ('{"step": NaN}', "NaN is no number"),
        ('{"step": 1e400}', "the number 1e400 is too large"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested too deeply"),
        (b"\xff", "can't decode"),
        ("9" * 5_000, "4300 digits"),
    ],
)
def test_json_that_is_refused(text: str | bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(text)


def test_json_that_is_taken() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, 1e300, null]}') == {"a": [1, 2.5, 1e300, None]}
    assert parse_json("\ufeff3") == 3
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_json(text: str | bytes) -> None:
    try:
        json.dumps(parse_json(text), allow_nan=False)
    except ValueError:
        return


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_json_there_and_back(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


def test_toml() -> None:
    assert parse_toml(b"\xef\xbb\xbfa = 1\r\n") == {"a": 1}
    assert math.isinf(parse_toml("a = inf")["a"])
    for text, says in (("a = " + "[" * 100_000, "nested"), ("a = " + "[" * 70 + "]" * 70, "nested"), (b"\xff", "decode"), ("a =", "value")):
        with pytest.raises(ValueError, match=f"(?i){says}"):
            parse_toml(text)


ALLOWED = {
    "rlhf_games/core/parse.py": "the parsers themselves",
    "rlhf_games/cli/bench/peers/sb3_ppo.py": "what the bench tells its own child process, which imports nothing of ours",
    "rlhf_games/cli/bench/peers/rejax_ppo.py": "the same",
    "rlhf_games/cli/bench/peer.py": "what that process answers, through a pipe",
    "rlhf_games/replay/replay.py": "of values that it has just written itself",
    "rlhf_games/testing/game_contract.py": "the same",
    "rlhf_games/testing/probes.py": "the same",
    **{f"games/{family}/game.py": "the cards beside it, a part of the program" for family in ("atari", "board", "minatar", "pettingzoo")},
}
"""Where the standard library's own parsers may be called, and on what."""


def test_files_are_read_by_these_parsers_alone() -> None:
    """Others end in a RecursionError, take NaN, or stumble over a byte order mark."""
    root = Path(__file__).resolve().parents[1]
    files = [path for folder in ("rlhf_games", "games", "agents") for path in (root / folder).rglob("*.py")]
    others = re.compile(r"\bjson\.loads?\b|\btomllib\b|\bfrom json import\b|\bJSONDecoder\b")
    assert {str(path.relative_to(root)) for path in files if others.search(path.read_text(encoding="utf-8"))} == set(ALLOWED)
