"""What the arena shows of a training run: read from its files while the run writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from rlhf_games.arena.figures import figure
from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_json
from rlhf_games.feedback.place import FILE as STORE_FILE
from rlhf_games.feedback.place import keep_secret, read_place

_POINTS = 80
"""Scores that are kept for the curve."""
_SCORE = "true_return"
_RUNS = 200
"""Runs that are listed."""


@dataclass(frozen=True)
class Target:
    """Where questions come from and answers go."""

    store: str
    """Path or URL of the store, without a password; the run's folder where it shares a store."""
    folder: Path | None = None
    """The run's folder, where there is one."""
    name: str = ""
    """What people call it."""
    game: str = ""
    """The run's game, ``family/game``; empty where it is not known."""
    budget: int | None = None
    """Answers that the run wants in all; None where it is not known."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Of the run's game."""


class Learning(NamedTuple):
    """How the agent does."""

    step: int
    """Game steps it has learned from."""
    scores: tuple[float, ...]
    """Mean true return of its recent episodes over time, oldest first; at most ``_POINTS``, evenly thinned."""
    before: float | None = None
    """The score when the person began; None where nobody knows."""

    @property
    def words(self) -> str:
        """For people: the newest score."""
        return f"agent's score {figure(self.scores[-1], '.3g')}"

    @property
    def gain_words(self) -> str:
        """For people: how much of it came while they were there; empty where nothing did."""
        gain = self.scores[-1] - (self.scores[-1] if self.before is None else self.before)
        return f"{figure(gain, '+.2g')} since you came" if float(f"{gain:.2g}") else ""


def find_target(text: str, create: bool = False) -> Target:
    """The run or store that a person means: a run's folder, a store's file, a folder with a ``store.sqlite``, or a database URL.

    Raises:
      UserError: there is nothing there.
    """
    if "://" in text:
        public = keep_secret(text)
        return Target(public, name=public.partition("?")[0].rpartition("/")[2])
    path = Path(text).expanduser()
    if path.is_dir():
        config = _config(path / "config.json")
        shares = read_place(path) is not None
        if not shares and not (path / "store.sqlite").exists():
            raise UserError(f"{path} holds no store.sqlite: name the folder of a run that has begun, or the file of a store")
        game = config.get("game")
        feedback = config.get("feedback")
        budget, wanted = (feedback.get("budget"), feedback.get("wanted", 1)) if isinstance(feedback, dict) else (None, 1)
        name, options = (game.get("name"), game.get("options")) if isinstance(game, dict) else ("", None)
        return Target(
            str(path if shares else path / "store.sqlite"),
            path,
            path.resolve().name,
            str(name or ""),
            budget * wanted if isinstance(budget, int) and isinstance(wanted, int) and budget > 0 else None,
            options if isinstance(options, dict) else {},
        )
    if not path.exists() and not create:
        raise UserError(f"{path} does not exist: name the folder of a run, or the file of a store")
    return Target(str(path), name=path.stem)


def find_runs(folder: Path) -> list[Target]:
    """The runs that lie in a folder or in its folders (those of a study), newest first; at most ``_RUNS``.

    Stores in folders ``answers`` are among them (demos of version 0.1 left such): these have no agent.
    """
    names = ("store.sqlite", STORE_FILE)
    runs = {path for name in names for depth in ("*", "*/*", "*/*/*") for path in folder.glob(f"{depth}/{name}")}
    found = {path: path.parent for path in runs} | {path: path for path in folder.glob("*/answers/*.sqlite") if path not in runs}
    dated = sorted(((_changed(store), place) for store, place in found.items()), reverse=True)
    return [replace(find_target(str(place)), name=str(place.relative_to(folder)).removesuffix(".sqlite")) for _, place in dated[:_RUNS]]


def age_words(target: Target, now: float) -> str:
    """When something last happened in a store, for people; ``now``: seconds since 1970. Empty where that is not known."""
    changed = _changed(Path(target.store))
    if not changed:
        return ""
    minutes = max(0, int(now - changed) // 60)
    if minutes < 60:
        return "just now" if minutes < 2 else f"{minutes} minutes ago"
    hours = minutes // 60
    if hours < 48:
        return "an hour ago" if hours == 1 else f"{hours} hours ago"
    return f"{hours // 24} days ago"


def _changed(store: Path) -> float:
    """When a store was last written to (SQLite writes beside it first); 0 where it is no file."""
    times = [path.stat().st_mtime for path in (store, store.with_name(store.name + "-wal")) if path.exists()]
    return max(times, default=0.0)


def _config(path: Path) -> dict[str, Any]:
    try:
        table = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}  # a folder with a store need not be a run
    return table if isinstance(table, dict) else {}


class MetricsTail:
    """Follows a growing ``metrics.jsonl``; reads only what is new, and a torn last line when it has become whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = self._inode = 0
        self._points: list[tuple[int, float]] = []
        self.last: dict[str, Any] = {}
        """The last whole line."""

    def poll(self) -> Learning | None:
        """What is known now; None while nothing is. A file in the old one's place (a run was resumed) is read from its beginning."""
        try:
            with self._path.open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self._inode or about.st_size < self._offset:
                    self._inode, self._offset, self._points, self.last = about.st_ino, 0, [], {}
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return self._known()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(line)
        return self._known()

    def _take(self, line: bytes) -> None:
        try:
            table = parse_json(line)
            step, score = table["step"], table.get(_SCORE)
            self.last = table
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if isinstance(step, int) and isinstance(score, int | float):
            self._points.append((step, float(score)))

    def _known(self) -> Learning | None:
        if not self._points:
            return None
        last = len(self._points) - 1
        count = min(_POINTS, len(self._points))
        picked = [self._points[round(i * last / max(1, count - 1))][1] for i in range(count)]
        return Learning(self._points[-1][0], tuple(picked))
