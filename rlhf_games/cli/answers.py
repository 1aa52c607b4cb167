"""``rlhf-games answers``: what a store holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rlhf_games.core.literal import literal

if TYPE_CHECKING:
    from rlhf_games.feedback.store import Store


@dataclass(frozen=True)
class Answers:
    """Shows how far a store is and who answered, or writes all its answers for an analysis.

    An export says of every answer what was shown, where it comes from, who answered, how quickly, and what was meant. A codebook that
    explains its columns is written beside it.
    """

    store: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]
    """Path of the store, a folder with a store.sqlite, or a postgresql:// URL."""
    export: Path | None = None
    """Write every answer ever given, those taken back too: one JSON object per line, or a table where the name ends in .csv; "-" for the
    terminal."""
    pseudonyms: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Call annotators annotator-1, annotator-2, ... in what is exported."""

    def run(self) -> int:
        """Prints or writes; returns 0."""
        from rlhf_games.core.errors import UserError
        from rlhf_games.feedback.export import codebook, exported, to_csv
        from rlhf_games.feedback.store import Store

        if self.pseudonyms and self.export is None:
            raise UserError("--pseudonyms is for --export: name a file with --export answers.jsonl")
        with Store.open(self.store, create=False, read_only=True) as store:
            if self.export is None:
                _show(store)
                return 0
            rows = exported(store, pseudonyms=self.pseudonyms)
        if str(self.export) == "-":
            print(_lines(rows), end="")
            return 0
        beside = self.export.with_name(f"{self.export.stem}-codebook.md")
        _write(self.export, to_csv(rows) if self.export.suffix.lower() == ".csv" else _lines(rows))
        _write(beside, codebook(self.export.name))
        print(literal(f"wrote {len(rows)} answers to {self.export}, and what the columns mean to {beside}"))
        return 0


def _lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _write(path: Path, text: str) -> None:
    from rlhf_games.core.errors import UserError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; give --export another path") from error


def _show(store: Store) -> None:
    from rich.table import Table

    from rlhf_games.cli.console import LiteralConsole

    progress = store.progress()
    console = LiteralConsole()
    console.print(
        f"{progress.answered} answers to queries ({progress.retracted} taken back), {progress.open} queries open ({progress.leased} being "
        f"looked at), {progress.withdrawn} withdrawn",
        highlight=False,
    )
    table = Table("annotator", "kind", "answers")
    for person in store.annotators():
        table.add_row(person.name, person.kind, str(person.answers))
    console.print(table)
