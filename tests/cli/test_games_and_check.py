"""``rlhf-games games`` and ``rlhf-games check``: the list needs no JAX, and verdicts become an exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlhf_games import testing
from rlhf_games.cli.check import _settings
from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.testing import GAME_RULES

LOPSIDED = '''
import dataclasses
from dataclasses import dataclass
from rlhf_games.testing.probes import MatchObservation

@dataclass(frozen=True)
class Options:
    """Options of the family."""
    aim: str = ""
    """What people are told."""

class Lopsided(MatchObservation):
    def __init__(self, options):
        object.__setattr__(self, "options", options)

    @property
    def spec(self):
        return dataclasses.replace(super().spec, name="lopsided/one", aim=self.options.aim, options={"aim": self.options.aim})

def make(name, options):
    return Lopsided(options)
'''


def test_games_lists_names_players_and_aims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["games", "board"]) == 0
    out = capsys.readouterr().out
    assert "board/connect_four" in out
    assert "2 players" in out
    assert "minatar" not in out


def test_games_filter_reads_title_and_kind_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["games", "connect F", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["board/connect_four"]
    assert main(["games", "device", "--json"]) == 0
    assert {entry["kind"] for entry in json.loads(capsys.readouterr().out)} == {"device"}


def test_games_without_a_match_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["games", "chess boxing"]) == 2
    assert "no game has 'chess boxing'" in capsys.readouterr().err


def test_listing_games_imports_no_jax_and_no_game() -> None:
    code = (
        "import sys; from rlhf_games.cli.main import main; main(['games']); "
        "heavy = {m.split('.')[0] for m in sys.modules} & {'jax', 'pgx', 'pygame', 'ale_py', 'rlhf_games_workspace'}; "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_check_game_passes_a_sound_game(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "game", "board/tic_tac_toe", "--steps", "60"]) == 0
    out = capsys.readouterr().out
    assert f"{len(GAME_RULES)} of {len(GAME_RULES)} rules hold" in out
    assert "FAIL" not in out


def test_check_game_shows_what_is_broken_and_fails(make_lab: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab("lab", "lopsided")
    (lab / "games" / "lopsided" / "game.py").write_text(LOPSIDED)
    assert main(["--workspace", str(lab), "check", "game", "lopsided/one", "--steps", "40"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  spec" in out
    assert "aim is empty: people need it" in out
    assert f"{len(GAME_RULES) - 1} of {len(GAME_RULES)} rules hold, 1 broken" in out
    assert main(["--workspace", str(lab), "check", "game", "lopsided/one", "--steps", "40", "--set", "aim=Match it."]) == 0


def test_check_game_explains_wrong_names_and_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "game", "board/tictactoe"]) == 2
    assert "did you mean 'board/tic_tac_toe'" in capsys.readouterr().err
    assert main(["check", "game", "board/tic_tac_toe", "--steps", "0"]) == 2
    assert "--steps must be at least 1" in capsys.readouterr().err


def test_check_agent_runs_on_the_shapes_of_a_game(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "agent", "ppo", "--game", "board/tic_tac_toe", "--set", "epochs=1", "--set", "hidden=[8]"]) == 0
    out = capsys.readouterr().out
    assert "13 of 13 rules hold" in out
    assert "ppo on board/tic_tac_toe: Place marks" in out
    assert "several kinds" not in out


def test_check_agent_says_what_it_meets_and_how_to_meet_less(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    specs = testing.example_specs()
    monkeypatch.setattr(testing, "AGENT_RULES", testing.AGENT_RULES[:1])
    assert main(["check", "agent", "ppo", "--set", "hidden=[8]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "--game NAME" in lines[0]
    assert [line for line in lines if "ppo on" in line] == [
        f"{number}/{len(specs)} ppo on {spec.name}: {spec.aim}" for number, spec in enumerate(specs, 1)
    ]
    assert lines[-1] == f"{len(specs)} of {len(specs)} rules hold"


def test_settings_nest_and_refuse_contradictions() -> None:
    assert _settings(("a=1", "b.c=x", "b.d=true")) == {"a": 1, "b": {"c": "x", "d": True}}
    with pytest.raises(UserError, match="plain value"):
        _settings(("a=1", "a.b=2"))
