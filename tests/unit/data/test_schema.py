"""Column types: what files say, what a source declares, and what is refused."""

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import falaj as fj
from falaj.data.schema import check_header, needed_columns, source_schema
from falaj.definitions.source import Source
from falaj.kernel.errors import DataError
from support.data_room import CARD_STREAM, FRAUD_10K


def parquet(folder: Path, columns: dict[str, Any], name: str = "a.parquet") -> None:
    pq.write_table(pa.table(columns), folder / name)


def source(**fields: Any) -> Source:
    return Source("tx", **({"batch": fj.Parquet("*.parquet")} | fields))


def csv_source(**fields: Any) -> Source:
    return Source("tx", **({"batch": fj.Csv("*.csv*")} | fields))


@pytest.mark.skipif(not CARD_STREAM.exists(), reason=f"{CARD_STREAM} is absent")
def test_the_real_transactions() -> None:
    tx = source(batch=fj.Parquet(CARD_STREAM.name), id="TRANSACTION_ID", timestamp="TX_DATETIME")
    schema = source_schema(tx, CARD_STREAM.parent)
    assert schema["TX_DATETIME"] == "timestamp"
    assert schema["TX_AMOUNT"] == "float64"
    assert {schema[c] for c in schema if c not in ("TX_DATETIME", "TX_AMOUNT")} == {"int64"}


@pytest.mark.skipif(not FRAUD_10K.exists(), reason=f"{FRAUD_10K} is absent")
def test_the_real_timeless_csv() -> None:
    schema = source_schema(csv_source(batch=fj.Csv(FRAUD_10K.name), id="transaction_id"), FRAUD_10K.parent)
    assert list(schema)[:3] == ["transaction_id", "amount", "transaction_hour"]
    assert (schema["amount"], schema["merchant_category"], schema["is_fraud"]) == ("float64", "string", "int64")


def test_every_supported_parquet_type(tmp_path: Path) -> None:
    parquet(
        tmp_path,
        {
            "i8": pa.array([1], pa.int8()),
            "u32": pa.array([1], pa.uint32()),
            "f32": pa.array([1], pa.float32()),
            "dec": pa.array([Decimal("1.25")]),
            "flag": [True],
            "text": pa.array(["a"], pa.large_string()),
            "coded": pa.array(["a"]).dictionary_encode(),
            "day": pa.array([0], pa.date32()),
            "naive": pa.array([0], pa.timestamp("ns")),
            "zoned": pa.array([0], pa.timestamp("ms", "Asia/Dubai")),
            "nothing": pa.nulls(1),
        },
    )
    assert source_schema(source(), tmp_path) == {
        "i8": "int64",
        "u32": "int64",
        "f32": "float64",
        "dec": "float64",
        "flag": "bool",
        "text": "string",
        "coded": "string",
        "day": "timestamp",
        "naive": "timestamp",
        "zoned": "timestamp",
        "nothing": "string",
    }


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["1", "-20", ""], "int64"),
        ([" 1", "2 "], "int64"),
        (["007", "12"], "string"),
        (["1", "2.5", "NA"], "float64"),
        (["nan", "1e-3"], "float64"),
        (["true", "False"], "bool"),
        (["2018-04-01", "2018-04-02T10:00:00Z", "2018-04-02 10:00:00.123"], "timestamp"),
        (["99999999999999999999"], "float64"),
        (["a", "1"], "string"),
        (["", ""], "string"),
    ],
)
def test_csv_types_are_those_that_fit_every_value(tmp_path: Path, cells: list[str], dtype: str) -> None:
    (tmp_path / "a.csv").write_text("k,x\n" + "".join(f"k,{cell}\n" for cell in cells))
    assert source_schema(csv_source(), tmp_path)["x"] == dtype


def test_a_gzip_csv_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfid;at\n1;2018-04-01\n"))
    found = source_schema(csv_source(batch=fj.Csv("*.csv.gz", delimiter=";")), tmp_path)
    assert found == {"id": "int64", "at": "timestamp"}


