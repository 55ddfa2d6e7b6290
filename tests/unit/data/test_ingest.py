"""Ingestion: files into tables, once, whole, with provenance; bad ones named."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import falaj as fj
from falaj.data import provenance
from falaj.data.provenance import FilePlan
from falaj.data.schema import source_schema
from falaj.definitions.source import Source
from falaj.governance.access import Actor, Role
from falaj.governance.audit import list_records
from falaj.kernel.clock import ManualClock, from_us
from falaj.kernel.codec import canonical_json
from falaj.kernel.digest import digest_file
from falaj.kernel.errors import AccessDenied, CorruptionError, DataError
from falaj.storage.metadata.database import Database
from falaj.storage.tables.memory import MemoryTables
from support.data_room import ADA, CARD_STREAM, EVENT_SCHEMA, FRAUD_10K, DataRoom, event, event_file, pushed_source


def csv_source(**fields: Any) -> Source:
    return Source("tx", **({"batch": fj.Csv("in/*.csv*")} | fields))


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_land_with_where_and_when_they_came_from(room: DataRoom, tmp_path: Path) -> None:
    path = event_file(tmp_path / "in" / "a.parquet", [event("a", 5, known=7), event("b", 3, 2.0)])
    assert isinstance(room.clock, ManualClock)
    room.clock.advance(60)
    report = room.ingest(pushed_source())
    assert (report.rows, report.accepted, report.quarantined) == (2, 2, 0)
    digest = digest_file(path)
    assert room.table("tx") == [
        {
            "id": "a", "at": from_us(5), "known": from_us(7), "amount": 1.0, "country": None,
            "_event_ts": from_us(5), "_created": from_us(7), "_ingest_seq": 1, "_file": "in/a.parquet",
            "_digest": digest, "_ingested_at": from_us(60_000_000),
        },
        {
            "id": "b", "at": from_us(3), "known": None, "amount": 2.0, "country": None,
            "_event_ts": from_us(3), "_created": None, "_ingest_seq": 2, "_file": "in/a.parquet",
            "_digest": digest, "_ingested_at": from_us(60_000_000),
        },
    ]  # fmt: skip
    (file,) = room.ingestion.files("tx")
    assert (file.path, file.digest, file.rows, file.first_seq, file.table_version) == ("in/a.parquet", digest, 2, 1, 0)


def test_running_it_twice_ingests_nothing_twice(room: DataRoom, tmp_path: Path) -> None:
    event_file(tmp_path / "in" / "a.parquet", [event("a", 5)])
    first = room.ingest(pushed_source())
    again = room.ingest(pushed_source())
    assert [file.skipped for file in again.files] == [True]
    assert (again.rows, again.accepted) == (0, 0)
    assert again.files[0].first_seq == first.files[0].first_seq
    assert len(room.table("tx")) == 1


def test_a_file_is_known_by_its_content_not_its_name(room: DataRoom, tmp_path: Path) -> None:
    path = event_file(tmp_path / "in" / "a.parquet", [event("a", 5)])
    (tmp_path / "in" / "b.parquet").write_bytes(path.read_bytes())
    report = room.ingest(pushed_source())
    assert [(file.path, file.skipped) for file in report.files] == [("in/a.parquet", False), ("in/b.parquet", True)]
    path.unlink()
    event_file(path, [event("z", 9)])
    assert [file.skipped for file in room.ingest(pushed_source()).files] == [False, True]
    assert [row["id"] for row in room.table("tx")] == ["a", "z"]


def test_two_sources_may_share_a_file(room: DataRoom, tmp_path: Path) -> None:
    event_file(tmp_path / "in" / "a.parquet", [event("a", 5)])
    room.ingest(pushed_source())
    other = Source("other", batch=fj.Parquet("in/*.parquet"))
    assert room.ingest(other).accepted == 1


def test_rejected_rows_are_quarantined_with_reasons_and_what_they_were(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "id,at,amount\n1,2018-04-01,5\n2,yesterday,5\n,2018-04-01,500\n4,2018-04-02,x\n5,2018-04-03,\n")
    tx = csv_source(id="id", timestamp="at", schema={"at": "timestamp", "amount": "int64", "id": "int64"},
                    checks=[fj.check.between("amount", 0, 100)])  # fmt: skip
    report = room.ingest(tx)
    assert (report.rows, report.accepted, report.quarantined) == (5, 2, 3)
    assert [(row["_ingest_seq"], row["id"]) for row in room.table("tx")] == [(1, 1), (5, 5)]
    refused = room.quarantine("tx")
    assert [(row["_ingest_seq"], row["_reasons"]) for row in refused] == [
        (2, ["at is not of type timestamp: 'yesterday'"]),
        (3, ["id is null", "amount is not between 0 and 100"]),
        (4, ["amount is not of type int64: 'x'"]),
    ]
    assert json.loads(refused[0]["_raw"]) == {"id": "2", "at": "yesterday", "amount": "5"}
    assert (refused[0]["_event_ts"], refused[1]["_event_ts"]) == (None, refused[1]["at"])
    assert refused[2]["_file"] == "in/a.csv"


def test_lines_that_are_no_rows_are_quarantined_as_they_stand(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n")
    report = room.ingest(csv_source())
    assert (report.rows, report.accepted, report.quarantined) == (4, 2, 2)
    assert [(row["_raw"], row["_reasons"]) for row in room.quarantine("tx")] == [
        ("3", ["the line has 1 fields and the header 2"]),
        ("4,5,6", ["the line has 3 fields and the header 2"]),
    ]
    assert [row["a"] for row in room.table("tx")] == [1, 7]


def test_uniqueness_is_judged_over_the_whole_file(room: DataRoom, tmp_path: Path) -> None:
    table = pa.table({"id": [*range(150_000), 0]})  # more than one batch
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "a.parquet")
    tx = Source("tx", batch=fj.Parquet("in/*.parquet"), checks=[fj.check.unique("id")])
    report = room.ingest(tx)
    assert report.accepted == 150_001
    assert report.files[0].warnings == {"id is not unique in its file": 2}
    strict = Source("strict", batch=tx.batch, checks=[fj.check.unique("id", severity="reject")])
    assert room.ingest(strict).quarantined == 2


def test_a_timeless_source_is_at_the_epoch(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "id,x\n1,2.5\n")
    room.ingest(csv_source(id="id"))
    assert [(row["_event_ts"], row["_created"]) for row in room.table("tx")] == [(from_us(0), None)]


def test_narrow_and_wide_types_land_alike(room: DataRoom, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    columns = {"k": pa.array([1], pa.int32()), "x": pa.array([0.5], pa.float32()), "s": pa.array(["a"], pa.string())}
    pq.write_table(pa.table(columns), tmp_path / "in" / "1.parquet")
    wide = {"k": pa.array([2]), "x": pa.array([2]), "s": pa.array(["b"], pa.large_string()).dictionary_encode()}
    pq.write_table(pa.table(wide), tmp_path / "in" / "2.parquet")
    room.ingest(Source("tx", batch=fj.Parquet("in/*.parquet")))
    assert [(row["k"], row["x"], row["s"]) for row in room.table("tx")] == [(1, 0.5, "a"), (2, 2.0, "b")]


def test_a_schema_break_refuses_the_file_and_keeps_no_other_back(room: DataRoom, tmp_path: Path) -> None:
    event_file(tmp_path / "in" / "1.parquet", [event("a", 5)])
    schema = source_schema(pushed_source(), tmp_path)
    pq.write_table(pa.table({"id": ["b"], "at": pa.array([6], pa.timestamp("us"))}), tmp_path / "in" / "2.parquet")
    event_file(tmp_path / "in" / "3.parquet", [event("c", 7)])
    report = room.ingestion.ingest(pushed_source(), schema, tmp_path, ADA)
    assert (report.accepted, [file.path for file in report.refused]) == (2, ["in/2.parquet"])
    assert str(tmp_path / "in" / "2.parquet") in report.refused[0].error
    assert "column 'known' is missing; expected timestamp, got nothing" in report.refused[0].error
    assert [row["id"] for row in room.table("tx")] == ["a", "c"]
    event_file(tmp_path / "in" / "2.parquet", [event("b", 6)])
    assert room.ingest(pushed_source()).accepted == 1
    assert [row["id"] for row in room.read_all("tx", EVENT_SCHEMA)] == ["a", "c", "b"]  # in the order of arrival


def test_a_changed_type_stops(room: DataRoom, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"amount": ["12 AED"]}), tmp_path / "in" / "a.parquet")
    tx = Source("tx", batch=fj.Parquet("in/*.parquet"))
    with pytest.raises(DataError, match=r"column 'amount' has changed; expected float64, got string \(string\)"):
        room.ingest_as(tx, {"amount": "float64"})


def test_a_csv_column_without_one_value_of_its_type_has_changed(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "amount\n" + "12 AED\n" * 10)
    said = "column 'amount' has changed; expected float64, got 10 values that are none, such as '12 AED'"
    with pytest.raises(DataError, match=said):
        room.ingest_as(csv_source(), {"amount": "float64"})
    assert room.table("tx") == room.quarantine("tx") == []
    write(tmp_path, "amount\n1\n" + "12 AED\n" * 10)
    assert room.ingest_as(csv_source(), {"amount": "float64"}).quarantined == 10


def test_instants_that_cannot_be_read_are_shown_with_how_to_write_them(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "id,at\n" + "".join(f"{n},01/31/2026\n" for n in range(20)))
    with pytest.raises(DataError, match="such as '01/31/2026'") as caught:
        room.ingest(csv_source(id="id", timestamp="at"))
    assert "2026-01-31T09:30:00Z" in caught.value.hint


def test_a_reason_quotes_no_more_than_the_beginning_of_a_value(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "amount\n1\n" + "x" * 200 + "\n")
    room.ingest_as(csv_source(), {"amount": "int64"})
    (refused,) = room.quarantine("tx")
    assert refused["_reasons"] == [f"amount is not of type int64: '{'x' * 56}..."]
    assert json.loads(refused["_raw"]) == {"amount": "x" * 200}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"no columns here\n1\n", "column 'a' is missing"),
        (b'a,b\n1,2\n"x,2\n3,4\n', "never ends"),
        (b"a,b\n1,\xff\n", "invalid UTF8"),
    ],
)
def test_bad_csv_files_are_named_and_leave_nothing(room: DataRoom, tmp_path: Path, content: bytes, said: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        room.ingest_as(csv_source(), {"a": "int64", "b": "string"})
    assert str(path) in caught.value.message
    assert said in caught.value.message
    assert room.table("tx") == []
    assert room.ingestion.files("tx") == []
    assert room.reader.head("tx") == 0


def test_a_cut_off_parquet_and_gzip_are_named(room: DataRoom, tmp_path: Path) -> None:
    path = event_file(tmp_path / "in" / "a.parquet", [event(str(i), i) for i in range(1000)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.parquet is damaged or not of its format"):
        room.ingest_as(pushed_source(), pushed_source().schema)
    packed = gzip.compress(b"a\n" + b"".join(b"%d\n" % i for i in range(1_000_000)))
    write(tmp_path, packed[: len(packed) - 1000], "b.csv.gz")
    with pytest.raises(DataError, match=r"b\.csv\.gz is damaged or not of its format"):
        room.ingest_as(csv_source(), {"a": "int64"})
    assert room.reader.head("tx") == 0


def test_a_damaged_page_inside_a_parquet_file_is_named(room: DataRoom, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"a": [f"text {i}" for i in range(50_000)]}), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[1000:1100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.parquet is damaged"):
        room.ingest(Source("tx", batch=fj.Parquet("in/*.parquet")))


class MeddlingDatabase(Database):
    """Somebody writes to a file whenever the database is read."""

    file: Path

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with super().read() as connection, self.file.open("a") as file:
            file.write("9,9\n")
            yield connection


def test_a_file_that_is_still_being_written_is_left(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,2\n")
    db = MeddlingDatabase.memory()
    db.create_all()
    db.file = path
    room = DataRoom(MemoryTables(), db, tmp_path, None)
    with pytest.raises(DataError, match=r"a\.csv was written to while it was read"):
        room.ingest(csv_source())
    assert room.table("tx") == []
    room.close()


def test_a_file_without_rows_is_noted(room: DataRoom, tmp_path: Path) -> None:
    write(tmp_path, "a,b\n")
    declared = csv_source(schema={"a": "string", "b": "string"})
    report = room.ingest(declared)
    assert (report.files[0].rows, report.files[0].first_seq, report.files[0].table_version) == (0, 0, None)
    assert room.ingest(declared).files[0].skipped


def test_a_file_with_bad_rows_only(room: DataRoom, tmp_path: Path) -> None:
    event_file(tmp_path / "in" / "a.parquet", [event("a", 5, -1.0)])
    assert room.ingest(pushed_source()).quarantined == 1
    assert room.table("tx") == []
    assert len(room.quarantine("tx")) == 1


def test_each_file_is_audited_and_needs_the_right(room: DataRoom, tmp_path: Path) -> None:
    event_file(tmp_path / "in" / "a.parquet", [event("a", 5)])
    with pytest.raises(AccessDenied):
        room.ingest(pushed_source(), Actor("eve", Role.VIEWER))
    room.ingest(pushed_source())
    (entry,) = list_records(room.db)
    assert (entry.actor, entry.action, entry.resource) == ("ada", "source.ingest", "tx")
    assert entry.detail["rows"] == 1


def test_no_file_and_no_batch_are_said(room: DataRoom) -> None:
    with pytest.raises(DataError, match="no file matches"):
        room.ingest(pushed_source())
    with pytest.raises(DataError, match="declares no batch"):
        room.ingest(pushed_source(batch=None))


def test_a_check_that_cannot_be_judged_is_said_before_any_file(room: DataRoom, tmp_path: Path) -> None:
    event_file(tmp_path / "in" / "a.parquet", [event("a", 5)])
    with pytest.raises(DataError, match="needs a number"):
        room.ingest(pushed_source(checks=[fj.check.between("id", 0, 1)]))
    assert room.table("tx") == []


@pytest.mark.skipif(not CARD_STREAM.exists(), reason=f"{CARD_STREAM} is absent")
def test_the_real_transactions_land_as_they_are(embedded: DataRoom) -> None:
    tx = Source(
        "tx", batch=fj.Parquet(str(CARD_STREAM)), id="TRANSACTION_ID", timestamp="TX_DATETIME",
        checks=[fj.check.between("TX_AMOUNT", 0, 1000), fj.check.unique("TRANSACTION_ID")],
    )  # fmt: skip
    report = embedded.ingest(tx)
    original = pq.read_table(CARD_STREAM)
    outside = pyarrow.compute.greater(original["TX_AMOUNT"], 1000)
    assert report.quarantined == pyarrow.compute.sum(outside).as_py() == len(embedded.quarantine("tx"))
    assert report.files[0].warnings == {}
    landed = embedded.tables.read("source/tx").to_table()
    kept = original.filter(pyarrow.compute.invert(outside))
    for column in original.column_names:
        if column != "TX_DATETIME":
            assert landed[column].equals(kept[column])
    assert landed["_event_ts"].equals(kept["TX_DATETIME"].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")))
    assert pyarrow.compute.min_max(landed["_ingest_seq"]).as_py() == {"min": 1, "max": report.rows}
    assert embedded.ingest(tx).rows == 0


@pytest.mark.skipif(not FRAUD_10K.exists(), reason=f"{FRAUD_10K} is absent")
def test_the_real_timeless_csv_lands_as_it_is(embedded: DataRoom) -> None:
    tx = Source("fraud", batch=fj.Csv(str(FRAUD_10K)), id="transaction_id", checks=[fj.check.not_null("amount")])
    report = embedded.ingest(tx)
    assert (report.rows, report.accepted, report.quarantined) == (10_000, 10_000, 0)
    landed = embedded.tables.read("source/fraud").to_table()
    original = pyarrow.csv.read_csv(FRAUD_10K)
    assert landed.select(original.column_names).equals(original)
    assert Counter(landed["is_fraud"].to_pylist())[1] == 151


def test_a_file_that_would_now_be_split_otherwise_is_not_finished(room: DataRoom, tmp_path: Path) -> None:
    path = event_file(tmp_path / "in" / "a.parquet", [event("a", 5), event("b", 6)])
    source, digest = canonical_json(pushed_source()).decode(), digest_file(path)
    plan = FilePlan(source, EVENT_SCHEMA, str(path), "in/a.parquet", digest, 1, 2, 1, 1, {}, 0, "ada")
    with room.db.write() as connection:
        provenance.begin(connection, "tx", plan)
    with pytest.raises(CorruptionError, match="2 rows accepted and 0 quarantined, not 1 and 1"):
        room.ingestion.recover()
    assert room.table("tx") == []
