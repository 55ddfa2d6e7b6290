"""Examples against a naive reading of the same sentence: one row per known, mature label, in order of time."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import falaj as fj
from falaj.definitions.model import Model
from falaj.definitions.source import Source
from falaj.features.compile import compile_service
from falaj.kernel.clock import to_us
from falaj.kernel.errors import DataError, DefinitionError
from falaj.lifecycle.examples import examples
from falaj.storage.tables.memory import MemoryTables
from support.rooms_world import SCHEMA, START, model, source, view

DAY_US = 86_400_000_000
UTC_US = pa.timestamp("us", "UTC")
ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "c", None]),
        "_event_ts": st.integers(0, 6),
        "_created": st.none() | st.integers(0, 3),
        "is_fraud": st.sampled_from([0, 1, None]),
    }
)


def stored(rows: list[dict[str, Any]], label_type: pa.DataType | None = None) -> MemoryTables:
    """A source's table; times are half-days since the start."""
    tables = MemoryTables()
    start_us = to_us(START)

    def instants(name: str) -> pa.Array:
        return pa.array([None if r[name] is None else start_us + r[name] * DAY_US // 2 for r in rows], UTC_US)

    columns = {
        "id": pa.array([r["id"] for r in rows], pa.string()),
        "card_id": pa.array([f"c{i}" for i in range(len(rows))]),
        "amount": pa.array([float(i) for i in range(len(rows))]),
        "is_fraud": pa.array([r["is_fraud"] for r in rows], label_type or pa.int64()),
        "_event_ts": instants("_event_ts"),
        "_created": instants("_created"),
        "_ingest_seq": pa.array(range(1, len(rows) + 1), pa.int64()),
    }
    tables.append("source/tx", pa.table(columns))
    return tables


def found(rows: list[dict[str, Any]], of: Source, delay: str = "1d", **more: Any) -> list[dict[str, Any]]:
    definition = model(over=view(of), label=fj.Label(of, "is_fraud", delay=delay))
    spec = compile_service(definition.features, {"tx": SCHEMA})
    return list(examples(definition, spec, stored(rows, **more)).to_pylist())


def naive(rows: list[dict[str, Any]], *, identified: bool, delay_us: int) -> list[tuple[int, int, int]]:
    """(event time, position, label) of the rows that count."""
    winners: dict[Any, int] = {}
    for i, row in enumerate(rows):
        key = row["id"] if identified and row["id"] is not None else ("alone", i)
        held = winners.get(key)
        if held is None or (row["_created"] is not None and (rows[held]["_created"] or -1) < row["_created"]
                            and row["_created"] != rows[held]["_created"]):  # fmt: skip
            winners[key] = i
    latest = max(rows[i]["_event_ts"] for i in winners.values()) * DAY_US // 2
    kept = [
        (rows[i]["_event_ts"], i, rows[i]["is_fraud"])
        for i in winners.values()
        if rows[i]["is_fraud"] is not None and rows[i]["_event_ts"] * DAY_US // 2 <= latest - delay_us
    ]
    return sorted(kept)


@given(rows=st.lists(ROW, min_size=1, max_size=12), identified=st.booleans(), delay=st.sampled_from([0, 1, 2]))
def test_examples_are_the_winners_with_known_mature_labels(
    rows: list[dict[str, Any]], identified: bool, delay: int
) -> None:
    of = source() if identified else source(id=None)
    wanted = naive(rows, identified=identified, delay_us=delay * DAY_US // 2)
    try:
        answer = found(rows, of, f"{delay * 12}h")
    except DataError as error:
        assert wanted == []
        assert "holds no label older than its delay" in error.message
        return
    start = START
    got = [(int((r["event_timestamp"] - start) / timedelta(hours=12)), int(r["amount"]), r["label"]) for r in answer]
    assert got == wanted


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "_event_ts": 0, "_created": None, "is_fraud": 1} | changes


def test_a_correction_moves_and_relabels_an_event() -> None:
    rows = [row(_created=0), row(_created=2, is_fraud=0, _event_ts=1), row(id="z", _event_ts=6)]
    (one, last) = found(rows, source(), "0s")
    assert (one["label"], one["amount"]) == (0, 1.0)
    assert last["id"] == "z"


def test_a_far_instant_that_was_corrected_makes_nothing_mature() -> None:
    rows = [row(id="far", _event_ts=2_000, _created=0), row(id="far", _event_ts=1, _created=1), row()]
    with pytest.raises(DataError, match="no label older than its delay of 1d"):
        found(rows, source())


@pytest.mark.parametrize(
    ("values", "kind", "odd"),
    [([0.7, 1.0], pa.float64(), "0.7"), (["yes", "0"], pa.string(), "yes"), ([2, 0], pa.int64(), "2"),
     ([float("nan"), 1.0], pa.float64(), "nan")],
)  # fmt: skip
def test_a_label_is_0_or_1(values: list[Any], kind: pa.DataType, odd: str) -> None:
    rows = [row(id=str(i), is_fraud=value) for i, value in enumerate(values)]
    with pytest.raises(DataError, match=f"holds '?{odd}'?, and a label is 0 or 1"):
        found(rows, source(), "0s", label_type=kind)


@pytest.mark.parametrize(("values", "kind"), [([False, True], pa.bool_()), ([0.0, 1.0], pa.float64())])
def test_booleans_and_whole_floats_are_labels(values: list[Any], kind: pa.DataType) -> None:
    rows = [row(id=str(i), is_fraud=value) for i, value in enumerate(values)]
    assert [one["label"] for one in found(rows, source(), "0s", label_type=kind)] == [0, 1]


def test_a_timeless_source_has_no_delay() -> None:
    of = source(timestamp=None, created=None)
    activity = fj.FeatureView("activity", fj.Entity("card", key="card_id"), of, {"amount_now": fj.column("amount")})
    fields: dict[str, Any] = {"over": activity, "split": fj.split.random(test="20%")}
    with pytest.raises(DefinitionError, match="a label delay of '1d' needs a timestamp"):
        model(**fields)
    assert isinstance(model(**fields, label=fj.Label(of, "is_fraud")), Model)


@pytest.mark.parametrize("name", ["label", "split", "event_timestamp", "score", "is_fraud"])
def test_no_request_field_is_the_label_or_takes_its_place(name: str) -> None:
    service = fj.FeatureService("leaky", [view(), fj.request(name, "float64")])
    with pytest.raises(DefinitionError, match=f"'{name}'"):
        model(features=service)


@pytest.mark.parametrize("feature", [fj.mean("is_fraud", window="30d"), fj.count("is_fraud", window="1d"),
                                     fj.column("is_fraud")])  # fmt: skip
def test_no_feature_reads_the_label_from_its_own_rows(feature: Any) -> None:
    risky = fj.FeatureView("risk", fj.Entity("card", key="card_id"), source(), {"past": feature})
    with pytest.raises(DefinitionError, match=r"feature 'risk:past' reads the label 'is_fraud'"):
        model(over=risky)
