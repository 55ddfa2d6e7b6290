"""The quarantine: what is replayed, what stays, and that nothing comes twice."""

import csv
from pathlib import Path
from typing import Any

import pytest

import falaj as fj
from falaj.data.quarantine import Quarantine, Replayed
from falaj.governance.audit import list_records
from support.data_room import ADA, EVENT_SCHEMA, DataRoom, event, event_file, pushed_source

TX = pushed_source()
WIDER = pushed_source(checks=[fj.check.between("amount", 0, 1_000)])


def quarantine(room: DataRoom) -> Quarantine:
    return Quarantine(room.tables, room.events, room.db, room.clock)


def standing(room: DataRoom) -> list[Any]:
    return [row["_raw"] for row in reversed(quarantine(room).rows("tx", 1_000))]


def test_after_a_check_was_corrected_events_come_in_once(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1), event("b", 2, 500.0), event("c", 3, -1.0)])
    dry = quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada", dry_run=True)
    assert (dry.looked_at, dry.accepted, dry.refused, dry.dry_run) == (2, 1, 1, True)
    assert len(room.read_all("tx", EVENT_SCHEMA)) == 1
    done = quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada")
    assert (done.looked_at, done.accepted, done.refused) == (2, 1, 1)
    assert done.reasons == {"amount is not between 0 and 1000": 1}
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a", "b"]
    assert [row["id"] for row in room.table("tx")] == ["a", "b"]
    (left,) = quarantine(room).rows("tx", 10)
    assert (left["id"], left["_reasons"]) == ("c", ["amount is not between 0 and 1000"])
    assert quarantine(room).count("tx") == (1, 1)
    head = room.log("tx").next_seq()
    again = quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada")
    assert (again.looked_at, again.accepted) == (1, 0)
    assert room.log("tx").next_seq() == head  # a row that is refused for the same reason does not come again
    assert [(r.action, r.actor) for r in list_records(room.db)] == [("source.replay", "ada")] * 2


def test_after_a_column_was_added_malformed_events_come_in(room: DataRoom) -> None:
    unknown = event("a", 1, city="Dubai")
    room.events.accept(TX, EVENT_SCHEMA, [unknown, "{", '{"id": "b"}'])
    wider = {**EVENT_SCHEMA, "city": "string"}
    done = quarantine(room).replay(pushed_source(schema=wider), wider, "ada")
    assert (done.looked_at, done.accepted) == (3, 1)
    (row,) = room.read_all("tx", wider)
    assert (row["id"], row["city"], row["_file"]) == ("a", "Dubai", "stream")
    assert standing(room) == ["{", '{"id": "b"}']


def test_only_rows_with_a_reason(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1, 500.0), {"at": "1970-01-01T00:00:00Z", "amount": 600.0}])
    done = quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada", reason="id is null")
    assert (done.looked_at, done.accepted) == (1, 0)
    assert [row["_reasons"] for row in quarantine(room).rows("tx", 10)] == [
        ["id is null"],
        ["amount is not between 0 and 100"],
    ]


def test_rows_of_a_parquet_file_keep_where_they_came_from(room: DataRoom) -> None:
    path = event_file(room.folder / "in" / "1.parquet", [event("a", 1), event("b", 2_000_000, 500.5, known=3)])
    room.ingest(TX)
    assert quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada").accepted == 1
    first, second = room.read_all("tx", EVENT_SCHEMA)
    assert (second["id"], second["amount"], second["_event_ts"]) == ("b", 500.5, second["at"])
    assert (second["_file"], second["_digest"]) == (first["_file"], first["_digest"])
    assert str(path).endswith(second["_file"])


def test_rows_of_a_csv_file(room: DataRoom) -> None:
    source = pushed_source(batch=fj.Csv("in/*.csv"), stream=None)
    (room.folder / "in").mkdir()
    with (room.folder / "in" / "1.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(EVENT_SCHEMA)
        writer.writerow(["a", "1970-01-01T00:00:01Z", "", "500", "AE"])
        writer.writerow(["b", "yesterday", "", "5", ""])
        file.write("c,too few\n")
    room.ingest(source)
    wider = pushed_source(batch=fj.Csv("in/*.csv"), stream=None, checks=[])
    done = quarantine(room).replay(wider, EVENT_SCHEMA, "ada")
    assert (done.looked_at, done.accepted) == (3, 1)
    (row,) = room.table("tx")
    assert (row["id"], row["amount"], row["country"], row["_event_ts"].second) == ("a", 500.0, "AE", 1)
    left = [row["_reasons"][0] for row in quarantine(room).rows("tx", 10)]
    assert any("at is not of type timestamp: 'yesterday'" in reason for reason in left), left
    assert quarantine(room).replay(wider, EVENT_SCHEMA, "ada").accepted == 0


def test_nothing_was_refused(room: DataRoom) -> None:
    assert quarantine(room).rows("tx", 10) == []
    assert quarantine(room).count("tx") == (0, 0)
    assert quarantine(room).replay(TX, EVENT_SCHEMA, ADA.name).looked_at == 0


@pytest.mark.parametrize("dry_run", [True, False])
def test_many_rows_piece_by_piece(tmp_path: Path, dry_run: bool) -> None:
    rows, room = 12_000, DataRoom.in_memory(tmp_path)
    room.events.accept(TX, EVENT_SCHEMA, [event(str(n), n, 500.0 if n % 2 else 5_000.0) for n in range(rows)])
    pieces: list[Replayed] = []
    while not pieces or pieces[-1].left:
        after, until = (pieces[-1].through, pieces[-1].until) if pieces else (0, None)
        piece = quarantine(room).replay(
            WIDER, EVENT_SCHEMA, "ada", dry_run=dry_run, after=after, until=until, within_s=0
        )
        pieces.append(piece)
        # refused meanwhile, or again for another reason: not of this replay
        room.events.accept(TX, EVENT_SCHEMA, [event("later", 1, 700.0)])
    assert [piece.looked_at for piece in pieces] == [5_000, 5_000, 2_000]
    assert [piece.left for piece in pieces] == [7_000, 2_000, 0]
    assert sum(piece.accepted for piece in pieces) == rows // 2
    assert len(room.read_all("tx", EVENT_SCHEMA)) == (0 if dry_run else rows // 2)
    room.close()


def test_nothing_is_left_of_a_piece_without_rows(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1, 500.0)])
    first = quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada", reason="nothing says so", within_s=0)
    assert (first.looked_at, first.left) == (0, 0)
    again = quarantine(room).replay(WIDER, EVENT_SCHEMA, "ada", after=first.through, until=first.until, within_s=0)
    assert (again.looked_at, again.left, again.through) == (0, 0, first.through)
