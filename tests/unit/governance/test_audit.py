"""The audit trail: whole or refused, and in the transaction of what it tells."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from falaj.governance.access import Actor, Role
from falaj.governance.audit import AUDIT_RECORD, FIRST_HASH, audited, list_records, verify
from falaj.governance.audit_record import ChainHead
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import CorruptionError
from falaj.storage.metadata.database import Database

ADA = Actor("ada", Role.ENGINEER)


def _write(db: Database, clock: ManualClock, times: int) -> None:
    for number in range(times):
        with audited(db, clock, ADA, "model.train", "fraud", {"number": number}):
            clock.advance(1)


def _tamper(db: Database, statement: str) -> None:
    with db.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("DROP TRIGGER IF EXISTS audit_record_sealed ON audit_record"))
        else:
            for verb in ("update", "delete"):
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS audit_record_no_{verb}"))
        connection.execute(sa.text(statement))


def test_records_come_newest_first_with_their_detail(db: Database, clock: ManualClock) -> None:
    _write(db, clock, 3)
    records = list_records(db, limit=2)
    assert [record.seq for record in records] == [3, 2]
    assert records[0].detail == {"number": 2}
    assert [record.seq for record in list_records(db, before_seq=2)] == [1]


def test_filters(db: Database, clock: ManualClock) -> None:
    _write(db, clock, 1)
    with audited(db, clock, Actor("lin", Role.APPROVER), "model.approve", "fraud/1"):
        pass
    assert [record.actor for record in list_records(db, action="model.*")] == ["lin", "ada"]
    assert [record.actor for record in list_records(db, action="model.train")] == ["ada"]
    assert [record.seq for record in list_records(db, actor="lin")] == [2]
    assert [record.seq for record in list_records(db, resource="fraud")] == [1]


def test_a_block_that_raises_leaves_nothing(db: Database, clock: ManualClock) -> None:
    with pytest.raises(ZeroDivisionError), audited(db, clock, ADA, "model.train", "fraud"):
        _ = 1 / 0
    assert list_records(db) == []
    assert verify(db) == ChainHead(0, FIRST_HASH)


def test_the_block_may_add_to_its_detail(db: Database, clock: ManualClock) -> None:
    detail: dict[str, object] = {}
    with audited(db, clock, ADA, "model.train", "fraud", detail):
        detail["version"] = 3
    assert list_records(db)[0].detail == {"version": 3}


@pytest.mark.parametrize("statement", ["UPDATE audit_record SET actor = 'eve'", "DELETE FROM audit_record"])
def test_the_database_refuses_to_change_a_record(db: Database, clock: ManualClock, statement: str) -> None:
    _write(db, clock, 1)
    with pytest.raises(IntegrityError, match="never changed"), db.write() as connection:
        connection.execute(sa.text(statement))
    assert verify(db).records == 1


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit_record SET actor = 'eve' WHERE seq = 2", 2),
        ("UPDATE audit_record SET at = at + 1 WHERE seq = 3", 3),
        ("UPDATE audit_record SET detail = '{}' WHERE seq = 1", 1),
        ("DELETE FROM audit_record WHERE seq = 2", 2),
    ],
)
def test_tampering_is_found_and_named(db: Database, clock: ManualClock, statement: str, bad: int) -> None:
    _write(db, clock, 3)
    _tamper(db, statement)
    with pytest.raises(CorruptionError, match=f"broken at record {bad}:"):
        verify(db)


def test_a_kept_head_shows_a_cut_tail_and_a_rewritten_chain(db: Database, clock: ManualClock) -> None:
    _write(db, clock, 3)
    head = verify(db)
    assert verify(db, head) == head
    with pytest.raises(CorruptionError, match="record 3"):
        verify(db, ChainHead(3, "f" * 64))
    _tamper(db, "DELETE FROM audit_record WHERE seq = 3")
    assert verify(db).records == 2
    with pytest.raises(CorruptionError, match="record 3"):
        verify(db, head)


def test_many_threads_make_one_chain(db: Database, clock: ManualClock) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _write(db, clock, 10), range(4)))
    assert verify(db).records == 40
    assert db_count(db) == 40


def db_count(db: Database) -> int:
    with db.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(AUDIT_RECORD)).scalar_one()
