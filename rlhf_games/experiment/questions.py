"""The questions of one run in its store: what belongs to the run as it is now, also after it went back to an earlier checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import count

import numpy as np

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store import Query, QueryDraft, Store
from rlhf_games.replay.clip import Clip


class Questions:
    """What the run has asked so far.

    A run that goes back has asked questions in iterations that it is yet to do again. They stay in the store with their answers, but are
    not among `ids` unless the same is asked again; then they have their answers already. Where something else is asked in their place,
    those that nobody answered are withdrawn.
    """

    def __init__(self, store: Store, session: str) -> None:
        """None yet."""
        self._store, self._session = store, session
        self.ids: set[int] = set()
        """Their numbers in the store; grows in place."""
        self._sums: dict[int, int] = {}

    def post(self, drafts: Sequence[QueryDraft], iteration: int, rng: np.random.Generator) -> list[int]:
        """Asks what is wanted in an iteration and nothing else; returns the ids in order.

        Asking the same iteration of the same run again posts nothing twice.
        """
        posted = self._store.post_queries(self._keyed(drafts, iteration), rng) if drafts else []
        self.ids.update(posted)
        self._sums |= {query: _sum(query, draft.clips) for query, draft in zip(posted, drafts, strict=True)}
        stale = set(self._store.query_ids(still_wanted=True, session=self._session)) - self.ids
        if stale:
            self._store.withdraw(sorted(stale))
        return posted

    @property
    def checksum(self) -> str:
        """Of all of them: numbers and clips, in whatever order they were asked."""
        return f"{sum(self._sums[query] for query in self.ids) % 2**64:016x}"

    def restore(self, ids: Collection[int] | None, iteration: int, kind: str, checksum: str | None = None) -> list[Query]:
        """Goes on from a checkpoint; returns the questions, oldest first.

        Args:
          ids: what `ids` was; None: a checkpoint of revision cd37529, which does not say.
          iteration: those asked before it are taken where the checkpoint does not say.
          kind: of these.
          checksum: what `checksum` was; None: not known.

        Raises:
          UserError: the store holds other questions under these numbers: it is another run's.
        """
        if ids is None:
            known = self._store.queries(self._store.query_ids(kind=kind, session=self._session))
            mine = [query for query in known if query.iteration < iteration]
        else:
            mine = self._store.queries(sorted(ids))
        self.ids.clear()
        self.ids.update(query.id for query in mine)
        self._sums = {query.id: _sum(query.id, query.clips) for query in mine}
        if checksum not in (None, self.checksum):
            raise UserError(
                f"{self._store.name} holds other questions than the checkpoint was made of: it is another run's store; "
                "put this run's back, or start another run"
            )
        return mine

    def _keyed(self, drafts: Sequence[QueryDraft], iteration: int) -> list[QueryDraft]:
        """Each with the key of the same question in the store, or else with one that is free."""
        found = list(drafts)
        open_places = list(range(len(drafts)))
        for attempt in count():
            for place in open_places:
                key = f"{self._session}/{iteration}/{place}" + (f"@{attempt}" if attempt else "")
                found[place] = replace(drafts[place], key=key)
            known = self._store.queries_of_keys([str(found[place].key) for place in open_places])
            open_places = [
                place for place in open_places if (query := known.get(str(found[place].key))) is not None and not query.asks(found[place])
            ]
            if not open_places:
                break
        return found


def _sum(query: int, clips: Sequence[Clip]) -> int:
    """64 bits that tell a question from others."""
    text = "\n".join([str(query), *(clip.to_json() for clip in clips)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
