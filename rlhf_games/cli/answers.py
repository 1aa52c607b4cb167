"""``rlhf-games answers``: what a store holds."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rlhf_games.feedback.store import Answer, Store


@dataclass(frozen=True)
class Answers:
    """Shows how far a store is and who answered, or writes all its answers as JSON lines."""

    store: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]
    """Path of the store, a folder with a store.sqlite, or a postgresql:// URL."""
    export: Path | None = None
    """Write every answer ever given, those taken back too, one JSON object per line; "-" for the terminal."""

    def run(self) -> int:
        """Prints or writes; returns 0."""
        from rlhf_games.feedback.store import Store

        with Store.open(self.store, create=False) as store:
            if self.export is None:
                _show(store)
                return 0
            lines = [json.dumps(_row(answer, taken_back), sort_keys=True) for answer, taken_back in store.history()]
        text = "".join(line + "\n" for line in lines)
        if str(self.export) == "-":
            print(text, end="")
        else:
            _write(self.export, text)
            print(f"wrote {len(lines)} answers to {self.export}")
        return 0


def _write(path: Path, text: str) -> None:
    from rlhf_games.core.errors import UserError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; give --export another path") from error


def _row(answer: Answer, taken_back: float | None) -> dict[str, Any]:
    row = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    return row | {"kind": answer.kind, "value": dataclasses.asdict(answer.value), "retracted_at": taken_back}


def _show(store: Store) -> None:
    from rich.console import Console
    from rich.table import Table

    progress = store.progress()
    console = Console()
    console.print(
        f"{progress.answered} answers to queries ({progress.retracted} taken back), {progress.open} queries open ({progress.leased} being "
        f"looked at), {progress.withdrawn} withdrawn",
        highlight=False,
    )
    table = Table("annotator", "kind", "answers")
    for person in store.annotators():
        table.add_row(person.name, person.kind, str(person.answers))
    console.print(table)
