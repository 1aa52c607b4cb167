"""A question that a session holds, and who makes its clips ready."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from rlhf_games.feedback.answers import Preference, Ranking, Rating

if TYPE_CHECKING:
    from rlhf_games.arena.films import Footage
    from rlhf_games.feedback.store import Query
    from rlhf_games.replay.clip import Clip

Value = TypeVar("Value", Preference, Ranking, Rating)


class Films(Protocol):
    """Makes clips ready for the screen."""

    def request(self, clip: Clip, urgent: bool = False) -> Future[Footage]:
        """Returns at once; ``urgent``: before everything else."""
        ...

    def expect(self, clips: Sequence[Clip]) -> None:
        """Clips that will probably be asked for, the next one first: drawn when nothing that was asked for waits."""
        ...

    def close(self) -> None:
        """Drops what has not begun."""
        ...


@dataclass(frozen=True, eq=False)
class Asked(Generic[Value]):
    """A question that this session holds."""

    query: Query
    films: tuple[Future[Footage], ...]
    """By place, as they are shown."""
    taken_back: Value | None = None
    """What the person said before they took it back."""

    @property
    def ready(self) -> bool:
        """Whether all clips are drawn (or cannot be)."""
        return all(film.done() for film in self.films)

    @property
    def problem(self) -> BaseException | None:
        """Why it cannot be shown; ask once it is ready."""
        return next((error for film in self.films if (error := film.exception()) is not None), None)

    @property
    def footage(self) -> tuple[Footage, ...]:
        """All clips; ask once it is ready."""
        return tuple(film.result() for film in self.films)
