"""The command line's own manners; what verbs do is tested beside them."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from rlhf_games import workspace
from rlhf_games.cli import main as cli
from rlhf_games.core.errors import UserError
from rlhf_games.experiment.runner import Interruption

TABLE = {
    "games": cli.Verb("x:X", "list games"),
    "check game": cli.Verb("x:X", "check a game"),
    "check agent": cli.Verb("x:X", "check an agent"),
}


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_is_a_documented_runnable_dataclass(name: str) -> None:
    module, _, cls = cli.VERBS[name].target.partition(":")
    verb = getattr(importlib.import_module(f"rlhf_games.cli.{module}"), cls)
    assert is_dataclass(verb)
    assert verb.__doc__
    assert callable(verb.run)
    assert all(entry.name != "workspace" for entry in fields(verb)), "--workspace is the command line's own flag"


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_explains_itself_without_jax(name: str) -> None:
    program = (
        "import sys\nfrom rlhf_games.cli.main import main\n"
        "try:\n    main([*sys.argv[1:], '--help'])\nfinally:\n    print('jax' in sys.modules, 'pygame' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *name.split()], capture_output=True, text=True, check=True)
    assert "usage: rlhf-games " + name in done.stdout
    assert done.stdout.split()[-2:] == ["False", "False"]
    assert "None" not in done.stdout, "a flag that may be left out is shown as what it takes"


def test_the_list_of_verbs_imports_next_to_nothing() -> None:
    program = (
        "import sys; from rlhf_games.cli.main import main; main(['--help']); "
        "print([module for module in ('jax', 'numpy', 'tyro') if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name, verb in cli.VERBS.items():
        assert name in done.stdout
        assert verb.summary in done.stdout


def test_unknown_verbs_name_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "VERBS", TABLE)
    assert cli.find_verb(["check", "game", "--x"]) == ("check game", ["--x"])
    assert cli.find_verb(["games"]) == ("games", [])
    assert cli.find_verb(["check", "--help"]) == ("check", [])
    for words, says in (
        (["gmaes"], "'games'"),
        (["check", "gane"], "'game'"),
        (["check"], "agent, game"),
        (["zzz"], "known are: check, games"),
    ):
        with pytest.raises(UserError, match=says):
            cli.find_verb(words)


def test_bad_input_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nwe"]) == 2
    assert capsys.readouterr().err == "error: there is no verb 'nwe'; did you mean 'new'? (rlhf-games --help)\n"


@pytest.mark.parametrize("flags", [["new"], ["new", "there", "--gmae", "x"], ["new", "there", "--game"]])
def test_wrong_flags_are_status_2(flags: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(flags)
    assert caught.value.code == 2


def test_flags_that_may_be_left_out_are_read_as_what_they_take() -> None:
    demo = cli._parse("demo", ["--steps", "7", "--out", "None"])
    assert (demo.steps, demo.answers, demo.out) == (7, None, Path("None"))  # type: ignore[attr-defined]
    teach = cli._parse("teach", ["here", "--gamma", "0.5"])
    assert (teach.gamma, teach.beta) == (0.5, None)  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        cli._parse("demo", ["--steps", "None"])


def test_interrupt_is_one_line_and_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupt)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    program = "import sys; from rlhf_games.cli.main import main; sys.stdin.read(); sys.exit(main(['--help']))"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    child.stdin.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert (child.wait(), errors) == (141, b"")


def test_workspace_is_taken_from_anywhere() -> None:
    assert cli.split_workspace(["--workspace", "lab", "games", "-x"]) == ("lab", ["games", "-x"])
    assert cli.split_workspace(["games", "--workspace=lab", "-x"]) == ("lab", ["games", "-x"])
    assert cli.split_workspace(["games", "--", "--workspace", "lab"]) == (None, ["games", "--", "--workspace", "lab"])
    for words in (["games", "--workspace"], ["--workspace=", "games"], ["--workspace", "--help"]):
        with pytest.raises(UserError, match="needs a folder"):
            cli.split_workspace(words)


def test_workspace_is_used(make_lab: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab("lab", "mine")
    assert cli.main(["--workspace", str(lab), "--version"]) == 0
    assert workspace.roots()[0] == lab
    assert cli.main(["--workspace", str(lab / "games"), "--version"]) == 2
    assert "holds no games" in capsys.readouterr().err


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal's own programs have it; a shell starts what it runs in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("other", [ImportError("Encountered an error while initializing the extension."), None])
def test_a_swallowed_ctrl_c_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: Exception | None
) -> None:
    """What JAX does with it: an extension that is being imported raises another error; a callback passes it over."""

    def library(argv: list[str]) -> int:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10_000):  # the signal arrives between two steps of the interpreter
                pass
        if other is not None:
            raise other
        asked = Interruption(print)
        with asked.listening():
            return 130 if asked() else 0

    monkeypatch.setattr(cli, "_dispatch", library)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == ("" if other is None else "interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert cli.interrupted()
    monkeypatch.setattr(cli, "_dispatch", lambda argv: int(cli.interrupted()))
    assert cli.main([]) == 0, "the next command line begins anew"


def test_no_home_folder_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "_dispatch", lambda argv: len(str(Path("~nobody-of-that-name/x").expanduser())))
    assert cli.main([]) == 2
    assert "error: this user has no home folder" in capsys.readouterr().err
