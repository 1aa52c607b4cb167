"""Workspaces: what is found, who wins, what is refused, and that objects travel to spawned workers."""

from __future__ import annotations

import logging
import multiprocessing
import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlhf_games import workspace
from rlhf_games.core.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[1]
Lab = Callable[..., Path]


def test_the_checkout_is_found_from_anywhere(fresh_workspace: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    workspace.refresh()
    assert workspace.roots() == (CHECKOUT,)
    assert len(workspace.cards()) >= 5


def test_order_of_roots(make_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    explicit, variable, other, parent = (make_lab(name, "mine") for name in ("explicit", "variable", "other", "parent"))
    inner = parent / "deep" / "er"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv(workspace.VARIABLE, f"{variable}{os.pathsep}{other}")
    workspace.set_workspace(explicit)
    assert workspace.roots() == (explicit, variable, other, parent, CHECKOUT)


def test_only_marked_folders_are_found_and_they_are_announced(
    make_lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab = make_lab("lab", "mine", "minatar")
    monkeypatch.chdir(lab / "games")
    caplog.set_level(logging.INFO)
    assert workspace.roots() == (lab, CHECKOUT)
    assert caplog.messages == [f"workspace {lab}: games minatar (in place of the built-in one), mine"]
    caplog.clear()
    (lab / "rlhf-games.toml").unlink()
    workspace.refresh()
    assert workspace.roots() == (CHECKOUT,)
    assert workspace.card("minatar/breakout").folder == CHECKOUT / "games" / "minatar"
    (said,) = set(caplog.messages)
    assert said.startswith(f"not used: {lab} has games minatar, mine, but it has no rlhf-games.toml")
    assert said.endswith(f"touch {lab}/rlhf-games.toml")


def test_a_named_folder_needs_no_mark_and_is_not_announced(
    make_lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab = make_lab("lab", "mine")
    (lab / "rlhf-games.toml").unlink()
    monkeypatch.chdir(lab)
    caplog.set_level(logging.INFO)
    workspace.set_workspace(lab)
    assert workspace.roots() == (lab, CHECKOUT)
    assert not caplog.messages


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("given", [".", "rlhf-games.toml"])
def test_a_workspace_of_another_user_is_refused_until_it_is_named(make_lab: Lab, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    lab = make_lab("lab", "mine")
    os.chown(lab / given, 4321, -1)
    monkeypatch.chdir(lab / "games")
    monkeypatch.delenv("SUDO_UID", raising=False)
    workspace.refresh()
    with pytest.raises(UserError, match=r"another user \(id 4321\).*RLHF_GAMES_WORKSPACE="):
        workspace.roots()
    monkeypatch.setenv("SUDO_UID", "4321")  # whoever called sudo may use their own
    assert workspace.roots() == (lab, CHECKOUT)
    monkeypatch.delenv("SUDO_UID")
    monkeypatch.setenv(workspace.VARIABLE, str(lab))
    workspace.refresh()
    assert workspace.roots() == (lab, CHECKOUT)


def test_around_a_deleted_folder_there_is_nothing(fresh_workspace: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    workspace.refresh()
    assert workspace.roots() == (CHECKOUT,)


def test_labs_are_used_together_and_the_first_wins(make_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_lab("first", "shared", "only_first"), make_lab("second", "shared", "only_second")
    (second / "games" / "shared" / "view.py").write_text("")
    monkeypatch.setenv(workspace.VARIABLE, f"{first}{os.pathsep}{second}")
    workspace.refresh()
    names = [card.name for card in workspace.cards()]
    assert {"shared/one", "only_first/one", "only_second/one"} <= set(names)
    assert names.count("shared/one") == 1
    game: Any = workspace.load_game("shared/one", {"size": 5})
    assert Path(game.origin).is_relative_to(first)
    assert (game.name, game.options.size) == ("one", 5)
    with pytest.raises(ModuleNotFoundError):  # a family never borrows modules of its namesake
        __import__("rlhf_games_workspace.games.shared.view")


def test_sys_path_is_left_alone(make_lab: Lab) -> None:
    before = list(sys.path)
    workspace.set_workspace(make_lab("lab", "mine"))
    workspace.load_game("mine/one")
    assert sys.path == before
    assert "games" not in sys.modules
    assert "agents" not in sys.modules


def test_wrong_names_and_options_are_refused_with_the_nearest(make_lab: Lab) -> None:
    workspace.set_workspace(make_lab("lab", "mine"))
    with pytest.raises(UserError, match="did you mean 'mine/one'"):
        workspace.load_game("mine/onee")
    with pytest.raises(UserError, match=r"options of mine/one: sise.*did you mean 'size'"):
        workspace.load_game("mine/one", {"sise": 1})
    with pytest.raises(UserError, match="there is no agent 'nobody'"):
        workspace.load_agent("nobody")
    with pytest.raises(UserError, match="there is no experiment 'nothing'"):
        workspace.experiment("nothing")


def test_broken_code_is_a_user_error_with_the_place(make_lab: Lab) -> None:
    lab = make_lab("lab", "mine", "empty")
    (lab / "games" / "mine" / "game.py").write_text("\n\nimport no_such_module\n")
    (lab / "games" / "empty" / "game.py").write_text("Options = object\n")
    workspace.set_workspace(lab)
    with pytest.raises(UserError, match=r"no_such_module.*game\.py:3"):
        workspace.load_game("mine/one")
    with pytest.raises(UserError, match="lacks make"):
        workspace.load_game("empty/one")


def test_a_broken_family_does_not_stop_the_others(make_lab: Lab) -> None:
    lab = make_lab("lab", "mine", "broken")
    (lab / "games" / "broken" / "cards.toml").write_text("kind = ")
    workspace.set_workspace(lab)
    assert workspace.load_game("mine/one")
    with pytest.raises(UserError, match="did you mean 'mine/one'"):
        workspace.card("mine/onee")
    with pytest.raises(UserError, match=r"broken.cards\.toml is not valid TOML"):
        workspace.cards()


@pytest.mark.parametrize("mark", ["nothing", "folder"])
def test_a_folder_that_is_no_workspace_is_refused(tmp_path: Path, fresh_workspace: None, mark: str) -> None:
    folder = tmp_path / mark
    if mark == "folder":
        (folder / "games").mkdir(parents=True)
    with pytest.raises(UserError, match="--workspace"):
        workspace.set_workspace(folder)


def test_agents_and_experiments_are_found(tmp_path: Path, fresh_workspace: None) -> None:
    agent = tmp_path / "agents" / "small"
    agent.mkdir(parents=True)
    (agent / "agent.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config:\n    rate: float = 1.0\n"
        "def make(config):\n    return config\n"
    )
    (tmp_path / "experiments" / "first").mkdir(parents=True)
    (tmp_path / "experiments" / "first" / "experiment.toml").write_text("")
    workspace.set_workspace(tmp_path)
    assert "small" in workspace.agents()
    loaded: Any = workspace.load_agent("small", {"rate": 2})
    assert loaded.rate == 2.0
    assert workspace.agent_config("small") is type(loaded)
    assert workspace.experiment("first").path == tmp_path / "experiments" / "first" / "experiment.toml"
    with pytest.raises(UserError, match="config of agent small: rate: expected a number"):
        workspace.load_agent("small", {"rate": "fast"})


def test_games_travel_to_spawned_workers(make_lab: Lab) -> None:
    workspace.set_workspace(make_lab("lab", "mine"))
    game = workspace.load_game("mine/one", {"size": 9})
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(workspace.load_game, "mine/one", {"size": 9}).result()
        size = pool.submit(operator.attrgetter("options.size"), game).result()
    assert there == game
    assert size == 9


def test_a_process_that_never_saw_the_game_unpickles_it(make_lab: Lab, tmp_path: Path) -> None:
    lab = make_lab("lab", "mine")
    workspace.set_workspace(lab)
    file = tmp_path / "game.pickle"
    file.write_bytes(pickle.dumps(workspace.load_game("mine/one", {"size": 4})))
    program = "import pickle, sys, rlhf_games; print(pickle.load(open(sys.argv[1], 'rb')).options.size, 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["4", "False"]


def test_listing_games_imports_no_jax(fresh_workspace: None) -> None:
    program = (
        "import sys; from rlhf_games import workspace; workspace.cards(), workspace.agents(); "
        "print('jax' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
