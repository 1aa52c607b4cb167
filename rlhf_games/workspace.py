"""Finds and loads games, agents and experiments: the only dynamic import of the project.

A *workspace* is a folder with ``games/<family>/game.py`` and/or ``agents/<name>/agent.py`` (and ``experiments/<id>/experiment.toml``).
Their code is run, so a workspace is used where a person names it (``--workspace``, ``RLHF_GAMES_WORKSPACE``), or where it lies around
the current folder, carries the mark ``rlhf-games.toml`` and belongs to the user: see docs/trust.md.
Neither ``games`` nor ``agents`` may become an import name (other distributions install packages of that name), so one synthetic
package, ``rlhf_games_workspace``, spans all workspaces found::

    games/minatar/game.py   is imported as   rlhf_games_workspace.games.minatar.game

``rlhf_games/__init__.py`` answers imports of that name, hence objects of games and agents can be pickled and sent to spawned workers:
any process that has imported something of ``rlhf_games`` can load them. ``sys.path`` is never touched.

Nothing here imports JAX; games and agents do when they are loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import logging
import os
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rlhf_games.config import from_mapping
from rlhf_games.core.card import Card, read_cards
from rlhf_games.core.errors import UserError, nearest
from rlhf_games.core.mark import MARK, is_marked, strange_owner

if TYPE_CHECKING:
    from rlhf_games.core.agent import Agent
    from rlhf_games.core.game import Game

PACKAGE = "rlhf_games_workspace"
VARIABLE = "RLHF_GAMES_WORKSPACE"
"""Environment variable: one or several folders, separated as in ``PATH``."""

_log = logging.getLogger(__name__)
"""Says which workspaces the search found; the command line shows it on standard error."""

Kind: TypeAlias = Literal["games", "agents", "experiments"]
_FILES: dict[Kind, tuple[str, ...]] = {
    "games": ("cards.toml", "game.py"),
    "agents": ("agent.py",),
    "experiments": ("experiment.toml",),
}


@dataclass(frozen=True)
class Experiment:
    """One experiment that a workspace holds."""

    name: str
    """Folder name under ``experiments/``."""
    path: Path
    """Its ``experiment.toml``."""


def is_workspace(folder: Path) -> bool:
    """Whether ``folder`` holds at least one game family or one agent; says nothing about the mark."""
    return any(_members(folder, kind) for kind in ("games", "agents"))


def set_workspace(folder: str | Path) -> None:
    """Puts ``folder`` before all other workspaces, for this process and the processes it starts.

    Raises:
      UserError: the folder does not exist or holds no game and no agent.
    """
    root = _demand_workspace(str(folder), "--workspace")
    others = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part and Path(part).resolve() != root]
    os.environ[VARIABLE] = os.pathsep.join([str(root), *others])
    refresh()


def refresh() -> None:
    """Forgets what was found and loaded: call it after the environment, the current folder or files in a workspace have changed."""
    roots.cache_clear()
    _folders.cache_clear()
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(PACKAGE + ".")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@lru_cache(maxsize=1)
def roots() -> tuple[Path, ...]:
    """All workspaces, first the one that wins where two have a family, an agent or an experiment of the same name.

    Order: ``set_workspace`` / ``--workspace`` and ``RLHF_GAMES_WORKSPACE``, marked ones among the current folder and its parents, the
    checkout that ``rlhf_games`` lies in or the copy that the wheel installs as shared data.

    Raises:
      UserError: ``RLHF_GAMES_WORKSPACE`` names a folder that is no workspace, or one around the current folder is somebody else's.
    """
    named = [_demand_workspace(part, VARIABLE) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    own = _own_workspace()
    around = _around(named, own)
    return tuple(dict.fromkeys(folder.resolve() for folder in (*named, *around, *own)))


def _own_workspace() -> list[Path]:
    """The workspace that belongs to this ``rlhf_games``: the checkout that it lies in, or the copy that the wheel installed."""
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file() and is_marked(checkout) and is_workspace(checkout):
        return [checkout]
    return _installed()


def _around(named: Sequence[Path], own: Sequence[Path]) -> list[Path]:
    """The marked workspaces among the current folder and its parents, nearest first; those neither ``named`` nor ``own`` are announced.

    Raises:
      UserError: one of those belongs to another user.
    """
    try:
        here = Path.cwd()
    except OSError:  # it was deleted: nothing lies around it
        return []
    found = []
    for folder in (here, *here.parents):
        if not is_workspace(folder):
            continue
        if folder.resolve() in (*named, *own):
            found.append(folder)
        elif is_marked(folder):
            _demand_own(folder)
            _log.info("workspace %s: %s", folder, _contents(folder, own))
            found.append(folder)
        else:
            _log.info(
                "not used: %s has %s, but it has no %s, the mark of a workspace; if its code is to be run: touch %s",
                *(folder, _contents(folder), MARK, shlex.quote(str(folder / MARK))),
            )
    return found


def _contents(folder: Path, own: Sequence[Path] = ()) -> str:
    """What a workspace holds, in words; says which of it hides what the workspaces ``own`` hold."""
    kinds: tuple[Kind, ...] = ("games", "agents")
    words = []
    for kind in kinds:
        built_in = {member.name for root in own for member in _members(root, kind)}
        names = [member.name for member in _members(folder, kind)]
        shown = [f"{name} (in place of the built-in one)" if name in built_in else name for name in names]
        words += [f"{kind} {', '.join(shown)}"] if shown else []
    return "; ".join(words)


def _demand_own(folder: Path) -> None:
    try:
        owner = strange_owner(folder)
    except OSError as error:
        raise UserError(f"{folder} looks like a workspace and cannot be read: {error}") from error
    if owner is None:
        return
    command = f"export {VARIABLE}={shlex.quote(str(folder))}"
    raise UserError(
        f"{folder} is a workspace of another user (id {owner}), and what is in it would be run as you. If you trust it, name it "
        f"(--workspace DIR, or: {command}); if not, go to a folder outside of it"
    )


def cards() -> list[Card]:
    """The cards of all games of all workspaces, sorted by name.

    Raises:
      UserError: a family's ``cards.toml`` is missing or wrong.
    """
    found = [card for folder in _folders("games").values() for card in read_cards(folder)]
    return sorted(found, key=lambda card: card.name)


def card(name: str) -> Card:
    """The card of the game ``family/game``.

    Raises:
      UserError: there is no such game; names the nearest.
    """
    folder = _folders("games").get(name.partition("/")[0])
    known = {} if folder is None else {card.name: card for card in read_cards(folder)}
    if name not in known:
        raise UserError(f"there is no game {name!r}{nearest(name, _readable())} (rlhf-games games lists all)")
    return known[name]


def _readable() -> list[str]:
    """Names of all games whose cards can be read: a mistyped name must not be answered with another family's broken card."""
    names: list[str] = []
    for folder in _folders("games").values():
        with contextlib.suppress(UserError):
            names += [card.name for card in read_cards(folder)]
    return names


