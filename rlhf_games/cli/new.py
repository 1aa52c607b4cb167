"""``rlhf-games new``: a lab with a game and an agent of one's own that work from the start."""

from __future__ import annotations

import keyword
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated

import tyro

from rlhf_games.core.errors import UserError
from rlhf_games.core.literal import literal

_LAB = Path(__file__).resolve().parents[1] / "templates" / "lab"
_GAME, _AGENT = "orchard", "reinforce"


@dataclass(frozen=True)
class New:
    """Make a folder for your own games, agents and experiments: a small game and a small agent that work, and one learning the other."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The folder to make; it must not exist yet, or be empty."""
    game: str = _GAME
    """Name of the family of games to start with."""
    agent: str = _AGENT
    """Name of the agent to start with."""

    def run(self) -> int:
        """Makes the folder and says what to do next."""
        make_lab(self.folder, self.game, self.agent)
        game = f"{self.game}/apples"
        print(
            f"{literal(str(self.folder))} has the game {game} and the agent {self.agent}. Try:\n\n"
            f"  cd {literal(str(self.folder))}\n"
            f"  rlhf-games check game {game}\n"
            f"  rlhf-games check agent {self.agent} --game {game}\n"
            f"  rlhf-games run first --out runs/first    (the agent learns the game from answers; half a minute)\n"
            f"  rlhf-games arena runs/first              (watch it, ask it, coach it)\n\n"
            f"Then change games/{self.game}/game.py and agents/{self.agent}/agent.py; README.md says how."
        )
        return 0


def make_lab(folder: Path, game: str = _GAME, agent: str = _AGENT) -> None:
    """Writes the lab into ``folder``; a game and an agent of the given names are in it.

    Raises:
      UserError: ``folder`` holds something already or cannot be written, or a name is no Python name.
    """
    for what, name in (("--game", game), ("--agent", agent)):
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UserError(f"{what} {name!r}: a name has letters, digits and _ and does not begin with a digit (it is a Python name)")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is there already and not empty: nothing was changed; choose another folder")
        shutil.copytree(_LAB, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        (folder / "games" / _GAME).rename(folder / "games" / game)
        (folder / "agents" / _AGENT).rename(folder / "agents" / agent)
        (folder / "gitignore").rename(folder / ".gitignore")
        names = {"lab": folder.resolve().name, "game": game, "agent": agent}
        for page in (*folder.rglob("*.md"), *folder.rglob("experiment.toml")):
            page.write_text(Template(page.read_text(encoding="utf-8")).substitute(names), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} cannot be made: {error}") from error
