"""Redaction and sampling: what a policy keeps out of the log is nowhere in its bytes, and everything is counted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.prediction_record import BlockRecord, PredictionRecord
from falaj.definitions.routing_table import Variant
from falaj.kernel.codec import to_msgpack
from falaj.serving.redaction import Redaction, is_sampled
from falaj.serving.stats import WorkerStats
from support.serving_world import BARE, World, ask, route, variant

DROP = {"redacted": "drop"}


def world_with(policy: PredictionPolicy, *variants: Any, key: str = "key") -> World:
    world = World(route(*variants, prediction_log=policy), redaction_key=key)
    world.ingest(("secret-card", 2, 4.0, "AE"))
    return world


def test_what_is_redacted_is_nowhere_in_the_record() -> None:
    world = world_with(PredictionPolicy(redact={"card_id": "hash", "amount": "drop", "client_id": "hash"}))
    status, answer = world.predict(ask("secret-card", 98765.5, id="their-own"))
    assert (status, answer["id"]) == (200, "their-own")
    (record,) = world.sink.records
    assert isinstance(record, PredictionRecord)
    raw = to_msgpack(record)
    assert b"secret-card" not in raw
    assert b"their-own" not in raw
    assert 98765.5 not in record.features
    assert record.request == {"amount": DROP}
    assert record.features[4] == DROP  # the model's input of that name
    assert record.features[:3] == [0, 4.0, "AE"]
    assert record.entities["card_id"]["redacted"].startswith("hash:")
    assert record.unit == record.entities["card_id"]["redacted"]
    assert record.score == answer["prediction"]
    assert world.log.written == 1


def test_equal_values_have_equal_hashes_under_one_key_only() -> None:
    policy = PredictionPolicy(redact={"card_id": "hash"})
    worlds = [world_with(policy), world_with(policy), world_with(policy, key="other")]
    for world in worlds:
        world.predict(ask("c1"))
        world.predict(ask("c2"))
    hashes = [[record.entities["card_id"]["redacted"] for record in world.sink.records] for world in worlds]
    assert hashes[0] == hashes[1]
    assert len({*hashes[0], *hashes[2]}) == 4


def test_without_a_key_what_should_be_hashed_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    world = world_with(PredictionPolicy(redact={"card_id": "hash"}), key="")
    world.predict([ask("secret-card"), ask("secret-card")])
    assert [(record.entities["card_id"], record.unit) for record in world.sink.records] == [(DROP, "")] * 2
    assert [one.getMessage().partition(" is empty")[0] for one in caplog.records] == ["storage.redaction_key"]


def test_an_entity_that_is_not_known_is_still_not_known() -> None:
    world = world_with(PredictionPolicy(redact={"card_id": "hash"}))
    world.predict(ask(None))
    (record,) = world.sink.records
    assert (record.entities, record.unit) == ({"card_id": None}, record.request_id)


def test_a_block_loses_the_columns() -> None:
    bare = variant("champion", 4, signature=BARE, service=None)
    world = World(route(bare, endpoint="bare", prediction_log=PredictionPolicy(redact={"y": "hash"})))
    body = {"inputs": [{"name": "in", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}]}
    assert world.call("POST", "/v2/models/bare:raw/infer", body)[0] == 200
    (record,) = world.sink.records
    assert isinstance(record, BlockRecord)
    assert [record.row(row).features for row in range(2)] == [[1.0, DROP], [3.0, DROP]]
    assert record.redacted == (1,)


def test_a_sample_is_logged_and_all_are_counted() -> None:
    world = world_with(PredictionPolicy(sample_ratio=0.25))
    answers = [world.predict(ask("c1"))[1] for _ in range(400)]
    logged = {record.request_id for record in world.sink.records}
    assert logged == {answer["request_id"] for answer in answers if is_sampled(answer["request_id"], 0.25)}
    assert 40 <= len(logged) <= 180
    (series,) = world.stats.series
    assert (series.requests, world.log.written, world.stats.log_unsampled) == (400, len(logged), 400 - len(logged))


def test_a_shadow_is_logged_where_what_it_shadows_is() -> None:
    shadow = variant("candidate", 2, 10_000, role="shadow")
    world = world_with(PredictionPolicy(sample_ratio=0.5, redact={"card_id": "drop"}), variant(), shadow)
    for _ in range(100):
        world.predict(ask("secret-card"))
    by_role = {role: [r.request_id for r in world.sink.records if r.role == role] for role in ("live", "shadow")}
    assert by_role["live"] == by_role["shadow"] != []
    assert all(record.entities == {"card_id": DROP} for record in world.sink.records)


def test_a_new_policy_holds_although_its_route_cannot_be_loaded() -> None:
    world = World(route())
    policy = PredictionPolicy(redact={"card_id": "drop"})
    world.publish(route(variant(version=2, digest="damaged"), epoch=2, prediction_log=policy))
    assert world.predict(ask("secret-card"))[1]["model_version"] == 1
    assert world.sink.records[0].entities == {"card_id": DROP}


def test_a_new_policy_waits_for_no_model_to_load() -> None:
    world = World(route())
    load = world.snapshots._load_model

    def while_loading(spec: Variant) -> object:
        assert world.predict(ask("secret-card"))[1]["model_version"] == 1
        return load(spec)

    world.snapshots._load_model = while_loading  # type: ignore[assignment]
    policy = PredictionPolicy(redact={"card_id": "drop"})
    world.publish(route(variant(version=2), epoch=2, prediction_log=policy))
    (record,) = world.sink.records
    assert (record.version, record.entities) == (1, {"card_id": DROP})


@given(st.floats(0.001, 1.0), st.integers(0, 1 << 40))
def test_the_share_is_that_of_the_request_ids(ratio: float, first: int) -> None:
    sampled = sum(is_sampled(f"req_{first + number:016x}", ratio) for number in range(2000))
    assert abs(sampled - 2000 * ratio) <= 6 * (2000 * ratio * (1 - ratio)) ** 0.5 + 20


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans()))
def test_a_hash_is_the_same_each_time(value: Any) -> None:
    one, other = (Redaction("key", WorkerStats(worker="w")) for _ in range(2))
    assert one.value("hash", value) == other.value("hash", value)
    assert len(one.value("hash", value)["redacted"]) == len("hash:") + 32
