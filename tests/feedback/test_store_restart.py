"""A database server that stops answering in the middle of things, and comes back."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import sqlalchemy as sa

from rlhf_games.cli.teach import Teach
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.feedback.store.database import StoreLost

from .conftest import KINDS, POSTGRES, asker, draft

pytestmark = pytest.mark.skipif(POSTGRES not in os.environ, reason="no PostgreSQL here")


class Line:
    """A line to the server that can be cut: at once, or in the moment after the next commit, whose acknowledgement then gets lost."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.open = True
        self.cut_at_commit = False
        self.refused = 0
        """Attempts to connect while it was cut."""
        self._unheard: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def cut(self) -> None:
        self.open = False
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for one in (self._door, *self._sockets):
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                self.refused += 1
                continue
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            for way in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._forward, args=way))
                self._threads[-1].start()

    def _forward(self, source: socket.socket, drain: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.cut_at_commit and b"COMMIT" in data and self._unheard is None:
                    self._unheard = drain  # what the server says to this is not handed on
                elif self._unheard is source:
                    self._unheard, self.cut_at_commit = None, False
                    self.cut()
                    return
                drain.sendall(data)
        with suppress(OSError):
            drain.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line() -> Iterator[Line]:
    url = sa.make_url(os.environ[POSTGRES])
    made = Line(url.host or "127.0.0.1", url.port or 5432)
    yield made
    made.close()


@pytest.fixture
def through(line: Line, target: str) -> str:
    """The store's address by way of the line."""
    return sa.make_url(target).set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)


only_postgres = pytest.mark.parametrize("target", KINDS[1:], indirect=True)


@only_postgres
def test_without_patience_the_loss_is_told_and_the_store_goes_on_later(line: Line, through: str) -> None:
    with Store.open(through) as store:
        ids = asker(store)(1)
        line.cut()
        with pytest.raises(StoreLost, match="cannot be written"):
            store.post_answers([draft(ids[0])])
        line.open = True
        assert store.post_answers([draft(ids[0])]) == [1]


@only_postgres
def test_a_patient_store_tries_until_the_server_is_back(line: Line, through: str) -> None:
    tried: list[str] = []

    def again(error: UserError) -> bool:
        tried.append(str(error))
        line.open = len(tried) == 3
        return True

    with Store.open(through, again=again) as store:
        ids = asker(store)(2)
        line.cut()
        assert store.post_answers([draft(query) for query in ids]) == [1, 2]
        assert len(tried) == 3, "it was not there, and not there, and there"
        assert [answer.query_id for answer in store.answers().answers] == ids


@only_postgres
def test_what_was_committed_unheard_is_not_done_twice(line: Line, through: str) -> None:
    def again(error: UserError) -> bool:
        line.open = True
        return True

    with Store.open(through, again=again) as store:
        ids = asker(store)(6)
        clips = store.queries(ids[:1])[0].clips
        store.lease_many("ann", 1)
        store.release("ann")
        line.cut_at_commit = True
        leased = store.lease_many("ann", 3)
        assert not line.cut_at_commit, "the line was cut"
        assert [query.id for query in leased] == ids[:3], "the same three, not the next three"
        line.cut_at_commit = True
        assert store.post_answers([draft(query.id) for query in leased]) == [1, 2, 3]
        line.cut_at_commit = True
        [new] = store.post_queries([QueryDraft("preference", clips, key="once")])
        assert store.query_ids() == [*ids, new]
        assert len(store.history()) == 3


@only_postgres
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_teacher_is_stopped_while_the_server_is_away(
    line: Line, through: str, target: str, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    Store.open(target).close()

    def stop_in_an_outage() -> None:
        with Store.open(target, create=False) as store:
            while not store.annotators():  # the teacher has not looked for questions yet
                time.sleep(0.01)
        line.cut()
        while not line.refused:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    with ThreadPoolExecutor() as pool:
        done = pool.submit(stop_in_an_outage)
        assert Teach(through, poll=0.01).run() == 0
        done.result()
    said = capsys.readouterr()
    assert "trying again for 10 minutes" in said.err
    assert "teacher-oracle gave 0 answers" in said.out


@only_postgres
def test_an_undo_is_never_repeated(line: Line, through: str) -> None:
    def again(error: UserError) -> bool:
        line.open = True
        return True

    with Store.open(through, again=again) as store:
        ids = asker(store)(2)
        store.post_answers([draft(query) for query in ids])
        line.cut_at_commit = True
        with pytest.raises(StoreLost):
            store.undo_last("ann")
        line.open = True
        assert [answer.query_id for answer in store.answers().answers] == ids[:1], "one answer is gone, not two"


@only_postgres
def test_leases_go_by_the_clock_of_the_server(target: str) -> None:
    with Store.open(target) as store, Store.open(target, clock=lambda: 4e9) as wrong:
        asker(store)(1)
        assert wrong.lease("eve", seconds=60) is not None, "by a clock that is decades ahead"
        assert store.lease("ann", seconds=60) is not None, "no lease can last so long"
        query = store.lease("bob")
        assert query is None
        assert store.progress().leased == 1
