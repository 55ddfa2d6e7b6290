"""Blocks: rows of features in bulk, equal to the same rows one by one, logged as one record."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.definitions.prediction_record import BlockRecord
from falaj.kernel.errors import DiskFull
from support.serving_world import World, bare_route, route

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda value: value not in (13.0, 14.0))


@pytest.fixture
def world() -> World:
    return World(route(), bare_route(), max_rows=100)


def matrix(values: Any, **more: Any) -> dict[str, Any]:
    array = np.asarray(values)
    return {"inputs": [{"name": "in", "datatype": "FP32", "shape": list(array.shape), "data": array.tolist()}]} | more


def test_a_block_is_one_record_with_its_rows_packed(world: World) -> None:
    status, answer = world.call("POST", "/v2/models/bare:raw/infer", matrix([[1, 2], [3, 4.5]], id="mine"))
    assert (status, answer["outputs"][0]["data"], answer["id"]) == (200, [4003.0, 4007.5], "mine")
    (record,) = world.sink.records
    assert isinstance(record, BlockRecord)
    assert answer["parameters"] == {"block": record.request_id, "variant": "champion", "defaulted": False}
    assert (record.rows, record.client_id, record.version, record.actor) == (2, "mine", 4, "app")
    assert record.features == struct.pack("<4f", 1, 2, 3, 4.5)
    second = record.row(1)
    assert (second.request_id, second.unit) == (f"{record.request_id}.1", f"{record.request_id}.1")
    assert (second.features, second.score) == ([3.0, 4.5], 4007.5)


def test_its_rows_are_counted(world: World) -> None:
    world.call("POST", "/v2/models/bare:raw/infer", matrix([[1, 2]] * 40))
    (series,) = world.stats.series
    assert (series.requests, series.errors, sum(series.buckets), world.stats.batch_rows) == (40, 0, 40, 40)
    assert (world.log.written, world.log.dropped) == (40, 0)
    world.sink.error = DiskFull("no space left")
    assert world.call("POST", "/v2/models/bare:raw/infer", matrix([[1, 2]] * 10))[0] == 200
    assert (world.log.written, world.log.dropped) == (40, 10)


def test_blocks_of_one_turn_are_computed_together_and_fail_alone(world: World) -> None:
    path = "/v2/models/bare/infer"
    bodies = [matrix([[1, 1]]), matrix([[13, 0], [1, 1]]), matrix([[14, 0]]), matrix([[2, 2], [3, 3]])]
    answers = world.call_all([("POST", path, body) for body in bodies])
    assert [status for status, _ in answers] == [200, 500, 500, 200]
    assert answers[3][1]["outputs"][0]["data"] == [4004.0, 4006.0]
    assert [(r.rows, r.error, r.scores == b"") for r in world.sink.records] == [
        (1, "", False), (2, "internal", True), (1, "internal", True), (2, "", False),
    ]  # fmt: skip
    assert [s.errors for s in world.stats.series] == [3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (matrix(np.zeros((101, 2))), "has 101 rows"),
        (matrix(np.zeros((0, 2))), "has no rows"),
        (matrix(np.zeros((2, 0))), "has 0 columns"),
        (matrix([[1, 2]], outputs=[{"name": "score"}] * 2), "asked for twice"),
    ],
)
def test_what_is_no_block_is_refused(world: World, body: Any, said: str) -> None:
    status, answer = world.call("POST", "/v2/models/bare:raw/infer", body)
    assert (status, said in answer["error"], world.sink.records) == (400, True, [])


def test_too_many_rows_at_once_wait_elsewhere() -> None:
    world = World(bare_route(), max_rows=100, max_queue=50)
    answers = world.call_all([("POST", "/v2/models/bare/infer", matrix([[1, 2]] * 40))] * 2)
    assert [status for status, _ in answers] == [200, 503]
    assert world.stats.rejected == 1


def binary(array: np.ndarray[Any, Any], datatype: str) -> tuple[bytes, str]:
    size = {"binary_data_size": array.nbytes}
    tensor = {"name": "in", "datatype": datatype, "shape": list(array.shape), "parameters": size}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + array.tobytes(), f"inference-header-content-length: {len(head)}\r\n"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=20))
def test_binary_json_and_columns_say_the_same(world: World, rows: list[tuple[float, float]]) -> None:
    array = np.array(rows, "<f4")
    columns = [
        {"name": name, "datatype": "FP32", "shape": [len(rows)], "data": array[:, i].tolist()}
        for i, name in enumerate("xy")
    ]
    raw, headers = binary(array, "FP32")
    path = "/v2/models/bare:raw/infer"
    before = len(world.sink.records)
    answers = [
        world.call("POST", path, matrix(array)),
        world.call("POST", path, {"inputs": columns}),
        world.call("POST", path, raw, headers=headers),
    ]
    wanted = (array.astype(np.float64).sum(axis=1) + 4000.0).tolist()
    assert [(status, answer["outputs"][0]["data"]) for status, answer in answers] == [(200, wanted)] * 3
    assert {record.features for record in world.sink.records[before:]} == {array.tobytes()}
