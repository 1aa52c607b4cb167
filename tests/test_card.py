"""A family's cards: lines that people can be shown, or a refusal that names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_games.core.card import read_cards
from rlhf_games.core.errors import UserError

GOOD = {"kind": '"device"', "name": '"one"', "title": '"One"', "players": "2", "aim": '"Win."'}


def write(folder: Path, **changes: str) -> Path:
    entries = {**GOOD, **changes}
    kind = entries.pop("kind")
    folder.mkdir(exist_ok=True)
    text = f"kind = {kind}\n[[game]]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
    (folder / "cards.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_card(tmp_path: Path) -> None:
    (card,) = read_cards(write(tmp_path / "mine", title='"Zelda [/x] – 1"'))
    assert (card.name, card.title, card.kind, card.players, card.aim) == ("mine/one", "Zelda [/x] – 1", "device", 2, "Win.")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("title", r'"\u001b[2J"', r"title must be one line.*\\x1b\[2J"),
        ("aim", r'"two\nlines"', "aim must be one line"),
        ("aim", r'"\u202Ereversed"', "aim must be one line"),
        ("title", '"' + "x" * 1_001 + '"', "title must be one line of 1 to 1000"),
        ("name", '""', "name must be one line"),
        ("title", "3", "title must be one line"),
        ("kind", '"cloud"', "kind must be one of device, host"),
        ("players", "0", "players must be an integer in 1..1000"),
        ("players", "true", "players must be an integer"),
        ("players", "1e400", "players must be an integer"),
        ("players", str(2**63), "players must be an integer"),
        ("players", '"' + "9" * 5_000 + '"', "players must be an integer"),
        ("aim", "[" * 1_000 + "]" * 1_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, key: str, value: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)cards\.toml.*{says}") as caught:
        read_cards(write(tmp_path / "mine", **{key: value}))
    assert len(str(caught.value)) < 500


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80) | st.text(alphabet="agnme=[]{}.\"'#\n 1-", max_size=80).map(str.encode))
def test_any_file_is_taken_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cards.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"cards\.toml"):
        read_cards(tmp_path)
