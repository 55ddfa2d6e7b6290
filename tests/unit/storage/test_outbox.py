"""The outbox: announced in the transaction, published at least once, and the same bytes never twice."""

import pytest
import sqlalchemy as sa

from falaj.kernel.errors import StorageError
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.snapshots import read_epoch, read_snapshot
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.outbox import OUTBOX, announce, last_announced, publish


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


class Content:
    """A topic whose bytes a test sets."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.builds = 0

    def __call__(self, connection: sa.Connection) -> bytes:
        del connection
        self.builds += 1
        return self.raw


class BrokenStore(MemoryStore):
    """A store whose disk fails as often as it is told to."""

    failures = 1

    def write(self, puts: object, deletes: object = (), *, unchanged: object = None) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("the disk failed")
        super().write(puts, deletes, unchanged=unchanged)  # type: ignore[arg-type]


def test_nothing_is_published_before_something_is_announced(db: Database) -> None:
    store, routing = MemoryStore(), Content(b"r")
    assert not publish(db, store, {"routing": routing}, 1)
    assert (read_epoch(store), read_snapshot(store, "routing"), routing.builds) == (0, None, 0)


def test_every_announcement_is_a_new_epoch_for_all_topics(db: Database) -> None:
    store, topics = MemoryStore(), {"routing": Content(b"r1"), "tokens": Content(b"t1")}
    with db.write() as connection:
        assert announce(connection, "routing", 1) == 1
        assert announce(connection, "tokens", 1) == 2
    assert publish(db, store, topics, 5)
    assert read_epoch(store) == 2
    assert (read_snapshot(store, "routing"), read_snapshot(store, "tokens")) == (b"r1", b"t1")
    builds = topics["routing"].builds
    assert not publish(db, store, topics, 6)
    assert topics["routing"].builds == builds  # an idle pass builds nothing
    with db.read() as connection:
        assert (last_announced(connection), last_announced(connection, "routing")) == (2, 1)
        assert set(connection.execute(sa.select(OUTBOX.c.published_at)).scalars()) == {5}


def test_a_transaction_that_fails_announces_nothing(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as connection:
        announce(connection, "routing", 1)
        _ = 1 / 0
    assert not publish(db, MemoryStore(), {"routing": Content(b"r")}, 1)


def test_a_publication_that_failed_is_made_by_the_next_pass(db: Database) -> None:
    store, topics = BrokenStore(), {"routing": Content(b"r")}
    with db.write() as connection:
        announce(connection, "routing", 1)
    with pytest.raises(StorageError):
        publish(db, store, topics, 2)
    assert publish(db, store, topics, 3)
    assert read_snapshot(store, "routing") == b"r"


@pytest.mark.parametrize("held", [[], [(b"snapshot/epoch", b"\x63")], [(b"snapshot/epoch", b"\x01")]])
def test_a_store_that_was_lost_or_restored_is_filled_again(db: Database, held: list[tuple[bytes, bytes]]) -> None:
    topics = {"routing": Content(b"r")}
    with db.write() as connection:
        announce(connection, "routing", 1)
    assert publish(db, MemoryStore(), topics, 1)
    other = MemoryStore()
    other.write(held)
    assert publish(db, other, topics, 2)
    assert (read_epoch(other), read_snapshot(other, "routing")) == (1, b"r")


def test_a_new_topic_and_another_release_are_published_too(db: Database) -> None:
    store, routing = MemoryStore(), Content(b"r")
    with db.write() as connection:
        announce(connection, "routing", 1)
    publish(db, store, {"routing": routing}, 1)
    assert publish(db, store, {"routing": routing, "limits": Content(b"l")}, 2)
    routing.raw = b"the same routes as the new release writes them"
    assert not publish(db, store, {"routing": routing}, 3)
    assert publish(db, store, {"routing": routing}, 3, force=True)


def test_numbers_are_never_given_twice(db: Database) -> None:
    with db.write() as connection:
        announce(connection, "routing", 1)
        connection.execute(OUTBOX.delete())
        assert announce(connection, "routing", 2) == 2