def load_game(name: str, options: Mapping[str, Any] | None = None) -> Game:
    """Builds the game ``family/game`` with ``options`` as the family's ``Options`` dataclass names them.

    Raises:
      UserError: there is no such game, it cannot be imported, or an option is unknown or has a wrong value.
    """
    found = card(name)
    module = _load("games", found.family, found.folder / "game.py", ("Options", "make"))
    built: Game = module.make(name.partition("/")[2], from_mapping(module.Options, options or {}, f"options of {name}"))
    return built


def game_options(name: str) -> type:
    """The frozen dataclass of options that ``load_game`` accepts for the game ``name``. Raises ``UserError`` as ``load_game`` does."""
    found = card(name)
    options: type = _load("games", found.family, found.folder / "game.py", ("Options", "make")).Options
    return options


def agents() -> list[str]:
    """Names of all agents of all workspaces, sorted."""
    return sorted(_folders("agents"))


def load_agent(name: str, config: Mapping[str, Any] | None = None) -> Agent:
    """Builds the agent ``name`` with ``config`` as its ``Config`` dataclass names the settings.

    Raises:
      UserError: there is no such agent, it cannot be imported, or a setting is unknown or has a wrong value.
    """
    module = _load_agent_module(name)
    built: Agent = module.make(from_mapping(module.Config, config or {}, f"config of agent {name}"))
    return built


def agent_config(name: str) -> type:
    """The frozen dataclass of settings that ``load_agent`` accepts for ``name``. Raises ``UserError`` as ``load_agent`` does."""
    config: type = _load_agent_module(name).Config
    return config


