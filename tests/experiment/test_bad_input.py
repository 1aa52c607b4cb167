"""Whatever a person gets wrong is one message that says where and how to mend it; no traceback reaches a user."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_games.cli.main import main
from rlhf_games.config import from_mapping
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.runner import Interruption, create_run, execute
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.store import Store
from rlhf_games.replay.replay import Replay

from .tiny import flags, tiny
from .tiny import settings as table_of

QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(*words: str) -> str:
    """What the command line says; it must refuse."""
    errors, output = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(output):
        try:
            status = main(words)
        except SystemExit as end:  # wrong flags: the parser's own message
            status = int(end.code or 0)
    said = errors.getvalue() + output.getvalue()
    assert status == 2, said
    assert "Traceback" not in said
    assert len(said) < 2_000, "a message, not a page"
    return said


def keys_of(table: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in table.items():
        found += keys_of(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


KEYS = keys_of(table_of())
SCALARS = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=8), st.lists(st.integers(), max_size=3))


@QUICK
@given(text=st.text(max_size=200))
def test_any_text_as_an_experiment_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        table = {"not": "TOML"}
    if table:
        assert str(path) in refusal("run", str(path), "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = \x00", b"[" * 3000, b"steps = 1" + b"0" * 5000, b'name = "\\ud800"'])
def test_bytes_that_are_no_experiment(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    assert str(path) in refusal("run", str(path))


@QUICK
@given(key=st.sampled_from(KEYS), value=SCALARS)
def test_any_value_of_any_setting_is_taken_or_refused_by_name(key: str, value: Any) -> None:
    table = table_of()
    place = table
    *path, last = key.split(".")
    for name in path:
        place = place[name]
    place[last] = value
    try:
        experiment = from_mapping(Experiment, table, "mine.toml")
    except UserError as error:
        assert str(error).startswith(f"mine.toml: {key}"), error
    else:
        assert experiment.updates >= 1


@QUICK
@given(key=st.sampled_from(KEYS), junk=st.text("abcxyz_", min_size=1, max_size=3))
def test_a_mistyped_setting_is_refused_with_the_nearest(key: str, junk: str) -> None:
    *path, last = key.split(".")
    if path[-2:] == ["agent", "config"]:
        return  # the agent's own settings are checked by the agent
    said = refusal("run", "--set", f"{'.'.join([*path, last + junk + '9'])}=1")
    assert f"{last}{junk}9" in said
    assert "there is no such setting" in said
    assert "did you mean" in said or "known are" in said


@QUICK
@given(text=st.text(max_size=40).filter(lambda text: not text.startswith("-")))
def test_any_text_as_a_change(text: str) -> None:
    said = refusal("run", "--set", text)
    assert "--set" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"game__name": "probe/mtach"}, "did you mean 'probe/match'?"),
        ({"game__name": "nothing"}, "there is no game 'nothing'"),
        ({"game__options": {"strcit": True}}, "did you mean 'game.options.strict'?"),
        ({"game__options": {"strict": "very"}}, "game.options.strict: expected true or false"),
        ({"agent__name": "pppo"}, "there is no agent 'pppo'; did you mean 'ppo'?"),
        ({"agent__config": {"lerning_rate": 1.0}}, "did you mean 'agent.config.learning_rate'?"),
        ({"agent__config": {"learning_rate": -1.0}}, "agent.config.learning_rate: must be positive"),
        ({"agent__config": {"hidden": [0]}}, "agent.config.hidden: must name"),
        ({"agent__config": {"minibatches": 7}}, "7 minibatches do not divide 64 rows"),
        ({"agent__config": {"minibatches": 2, "microbatch": 5}}, "a microbatch of 5 rows does not divide"),
        ({"agent__config": {"network": "cnn", "minibatches": 2}}, "network 'cnn' needs a grid or an image"),
        ({"model__network__kind": "pixels"}, "model.network: reward network 'pixels' does not fit observations of layout 'vector'"),
        ({"model__network__kind": "cells"}, "model.network: reward network 'cells' does not fit"),
        ({"model__network__precision": "bfloat16"}, "model.network: precision 'bfloat16' is for the pixel reward network"),
        ({"agent__config": {"precision": "bfloat16", "minibatches": 2}}, "precision 'bfloat16' is for convolutions over pixels"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_a_run_begins(in_lab: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    out = tmp_path / "run"
    table = table_of(**changes)
    path = tmp_path / "mine.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in _flat(table)))
    assert says in refusal("run", str(path), "--out", str(out))
    assert not out.exists(), "no folder is left behind"


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in table.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [(prefix + key, value)]
    return found


@pytest.fixture
def stopped(bench: Bench, tmp_path: Path) -> Path:
    """A run that stopped after its second iteration."""
    run = create_run(tiny(), tmp_path / "run")
    interruption = Interruption(lambda text: None)

    def stop(progress: Any) -> None:
        interruption.asked = progress.iteration == 2

    assert execute(run, stop, interruption, bench) is None
    return run.path


@pytest.mark.parametrize("name", ["config.json", "seeds.json", "versions.json", "status.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"state": "flying", "steps": "many"}'])
def test_damaged_files_of_a_run(in_lab: Path, tmp_path: Path, name: str, content: str) -> None:
    run = create_run(tiny(), tmp_path / "run")
    (run.path / name).write_text(content)
    harmless = name in ("seeds.json", "versions.json") and content.startswith('{"')
    if not harmless:
        assert name in refusal("resume", str(run.path))


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in (["resume", str(tmp_path)], ["resume", str(tmp_path / "file")], ["resume", str(tmp_path / "nothing")]):
        assert "folder" in refusal(*words)
        assert "folder" in refusal("reproduce", words[1])
    assert "no store here" in refusal("teach", str(tmp_path / "nothing"))
    assert "there is no file" in refusal("run", str(tmp_path / "nothing.toml"))
    assert "there is no experiment" in refusal("run", "nothing-of-this-name")


def damage_checkpoints(run: Path) -> None:
    for path in (run / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_store(run: Path) -> None:
    (run / "store.sqlite").write_bytes(b"no database" * 100)


def other_database(run: Path) -> None:
    (run / "store.sqlite").unlink()
    with contextlib.closing(sqlite3.connect(run / "store.sqlite")) as connection:
        connection.execute("CREATE TABLE mine (x)")


def damage_replays(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "store.sqlite")) as connection, connection:
        connection.execute("UPDATE replays SET data = substr(data, 1, length(data) / 2)")


def damage_answers(run: Path) -> None:
    with contextlib.closing(sqlite3.connect(run / "store.sqlite")) as connection, connection:
        connection.execute("""UPDATE answers SET payload = '{"choice": "up"}'""")


def damage_metrics(run: Path) -> None:
    (run / "metrics.jsonl").write_text("nonsense\n{}\n")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_checkpoints, "checkpoint"),
        (damage_store, "store.sqlite"),
        (other_database, "belongs to something else"),
        (damage_replays, "replay"),
        (damage_answers, "answers"),
        (damage_metrics, "metrics.jsonl, line 1, is damaged"),
    ],
)
def test_a_damaged_run_says_what_is_damaged(in_lab: Path, stopped: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(stopped)
    assert says in refusal("resume", str(stopped))


def test_a_store_of_another_game_is_refused(in_lab: Path, bench: Bench, stopped: Path, tmp_path: Path) -> None:
    other = create_run(tiny(game__name="probe/timed"), tmp_path / "other")
    interruption = Interruption(lambda text: None)

    def stop(progress: Any) -> None:
        interruption.asked = progress.iteration == 2

    execute(other, stop, interruption)
    shutil.copy(other.path / "store.sqlite", stopped / "store.sqlite")
    assert "holds other questions than the checkpoint was made of" in refusal("resume", str(stopped))


@QUICK
@given(data=st.binary(max_size=300), keep=st.integers(0, 100))
def test_bytes_that_are_no_replay(bench: Bench, data: bytes, keep: int) -> None:
    with pytest.raises(UserError, match="replay"):
        Replay.from_bytes(data)
    with pytest.raises(UserError, match="replay"):
        Replay.from_bytes(b"RLHFGAME"[: keep % 9] + data)


def test_flags_of_numbers_that_are_none(in_lab: Path, tmp_path: Path, stopped: Path) -> None:
    for words in (["--beta", "-1"], ["--gamma", "0"], ["--mistake", "2"], ["--batch", "0"], ["--beta", "much"], ["--teacher", "nobody"]):
        assert words[0].strip("-") in refusal("teach", str(stopped), *words)
    assert "--set seed=-1" in refusal("run", *flags(table_of()), "--set", "seed=-1")
    with Store.open(stopped, create=False) as store:
        assert {person.kind for person in store.annotators()} == {"teacher"}
