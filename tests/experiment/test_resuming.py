"""Going on with a run whose checkpoints, settings or answers are not what they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.checkpoints import Checkpoints, DamagedCheckpointError
from rlhf_games.experiment.metrics import read_metrics
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.experiment.runner import create_run
from rlhf_games.experiment.spec import Experiment
from rlhf_games.feedback.store import Store

from .tiny import tiny

Until = Callable[..., Any]


def paid() -> Experiment:
    """The agent is paid from the first answers on, so that every iteration counts its 128 steps."""
    return tiny(model__trust=0.0)


@pytest.fixture
def run(until: Until, tmp_path: Path) -> RunDirectory:
    """Stopped after two of four iterations."""
    made = create_run(paid(), tmp_path / "run")
    assert until(made, 2) is None
    return made


def damage(run: RunDirectory, step: int) -> None:
    """One bit of the greatest file."""
    file = max((path for path in (run.checkpoints_path / str(step)).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def steps(run: RunDirectory) -> list[int]:
    return [line["step"] for line in read_metrics(run.metrics_path)]


def asked(run: RunDirectory) -> int:
    with Store.open(run.path, create=False) as store:
        return len(store.query_ids())


def test_a_missing_store_is_refused_and_none_is_made(until: Until, run: RunDirectory) -> None:
    count = asked(run)
    (run.path / "store.sqlite").unlink()
    with pytest.raises(UserError, match=rf"no store here.*checkpoint 2 was made of {count} questions"):
        until(run)
    assert not (run.path / "store.sqlite").exists()
    assert steps(run) == [128, 256]


def test_an_empty_store_is_refused(until: Until, run: RunDirectory) -> None:
    (run.path / "store.sqlite").write_bytes(b"")
    with pytest.raises(UserError, match=r"store\.sqlite: .*checkpoint 2 was made of"):
        until(run)
    for file in run.path.glob("store.sqlite*"):
        file.unlink()
    Store.open(run.path).close()  # a whole one, of nobody
    with pytest.raises(UserError, match=rf"{count_text(run)} questions are missing"):
        until(run)


def count_text(run: RunDirectory) -> str:
    """How many questions the newest checkpoint was made of."""
    with Checkpoints(run.checkpoints_path, read_only=True) as checkpoints:
        return str(checkpoints.extra(2)["asked"])


def test_an_older_copy_of_the_store_is_refused(until: Until, tmp_path: Path) -> None:
    run = create_run(paid(), tmp_path / "run")
    until(run, 1)
    with Store.open(run.path, create=False) as store:
        first = len(store.answers().answers)
    shutil.copy(run.path / "store.sqlite", tmp_path / "old.sqlite")
    until(run, 2)
    before = asked(run)
    shutil.copy(tmp_path / "old.sqlite", run.path / "store.sqlite")
    with pytest.raises(UserError, match=rf"{before - first} questions are missing"):
        until(run)


def test_answers_that_are_missing_are_counted(until: Until, run: RunDirectory) -> None:
    """As many questions as there were, and three answers fewer: a copy that was made while they were being given."""
    import sqlite3

    with Store.open(run.path, create=False) as store:
        end = store.answers().cursor
    with sqlite3.connect(run.path / "store.sqlite") as database:
        database.execute("DELETE FROM answers WHERE id > ?", (end - 3,))
        database.execute("UPDATE log_head SET value = ?", (end - 3,))
    database.close()
    with pytest.raises(UserError, match="older copy: 3 answers that the run has read are missing"):
        until(run)


def test_checkpoints_that_are_gone_are_missed(until: Until, run: RunDirectory) -> None:
    shutil.rmtree(run.checkpoints_path)
    with pytest.raises(UserError, match="holds no checkpoint, but the run has 2 iterations behind it"):
        until(RunDirectory.open(run.path))
    assert steps(run) == [128, 256], "nothing was thrown away"


def test_killed_before_its_first_checkpoint_a_run_begins_again(until: Until, tmp_path: Path) -> None:
    run = create_run(paid(), tmp_path / "run")
    until(run, 1)
    shutil.rmtree(run.checkpoints_path)
    assert until(RunDirectory.open(run.path)) is not None
    assert steps(run) == [128, 256, 384, 512]


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_goes_on(until: Until, run: RunDirectory, tmp_path: Path) -> None:
    whole = create_run(paid(), tmp_path / "whole")
    expected = until(whole)
    damage(run, 2)
    with pytest.raises(UserError, match=rf"checkpoint 2 .*damaged.*rlhf-games resume {run.path} --back-to 1"):
        until(run)
    with pytest.raises(UserError, match="no checkpoint 7; there are: 1, 2"):
        until(run, back_to=7)
    found = until(run, back_to=1)
    assert found | {"seconds": 0} == expected | {"seconds": 0}
    assert steps(run) == [128, 256, 384, 512]


def test_where_no_checkpoint_is_whole_a_run_starts_anew(until: Until, tmp_path: Path) -> None:
    run = create_run(paid(), tmp_path / "run")
    until(run, 1)
    damage(run, 1)
    with pytest.raises(UserError, match="none before it: start another run"):
        until(run)


@pytest.mark.parametrize(
    ("table", "key", "value", "words"),
    [
        ("feedback", "budget", 20, "feedback.budget was 30, is 20"),
        (None, "iterations", 1, "iterations was 4, is 1"),
        ("reward", "true", 1.0, "reward.true was 0.0, is 1.0"),
    ],
)
def test_changed_settings_are_named(until: Until, run: RunDirectory, table: str | None, key: str, value: Any, words: str) -> None:
    file = run.path / "config.json"
    config = json.loads(file.read_text())
    (config if table is None else config[table])[key] = value
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"config\.json was changed since checkpoint 2 \({words}\)"):
        until(RunDirectory.open(run.path))
    assert steps(run) == [128, 256]


def test_digests_cover_values_and_what_is_beside_them(tmp_path: Path) -> None:
    state = {"x": jnp.arange(3000.0), "y": np.arange(4)}
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state, {"asked": 7})
    about = tmp_path / "c" / "1" / "about" / "metadata"
    text = about.read_text()
    for old, new in (('"asked": 7', '"asked": 8'), ('"digest"', '"digesu"'), ('"leaves"', '"leavet"')):
        assert old in text
        about.write_text(text.replace(old, new))
        with Checkpoints(tmp_path / "c") as checkpoints, pytest.raises(DamagedCheckpointError, match="other values than were saved"):
            checkpoints.extra(1)
    about.write_text(text)
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.restore(1, state)[1] == checkpoints.extra(1) == {"asked": 7}


def test_checkpoints_of_earlier_versions_are_read(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": 5}, {"asked": 7})
        about = tmp_path / "1" / "about" / "metadata"
        table = json.loads(about.read_text())
        about.write_text(json.dumps({key: table[key] for key in ("paths", "empty", "extra")}))
        assert checkpoints.restore(1, {"x": 0}) == ({"x": 5}, {"asked": 7})
