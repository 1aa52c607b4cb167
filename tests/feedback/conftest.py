"""Stores of both kinds, and replays to ask about."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from rlhf_games.feedback.answers import AnswerValue, Preference
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
from rlhf_games.replay.checksum import Checksum
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay

POSTGRES = "RLHF_GAMES_TEST_POSTGRES"
NO_POSTGRES = f"no PostgreSQL here: set {POSTGRES} to the URL of a database that tests may fill (postgresql://user@host/name)"
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(POSTGRES not in os.environ, reason=NO_POSTGRES))]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Path or URL of a store that is not there yet; PostgreSQL: an empty schema of its own."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.sqlite")
        return
    url = os.environ[POSTGRES]
    schema = f"test_{uuid.uuid4().hex}"
    admin = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    yield sa.make_url(url).update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture
def store(target: str, clock: Clock) -> Iterator[Store]:
    with Store.open(target, clock=clock) as opened:
        yield opened


@pytest.fixture
def sqlite_store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite", clock=clock) as opened:
        yield opened


def make_replay(seed: int, length: int = 100) -> Replay:
    """A replay of a game that nobody plays."""
    actions = np.random.default_rng(seed).integers(0, 4, (length, 1)).astype(np.int32)
    return Replay(
        "probe/none",
        "1",
        {},
        seed,
        actions,
        Checksum((1.0,), length, "0" * 32, ("0" * 16,) * (length // 256)),
        "terminated",
        ("agent",),
        policy="p1",
    )


@pytest.fixture
def ask(store: Store) -> Callable[..., list[int]]:
    return asker(store)


def asker(store: Store) -> Callable[..., list[int]]:
    """Posts ``count`` preference queries about different clips, the first clip of query ``i`` starting at step ``i``."""

    def post(count: int, rng: np.random.Generator | None = None, **fields: object) -> list[int]:
        replays = [make_replay(seed, 200 + count) for seed in range(2)]
        first, second = store.add_replays(replays)
        pairs = [(Clip((Segment(first, i, 25),)), Clip((Segment(second, i, 25),))) for i in range(count)]
        return store.post_queries([QueryDraft("preference", pair, **fields) for pair in pairs], rng)  # type: ignore[arg-type]

    return post


def draft(query_id: int, value: AnswerValue | None = None, annotator: str = "ann") -> AnswerDraft:
    return AnswerDraft(annotator, value or Preference("left"), 1.0, 2.0, str(uuid.uuid4()), query_id=query_id)