def test_an_unnamed_column_is_named_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",x\n0,1\n")
    assert source_schema(csv_source(), tmp_path) == {"column_1": "int64", "x": "int64"}


def test_text_and_whole_numbers_may_be_the_timestamp(tmp_path: Path) -> None:
    parquet(tmp_path, {"at": ["2018-04-01"], "known": [1_522_540_831]})
    assert source_schema(source(timestamp="at", created="known"), tmp_path) == {"at": "timestamp", "known": "timestamp"}


def test_declared_types_win_and_add(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("card,amount\n1,2\n")
    schema = source_schema(csv_source(schema={"card": "string"}), tmp_path)
    assert schema == {"card": "string", "amount": "int64"}


def test_files_are_united_and_whole_numbers_widen(tmp_path: Path) -> None:
    parquet(tmp_path, {"a": [1], "b": pa.nulls(1)}, "1.parquet")
    parquet(tmp_path, {"a": [1.5], "b": ["x"], "c": [True]}, "2.parquet")
    assert source_schema(source(), tmp_path) == {"a": "float64", "b": "string", "c": "bool"}


def test_what_is_a_number_in_one_csv_and_text_in_another_is_text(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n")
    (tmp_path / "2.csv").write_text("a\nx\n")
    assert source_schema(csv_source(), tmp_path) == {"a": "string"}


def test_a_declared_schema_needs_no_files_yet(tmp_path: Path) -> None:
    full = source(stream=fj.Push(), id="id", schema={"id": "string"})
    assert source_schema(full, tmp_path) == {"id": "string"}
    partial = source(id="id", schema={"other": "string"})
    with pytest.raises(DataError, match="no file matches"):
        source_schema(partial, tmp_path)


def test_a_stream_has_its_declared_schema(tmp_path: Path) -> None:
    pushed = Source("tx", stream=fj.Push(), schema={"at": "timestamp"}, timestamp="at")
    assert source_schema(pushed, tmp_path) == {"at": "timestamp"}
    with pytest.raises(DataError, match="needs column 'at', which its declared schema does not have"):
        source_schema(Source("tx", stream=fj.Push(), schema={"x": "string"}, timestamp="at"), tmp_path)


def test_no_file_is_said_with_the_whole_pattern(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        source_schema(source(batch=fj.Parquet("in/../data/*.parquet")), tmp_path)
    assert str(tmp_path / "data" / "*.parquet") in caught.value.message


def test_an_absolute_pattern(tmp_path: Path) -> None:
    parquet(tmp_path, {"a": [1]})
    assert source_schema(source(batch=fj.Parquet(str(tmp_path / "*.parquet"))), Path("/")) == {"a": "int64"}


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"id": "idd"}, "idd"),
        ({"timestamp": "when"}, "when"),
        ({"timestamp": "at", "created": "known"}, "known"),
        ({"checks": [fj.check.not_null("amount")]}, "amount"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, fields: dict[str, Any], column: str) -> None:
    parquet(tmp_path, {"id": [1], "at": pa.array([0], pa.timestamp("us"))})
    with pytest.raises(DataError, match=f"needs column '{column}'"):
        source_schema(source(**fields), tmp_path)


def test_a_near_miss_is_suggested(tmp_path: Path) -> None:
    parquet(tmp_path, {"transaction_id": [1]})
    with pytest.raises(DataError) as caught:
        source_schema(source(id="transactionid"), tmp_path)
    assert caught.value.hint == "did you mean 'transaction_id'?"


@pytest.mark.parametrize(
    ("values", "kind"), [([[1]], "list<element: int64>"), ([{"a": 1}], "struct<a: int64>"), ([b"x"], "binary")]
)
def test_an_unsupported_type_is_named(tmp_path: Path, values: list[Any], kind: str) -> None:
    parquet(tmp_path, {"x": values})
    with pytest.raises(DataError) as caught:
        source_schema(source(), tmp_path)
    assert f"column 'x' of {tmp_path / 'a.parquet'} has type {kind}, which is not supported" in caught.value.message


def test_a_timestamp_column_of_another_type(tmp_path: Path) -> None:
    parquet(tmp_path, {"at": [1.5]})
    with pytest.raises(DataError, match="column 'at' is float64 and has to be a timestamp"):
        source_schema(source(timestamp="at"), tmp_path)


def test_the_tables_own_column_names_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path, {"_ingest_seq": [1]})
    with pytest.raises(DataError, match="'_ingest_seq', a name that tables of sources keep"):
        source_schema(source(), tmp_path)


