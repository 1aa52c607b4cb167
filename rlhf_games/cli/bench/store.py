"""``rlhf-games bench store``: how quickly a store answers when it is large."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import tyro

from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.feedback.labels import Label
    from rlhf_games.feedback.store import Answer, Store
    from rlhf_games.replay.replay import Replay

_REPEATS = 5
_AT_ONCE = 1000
"""Rows posted together."""
_OPEN = 512
"""Questions that wait."""
_LEASED = 256


class Size(TypedDict):
    """What one store takes, the best of five in milliseconds."""

    answers: int
    lease_ms: float
    """256 questions for the one who gave all the answers, and giving them back."""
    answer_ms: float
    """Storing one answer, to the disk."""
    poll_ms: float
    """A learner that asks what is new where nothing is."""
    orphan_ms: float
    """The same after a mark about an episode that never became a replay."""
    progress_ms: float
    """What the window shows of how far things are."""
    labels_ms: float
    """Reading everything, as a run that is resumed does; once."""


@dataclass(frozen=True)
class BenchStore:
    """Fills stores with answers of one person and measures leasing, answering, polling, counting and reading them all."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Answers in each store."""
    store: str = ""
    """Where: a postgresql:// URL of an empty database, filled up to each size in turn; default: SQLite files in a folder for a while."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object a line instead of a table."""

    def run(self) -> int:
        """Measures and prints; returns 0."""
        from rlhf_games.feedback.store import Store

        if not self.sizes or min(self.sizes) < 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise UserError("--sizes must be numbers of at least 1, each larger than the one before")
        with tempfile.TemporaryDirectory() as folder, Store.open(self.store or Path(folder) / "store.sqlite") as store:
            if store.query_ids():
                raise UserError(f"{store.name} holds questions already: name an empty database")
            if not self.json:
                print(
                    f"{'answers':>8}"
                    + "".join(f"{name.removesuffix('_ms'):>10}" for name in Size.__annotations__ if name != "answers")
                    + "  ms"
                )
            for before, size in zip((0, *self.sizes), self.sizes, strict=False):
                fill(store, before, size)
                found = measure(store, size)
                numbers = [value for value in found.values() if isinstance(value, float)]
                print(json.dumps(found) if self.json else f"{size:>8,}" + "".join(f"{value:>10.2f}" for value in numbers), flush=True)
        return 0


def fill(store: Store, before: int, size: int) -> None:
    """Brings a store that ``fill`` has filled to ``before`` answers to ``size``, and to ``_OPEN`` questions that wait."""
    from rlhf_games.feedback.answers import Preference
    from rlhf_games.feedback.store import AnswerDraft, QueryDraft
    from rlhf_games.replay.clip import Clip, Segment

    first, second = store.add_replays([_replay(seed, 1000) for seed in (0, 1)])
    ids = store.query_ids(still_wanted=True)
    for start in range(before + len(ids), size + _OPEN, _AT_ONCE):
        places = [(number % 900, number // 900 % 900) for number in range(start, min(start + _AT_ONCE, size + _OPEN))]
        pairs = [(Clip((Segment(first, a, 25),)), Clip((Segment(second, b, 25),))) for a, b in places]
        ids += store.post_queries([QueryDraft("preference", pair, session="bench") for pair in pairs])
    for start in range(before, size, _AT_ONCE):
        some = ids[start - before : min(start + _AT_ONCE, size) - before]
        store.post_answers([AnswerDraft("ann", Preference("left"), 1.0, 2.0, f"{query}", query_id=query) for query in some])


def measure(store: Store, size: int) -> Size:
    """Measures a store that holds ``size`` answers of ``ann``; a few more are stored, and taken back."""
    from rlhf_games.feedback.answers import Evaluation
    from rlhf_games.feedback.labels import LabelReader
    from rlhf_games.feedback.store import AnswerDraft

    begin = time.perf_counter()
    reader = LabelReader(store, free=_Nothing())
    reader.poll()
    labels = time.perf_counter() - begin
    poll = _best(reader.poll)
    orphan = store.post_answers([AnswerDraft("ann", Evaluation(1.0), 1.0, 2.0, f"orphan-{size}", episode="never", step=3)])[0]
    reader.poll()
    again = _best(reader.poll)
    store.retract(orphan, "ann")
    return Size(
        answers=size,
        lease_ms=_best(lambda: store.release("ann", [query.id for query in store.lease_many("ann", _LEASED)])),
        answer_ms=_best(lambda: _answer_and_undo(store)),
        poll_ms=poll,
        orphan_ms=again,
        progress_ms=_best(store.progress),
        labels_ms=1000.0 * labels,
    )


class _Nothing:
    """No mark says anything: its episode is never there."""

    def labels_of(self, answers: Sequence[Answer]) -> list[tuple[Label, ...] | None]:
        """Not known yet."""
        return [None for _ in answers]


def _answer_and_undo(store: Store) -> float:
    """Seconds for storing one answer, which is then taken back."""
    import uuid

    from rlhf_games.feedback.answers import Preference

    [query, *_] = store.query_ids(still_wanted=True)
    name = uuid.uuid4().hex
    begin = time.perf_counter()
    answer = store.answer(query, "bob", Preference("left"), 1.0, 2.0, name)
    seconds = time.perf_counter() - begin
    store.retract(answer, "bob")
    return seconds


def _best(work: Callable[[], object]) -> float:
    """Milliseconds of the quickest of a few; work that measures itself returns its seconds."""
    found = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        said = work()
        seconds = time.perf_counter() - begin
        found.append(said if isinstance(said, float) else seconds)
    return 1000.0 * min(found)


def _replay(seed: int, length: int) -> Replay:
    """A replay of a game that nobody plays."""
    import numpy as np

    from rlhf_games.replay.checksum import Checksum
    from rlhf_games.replay.replay import Replay

    actions = np.random.default_rng(seed).integers(0, 4, (length, 1)).astype(np.int32)
    checksum = Checksum((1.0,), length, "0" * 32, ("0" * 16,) * (length // 256))
    return Replay("bench/none", "1", {}, seed, actions, checksum, "terminated", ("agent",), policy="bench")