def agent_metrics(name: str) -> Mapping[str, str]:
    """What the agent's own metrics mean (``METRICS`` in its ``agent.py``; it need not have any). Raises ``UserError`` as ``load_agent``."""
    metrics: Mapping[str, str] = getattr(_load_agent_module(name), "METRICS", {})
    return metrics


def experiments() -> list[Experiment]:
    """All experiments of all workspaces, sorted by name."""
    return [Experiment(name, folder / "experiment.toml") for name, folder in sorted(_folders("experiments").items())]


def experiment(name: str) -> Experiment:
    """The experiment ``name``. Raises ``UserError`` where there is none, naming the nearest (also to the end of a path)."""
    known = {found.name: found for found in experiments()}
    if name not in known:
        raise UserError(f"there is no experiment {name!r}{nearest(Path(name).name, known)}")
    return known[name]


def find_spec(fullname: str) -> importlib.machinery.ModuleSpec | None:
    """Where ``rlhf_games_workspace``, its ``games`` and ``agents`` and each family lie; None for anything else.

    A family is pinned to one folder, so that the modules of two families of the same name never mix.
    """
    _, *parts = fullname.split(".")
    if not parts:
        return _package(fullname, roots())
    if parts[0] not in ("games", "agents"):
        return None
    kind: Kind = "games" if parts[0] == "games" else "agents"
    if len(parts) == 1:
        return _package(fullname, tuple(root / kind for root in roots() if (root / kind).is_dir()))
    folder = _folders(kind).get(parts[1]) if len(parts) == 2 else None
    if folder is None:
        return None
    if (folder / "__init__.py").is_file():
        return importlib.machinery.PathFinder.find_spec(fullname, [str(folder.parent)])
    return _package(fullname, (folder,))


def _package(fullname: str, folders: tuple[Path, ...]) -> importlib.machinery.ModuleSpec:
    spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = [str(folder) for folder in folders]
    return spec


def _load_agent_module(name: str) -> ModuleType:
    known = _folders("agents")
    if name not in known:
        raise UserError(f"there is no agent {name!r}{nearest(name, known)}")
    return _load("agents", name, known[name] / "agent.py", ("Config", "make"))


def _load(kind: Kind, name: str, path: Path, exports: tuple[str, ...]) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path} is missing: {kind[:-1]} {name!r} needs it")
    if not name.isidentifier():
        raise UserError(f"{path.parent}: a folder under {kind}/ must have a Python name (letters, digits, _), got {name!r}")
    try:
        module = importlib.import_module(f"{PACKAGE}.{kind}.{name}.{path.stem}")
    except UserError:
        raise
    except Exception as error:
        line = next((frame for frame in reversed(traceback.extract_tb(error.__traceback__)) if str(path.parent) in frame.filename), None)
        place = f"{line.filename}:{line.lineno}" if line else str(path)
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error} (at {place})") from error
    lacking = [export for export in exports if not hasattr(module, export)]
    if lacking:
        raise UserError(f"{path} must define {' and '.join(exports)}; it lacks {' and '.join(lacking)}")
    return module


@lru_cache(maxsize=3)
def _folders(kind: Kind) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in roots():
        for folder in _members(root, kind):
            found.setdefault(folder.name, folder)
    return found


def _members(root: Path, kind: Kind) -> list[Path]:
    try:
        folders = sorted((root / kind).iterdir())
    except OSError:  # no such folder, or one that we may not read
        return []
    return [folder for folder in folders if any((folder / name).is_file() for name in _FILES[kind])]


def _demand_workspace(text: str, origin: str) -> Path:
    try:
        folder = Path(text).expanduser().resolve()
        if is_workspace(folder):
            return folder
        exists = folder.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{origin}: {text!r} cannot be read: {error}") from error
    problem = "holds no games/<family>/game.py and no agents/<name>/agent.py" if exists else "is not a folder"
    raise UserError(f"{origin}: {folder} {problem}; rlhf-games new makes a workspace")


def _installed() -> list[Path]:
    """The workspace that the wheel installs: under the environment's ``share``, wherever the environment puts it.

    It must be marked and belong to whom this file belongs to: the search goes up to the root.
    """
    code = Path(__file__).resolve()
    above = [*code.parents, Path(sysconfig.get_path("data"))]
    places = (place / "share" / "rlhf-games" / "workspace" for place in above)
    owner = code.stat().st_uid
    return [folder for folder in places if is_marked(folder) and is_workspace(folder) and folder.stat().st_uid == owner][:1]
