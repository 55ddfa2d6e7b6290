"""Pushed events: what is refused, what is quarantined, what is acknowledged, and how all of it lands."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import falaj as fj
from falaj.data.event_row import LONGEST_CHARACTERS, read_event
from falaj.kernel.clock import ManualClock, from_us
from falaj.kernel.errors import CorruptionError, DataError, InputError
from falaj.storage.metadata.database import Database
from falaj.storage.tables.delta import DeltaTables
from support.data_room import EVENT_SCHEMA, DataRoom, event, pushed_source

TX = pushed_source()
AT = "1970-01-01T00:00:01Z"


def test_accepted_events_are_numbered_and_logged(room: DataRoom) -> None:
    first = room.events.accept(TX, EVENT_SCHEMA, [event("a", 5), event("b", 6)])
    second = room.events.accept(TX, EVENT_SCHEMA, [event("c", 7)])
    assert (first.first_seq, first.count, first.last_seq, first.rejected) == (1, 2, 2, [])
    assert (second.first_seq, second.last_seq) == (3, 3)
    assert room.log("tx").next_seq() == 4


def test_nothing_pushed_is_nothing_logged(room: DataRoom) -> None:
    accepted = room.events.accept(TX, EVENT_SCHEMA, [])
    assert (accepted.count, accepted.last_seq) == (0, 0)
    assert room.log("tx").next_seq() == 1


@pytest.mark.parametrize("at", ["1970-01-01T00:00:05Z", "1970-01-01T04:00:05+04:00", datetime.fromtimestamp(5, UTC)])
def test_timestamps_may_be_text_or_instants(room: DataRoom, at: Any) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [{"id": "a", "at": at}])
    (row,) = room.read_all("tx", EVENT_SCHEMA)
    assert row["_event_ts"] == row["at"] == from_us(5_000_000)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "a"}, "the timestamp 'at' is missing"),
        ({"id": "a", "at": None}, "the timestamp 'at' is missing"),
        ({"id": "a", "at": "2018-04-01T00:00:00"}, "field 'at': timestamp '2018-04-01T00:00:00' has no time zone"),
        ({"id": "a", "at": datetime(2018, 4, 1)}, "has no time zone"),  # noqa: DTZ001
        ({"id": "a", "at": "soon"}, "field 'at': 'soon' is not an RFC 3339 timestamp"),
        ({"id": "a", "at": 1.5}, "field 'at': 1.5 is not a timestamp"),
        ({"id": "a", "at": 1_790_000_000}, "field 'at': 1790000000 is not a timestamp: RFC 3339 text"),
        ({"id": "a", "at": AT, "known": 5_000_000}, "field 'known': 5000000 is not a timestamp"),
        ({"id": "a", "at": True}, "field 'at': True is not a timestamp"),
        ({"id": 7, "at": AT}, "field 'id': 7 is not text"),
        ({"id": "\ud800", "at": AT}, "is not valid Unicode"),
        ({"at": AT, "amount": "5"}, "field 'amount': '5' is not a number"),
        ({"at": AT, "amount": True}, "field 'amount': True is not a number"),
        ({"at": AT, "amount": 10**400}, "is not a number of 64 bits"),
        ({"at": AT, "amout": 5.0}, "field 'amout' is unknown"),
        ([1], "the event is not an object of fields"),
    ],
)
def test_malformed_events_are_quarantined_as_they_came(room: DataRoom, row: Any, said: str) -> None:
    accepted = room.events.accept(TX, EVENT_SCHEMA, [event("fine", 1), row])
    ((place, reasons),) = accepted.rejected
    assert (accepted.count, place) == (1, 1)
    assert any(said in reason for reason in reasons), reasons
    room.events.land("tx", EVENT_SCHEMA)
    assert [one["id"] for one in room.table("tx")] == ["fine"]
    (letter,) = room.quarantine("tx")
    assert (letter["_reasons"], letter["_ingest_seq"]) == (reasons, 2)
    assert letter["_raw"]


def test_a_text_that_is_no_event_is_kept_as_it_is(room: DataRoom) -> None:
    pushed = ["{", f'{{"id": "b", "at": "{AT}"}}', "7", '"text"', "[" * 100_000, "x" * (LONGEST_CHARACTERS + 1)]
    accepted = room.events.accept(TX, EVENT_SCHEMA, pushed)
    assert (accepted.count, [place for place, _ in accepted.rejected]) == (1, [0, 2, 3, 4, 5])
    room.events.land("tx", EVENT_SCHEMA)
    letters = room.quarantine("tx")
    assert [letter["_raw"] for letter in letters] == [pushed[0], *pushed[2:5], "x" * LONGEST_CHARACTERS]
    assert "is not JSON" in letters[0]["_reasons"][0]


def test_whole_numbers_and_truths(room: DataRoom) -> None:
    schema = {"n": "int64", "flag": "bool"}
    source = fj.Source("s", stream=fj.Push(), schema=schema)
    room.events.accept(source, schema, [{"n": 2**63 - 1, "flag": True}, {}])
    assert [(row["n"], row["flag"]) for row in room.read_all("s", schema)] == [(2**63 - 1, True), (None, None)]
    for bad in ({"n": 1.0}, {"n": True}, {"n": 2**63}, {"flag": 1}):
        assert room.events.accept(source, schema, [bad]).count == 0


def test_a_source_of_files_takes_no_events(room: DataRoom) -> None:
    with pytest.raises(InputError, match="takes no events"):
        room.events.accept(pushed_source(stream=None), EVENT_SCHEMA, [event("a", 1)])


def test_rejected_events_are_reported_and_go_to_quarantine(room: DataRoom) -> None:
    assert isinstance(room.clock, ManualClock)
    room.clock.advance(2)
    pushed = [event("a", 1), event("b", 2, 500.0), {"at": AT}, event("d", 4)]
    accepted = room.events.accept(TX, EVENT_SCHEMA, pushed)
    assert (accepted.first_seq, accepted.count) == (1, 2)
    assert accepted.rejected == [(1, ["amount is not between 0 and 100"]), (2, ["id is null"])]
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a", "d"]
    room.events.land("tx", EVENT_SCHEMA)
    assert [row["id"] for row in room.table("tx")] == ["a", "d"]
    refused = room.quarantine("tx")
    assert [row["_reasons"] for row in refused] == [reasons for _, reasons in accepted.rejected]
    assert json.loads(refused[0]["_raw"]) == {"id": "b", "at": "1970-01-01T00:00:00.000002Z", "amount": 500.0}
    assert (refused[0]["_file"], refused[0]["_ingested_at"]) == ("stream", from_us(2_000_000))


def test_only_rejected_events(room: DataRoom) -> None:
    accepted = room.events.accept(TX, EVENT_SCHEMA, [event("a", 1, -1.0)])
    assert (accepted.first_seq, accepted.count, accepted.last_seq) == (0, 0, 0)
    assert room.events.land("tx", EVENT_SCHEMA) == 1
    assert (room.table("tx"), len(room.quarantine("tx"))) == ([], 1)


def test_warnings_are_counted(room: DataRoom) -> None:
    source = pushed_source(checks=[fj.check.between("amount", 0, 1, severity="warn")])
    assert room.events.accept(source, EVENT_SCHEMA, [event("a", 1, 5.0)]).warnings == {
        "amount is not between 0 and 1": 1
    }


def test_landing_moves_each_event_once_and_looks_like_the_log(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event(str(i), i, known=i + 1) for i in range(10)])
    before = room.read_all("tx", EVENT_SCHEMA)
    assert room.events.land("tx", EVENT_SCHEMA, limit=4) == 4
    assert room.events.landed("tx") == 4
    while room.events.landed("tx") < 10:
        room.events.land("tx", EVENT_SCHEMA, limit=4)
    assert room.events.land("tx", EVENT_SCHEMA) == 10
    assert room.table("tx") == before == room.read_all("tx", EVENT_SCHEMA)


def test_landing_nothing(room: DataRoom) -> None:
    assert room.events.land("tx", EVENT_SCHEMA) == 0
    assert room.events.landed("tx") == 0


def test_the_log_forgets_only_what_has_landed_and_is_applied(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event(str(i), i) for i in range(10)])
    room.events.truncate("tx", 10)
    assert len(room.log("tx").read(1, 100)) == 10
    room.events.land("tx", EVENT_SCHEMA, limit=6)
    room.events.truncate("tx", 3)
    assert [seq for seq, _ in room.log("tx").read(1, 100)] == [4, 5, 6, 7, 8, 9, 10]
    room.events.truncate("tx", 10)
    assert [seq for seq, _ in room.log("tx").read(1, 100)] == [7, 8, 9, 10]
    assert len(room.read_all("tx", EVENT_SCHEMA)) == 10


def test_new_and_removed_columns(room: DataRoom) -> None:
    room.events.accept(TX, EVENT_SCHEMA, [event("a", 1, country="AE")])
    changed = {**{k: v for k, v in EVENT_SCHEMA.items() if k != "country"}, "city": "string"}
    (row,) = room.read_all("tx", changed)
    assert row["city"] is None
    assert "country" not in row
    with pytest.raises(DataError, match="column 'country' is int64 and the log has events of another type"):
        room.read_all("tx", {**EVENT_SCHEMA, "country": "int64"})


def test_a_log_that_holds_something_else_is_refused(room: DataRoom) -> None:
    room.log("tx").append([b"\xc1"])
    with pytest.raises(CorruptionError, match="the event log of source 'tx' holds what is no event"):
        room.read_all("tx", EVENT_SCHEMA)


def test_pushes_landing_and_reading_at_the_same_time(tmp_path: Path) -> None:
    room = DataRoom(DeltaTables(tmp_path / "tables"), Database.memory(), tmp_path, None)  # this log forgets at once
    room.db.create_all()
    stop = threading.Event()

    def push(name: int) -> None:
        for i in range(100):
            room.events.accept(TX, EVENT_SCHEMA, [event(f"{name}-{i}", i), event(f"{name}-{i}-x", i)])

    def land() -> None:
        while not stop.is_set():
            room.events.truncate("tx", room.events.land("tx", EVENT_SCHEMA, limit=7))

    threads = [threading.Thread(target=push, args=(name,)) for name in range(4)]
    lander = threading.Thread(target=land)
    for thread in [*threads, lander]:
        thread.start()
    followed: list[dict[str, Any]] = []
    while any(thread.is_alive() for thread in threads):
        followed += room.read_all("tx", EVENT_SCHEMA, limit=3, seq=len(followed) + 1)
    followed += room.read_all("tx", EVENT_SCHEMA, limit=13, seq=len(followed) + 1)
    stop.set()
    lander.join()
    assert [row["_ingest_seq"] for row in followed] == list(range(1, 801))
    assert followed == room.read_all("tx", EVENT_SCHEMA)
    assert len({row["id"] for row in followed}) == 800
    room.close()


def test_of_thousands_of_unknown_fields_the_first_are_named() -> None:
    # To look for the near miss of each took a second for a thousand fields, and the reasons were longer than the event.
    _, reasons = read_event(pushed_source(), EVENT_SCHEMA, {"at": AT} | {f"amount_{i}": 1 for i in range(50_000)})
    assert len(reasons) == 11
    assert reasons[0].startswith("field 'amount_0' is unknown")
    assert reasons[-1] == "49,990 more fields are unknown"