def test_columns_that_capital_letters_alone_tell_apart_are_refused(tmp_path: Path) -> None:
    # DuckDB takes them for one even where they are quoted, and would give the values of the first for both.
    parquet(tmp_path, {"amount": [1.0], "Amount": [10.0]})
    with pytest.raises(DataError, match="columns 'amount' and 'Amount' differ in capital letters only"):
        source_schema(source(), tmp_path)
    with pytest.raises(DataError, match="'amount' and 'AMOUNT'"):
        source_schema(Source("tx", stream=fj.Push(), schema={"amount": "int64", "AMOUNT": "int64"}), tmp_path)


def test_parquet_files_that_disagree(tmp_path: Path) -> None:
    parquet(tmp_path, {"a": [1]}, "1.parquet")
    parquet(tmp_path, {"a": ["x"]}, "2.parquet")
    with pytest.raises(DataError, match=r"column 'a' is string in .*2\.parquet and int64 in the files before it"):
        source_schema(source(), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"PAR1 nonsense PAR1", "is damaged or not of its format"), (b"a,b\n", "is damaged")],
)
def test_a_bad_parquet_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError) as caught:
        source_schema(source(), tmp_path)
    assert f"file {tmp_path / 'a.parquet'} {said}" in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is damaged or not of its format"),
        (b"a,a\n1,2\n", "its header has the column 'a' twice"),
        (b"a\n\xff\n", "invalid UTF8"),
        (b'a,b\n"x,2\n3,4\n', "the quoted text that begins in line 2 never ends"),
    ],
)
def test_a_bad_csv_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        source_schema(csv_source(), tmp_path)
    assert f"file {tmp_path / 'a.csv'}" in caught.value.message
    assert said in caught.value.message


def test_a_cut_off_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"a\n" + b"".join(b"%d\n" % i for i in range(100_000)))
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.csv\.gz is damaged or not of its format"):
        list(source_schema(csv_source(), tmp_path))


def test_headers_are_held_against_the_schema(tmp_path: Path) -> None:
    schema = {"id": "int64", "amount": "float64"}
    path = tmp_path / "a.parquet"
    check_header(source(), schema, path, {"id": pa.int32(), "amount": pa.int64(), "more": pa.list_(pa.int64())})
    with pytest.raises(DataError, match="column 'amount' is missing; expected float64, got nothing"):
        check_header(source(), schema, path, {"id": pa.int64()})
    with pytest.raises(DataError, match=r"column 'id' has changed; expected int64, got string \(large_string\)"):
        check_header(source(), schema, path, {"id": pa.large_string(), "amount": pa.float64()})


def test_needed_columns_are_named_once() -> None:
    tx = source(id="id", timestamp="at", checks=[fj.check.not_null("id"), fj.check.between("amount", 0, 1)])
    assert needed_columns(tx) == ["id", "at", "amount"]


def test_files_without_a_value_tell_no_types(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at,amount\n")
    timed = csv_source(timestamp="at")
    with pytest.raises(DataError, match="its files hold no value"):
        source_schema(timed, tmp_path)
    (tmp_path / "b.csv").write_text("id,at,amount\n1,2026-01-31T09:30:00Z,2.5\n")
    assert source_schema(timed, tmp_path) == {"id": "int64", "at": "timestamp", "amount": "float64"}
