import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.experiment.rundir import RunDirectory
from rlhf_games.files import write_atomically

CONFIG = {"agent": {"learning_rate": 3e-4}, "game": "minatar/breakout"}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "first", CONFIG, {"learner": 7})


def hold_in_another_process(run: RunDirectory) -> "subprocess.Popen[str]":
    code = (
        "import sys, time\nfrom rlhf_games.experiment.rundir import RunDirectory\n"
        "with RunDirectory.open(sys.argv[1]).learning():\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_run_is_found_again_as_it_was_made(run: RunDirectory) -> None:
    again = RunDirectory.open(run.path)
    assert again == run
    assert again.config == CONFIG
    assert again.seeds == {"learner": 7}
    assert again.status.state == "created"
    assert again.summary is None
    assert again.checkpoints_path.is_dir()
    assert again.metrics_path.read_text() == ""


def test_versions_name_what_the_run_depends_on(run: RunDirectory) -> None:
    assert run.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert run.versions["packages"]["jax"].count(".") >= 2
    assert all(len(source["commit"]) == 40 for source in run.versions["sources"])


def test_facts_and_changed_sources_are_recorded(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    git = ["git", "-C", str(lab), "-c", "user.name=a", "-c", "user.email=a@b"]
    (lab / "rule.txt").write_text("one\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    clean = RunDirectory.create(tmp_path / "clean", CONFIG, {}, sources=[lab], facts={"device": "cpu"})
    assert clean.versions["device"] == "cpu"
    assert clean.versions["sources"][-1]["folder"] == str(lab)
    assert clean.versions["sources"][-1]["changed"] is False
    (lab / "rule.txt").write_text("two\n")
    changed = RunDirectory.create(tmp_path / "changed", CONFIG, {}, sources=[lab, lab])
    assert [source["changed"] for source in changed.versions["sources"] if source["folder"] == str(lab)] == [True]
    assert "-one\n+two\n" in (changed.path / "source.diff").read_text()


def test_nothing_is_overwritten(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="never overwritten"):
        RunDirectory.create(run.path, {}, {})
    assert RunDirectory.open(run.path).config == CONFIG
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="never overwritten"):
        RunDirectory.create(tmp_path / "file", {}, {})
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(tmp_path / "empty", CONFIG, {}).config == CONFIG


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        RunDirectory.create(tmp_path / "run", {"bad": object()}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "seeds.json", "versions.json", "status.json"])
@pytest.mark.parametrize("damage", [None, "", "{", "[1]", '"text"'])
def test_missing_and_damaged_files_are_named(run: RunDirectory, name: str, damage: str | None) -> None:
    (run.path / name).unlink() if damage is None else (run.path / name).write_text(damage)
    with pytest.raises(UserError, match=name):
        RunDirectory.open(run.path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the folder of a run"):
        RunDirectory.open(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        RunDirectory.open(tmp_path / "nowhere")


def test_status_follows_the_learner(run: RunDirectory) -> None:
    with run.learning():
        assert run.status.state == "running"
    assert run.status.state == "finished"
    with pytest.raises(ZeroDivisionError), run.learning():
        raise ZeroDivisionError("by zero")
    assert (run.status.state, run.status.reason) == ("failed", "ZeroDivisionError: by zero")
    with pytest.raises(KeyboardInterrupt), run.learning():
        raise KeyboardInterrupt
    assert (run.status.state, run.status.reason) == ("stopped", "interrupted")
    with run.learning():
        run.set_status("stopped", "enough")
    assert (run.status.state, run.status.reason) == ("stopped", "enough")


def test_two_learners_never_share_a_run(run: RunDirectory) -> None:
    with run.lock():
        assert run.has_learner()
        with pytest.raises(UserError, match=f"process {os.getpid()} on"), RunDirectory.open(run.path).lock():
            pass
    assert not run.has_learner()


def test_a_killed_learner_frees_its_run(run: RunDirectory) -> None:
    process = hold_in_another_process(run)
    try:
        assert run.status.state == "running"
        with pytest.raises(UserError, match=f"process {process.pid} on"), run.lock():
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run.status.state == "died"
    with run.learning():
        assert run.status.state == "running"


def test_atomic_writes_leave_no_scraps(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", json.dumps([1]))
    write_atomically(tmp_path / "a.json", b"[2]")
    assert (tmp_path / "a.json").read_text() == "[2]"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "folder", "x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "folder"]
