"""Answers and features that are given again: the same values, marked and logged, no older and no more than allowed."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.definitions.cache import Cache
from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.routing_table import EndpointRoute
from falaj.serving.aged_readers import AgedReaders
from falaj.serving.response_cache import ResponseCache
from support.serving_world import SERVICE, SumRuntime, World, ask, route, variant

CACHED = EndpointOptions(cache=Cache("10s", 1))


def cached(*variants: Any, **more: Any) -> EndpointRoute:
    return route(*variants, options=CACHED, **more)


@pytest.fixture
def world() -> World:
    made = World(cached())
    made.ingest(("c1", 2, 8.0, "OM"), ("c2", 1, 4.0, "FR"))
    SumRuntime.asked.clear()
    return made


def without_marks(record: PredictionRecord) -> PredictionRecord:
    return msgspec.structs.replace(record, request_id="", unit="", latency_us=0, cached=False, received_us=0, at_us=0)


def test_the_same_inputs_get_the_same_answer_and_every_answer_is_logged(world: World) -> None:
    first = world.predict(ask("c1", 10.0))[1]
    again = world.predict(ask("c1", 10.0))[1]
    assert SumRuntime.asked == [1]
    assert first | {"request_id": ""} == again | {"request_id": ""}
    assert first["request_id"] != again["request_id"]
    records = world.sink.records
    assert [record.cached for record in records] == [False, True]
    assert without_marks(records[0]) == without_marks(records[1])
    assert (world.stats.cache_hits, world.stats.cache_misses) == (1, 1)


def test_other_inputs_ask_the_model(world: World) -> None:
    world.predict(ask("c1", 10.0))
    for other in (ask("c1", 11.0), ask("c2", 10.0), ask("unknown", 10.0)):
        world.predict(other)
    assert SumRuntime.asked == [1, 1, 1, 1]
    world.ingest(("c9", 1, 1.0, "OM"), ("c9", 1, 1.0, "OM"), ("c1", 1, 100.0, "OM"))
    before = world.sink.records[0].score
    assert world.predict(ask("c1", 10.0))[1]["prediction"] != before


def test_in_one_batch_only_what_is_not_known_is_computed_and_rows_keep_their_places(world: World) -> None:
    world.predict([ask("c1", amount) for amount in (1.0, 2.0, 3.0)])
    plain = World(route())
    plain.ingest(("c1", 2, 8.0, "OM"), ("c2", 1, 4.0, "FR"))
    body = [ask("c1", amount) for amount in (9.0, 2.0, 8.0, 1.0, 13.5)]
    SumRuntime.asked.clear()
    answers = world.predict(body)[1]
    assert SumRuntime.asked == [3]
    assert [a["prediction"] for a in answers] == [a["prediction"] for a in plain.predict(body)[1]]
    assert [record.cached for record in world.sink.records[3:]] == [False, True, False, True, False]


def test_a_text_that_training_never_saw_is_said_again(world: World) -> None:
    answers = [world.predict(ask("c2", 10.0))[1] for _ in range(2)]
    assert [answer["statuses"]["activity__country"] for answer in answers] == ["UNSEEN_VALUE"] * 2
    assert [record.cached for record in world.sink.records] == [False, True]


def test_an_answer_expires(world: World) -> None:
    world.predict(ask("c1", 10.0))
    world.clock.advance(9.9)
    world.predict(ask("c1", 10.0))
    world.clock.advance(0.1)
    world.predict(ask("c1", 10.0))
    assert SumRuntime.asked == [1, 1]


def test_another_version_answers_for_itself(world: World) -> None:
    old = world.predict(ask("c1", 10.0))[1]
    world.publish(cached(variant(version=2), epoch=2))
    new = world.predict(ask("c1", 10.0))[1]
    assert new["prediction"] == old["prediction"] + 1000
    assert SumRuntime.asked == [1, 1]


def test_an_error_is_not_kept_and_touches_no_batch_mate(world: World) -> None:
    world.predict(ask("c1", 10.0))
    calls = [("POST", "/v1/endpoints/fraud/predict", ask("c1", amount)) for amount in (10.0, 13.0, 20.0)]
    for _ in range(2):
        assert [status for status, _ in world.call_all(calls)] == [200, 500, 200]
    assert [record.error for record in world.sink.records].count("internal") == 2


def test_without_the_option_every_question_is_asked() -> None:
    world = World(route())
    SumRuntime.asked.clear()
    for _ in range(3):
        world.predict(ask("c1", 10.0))
    assert SumRuntime.asked == [1, 1, 1]
    assert (world.stats.cache_hits, world.stats.cache_misses) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5000)), max_size=200))
def test_memory_is_bounded_and_what_is_found_was_put(puts: list[tuple[int, int]]) -> None:
    cache = ResponseCache(Cache("1s", 1), lambda: 0.0)
    cache._most_bytes = 20_000
    put: dict[bytes, float] = {}
    for name, length in puts:
        key = cache.key([name, "x" * length])
        assert key is not None
        put[key] = float(length)
        cache.put(key, float(length), ())
        assert cache.size_bytes == sum(len(each) + 250 for each in cache._answers) <= 20_000
        assert cache.find(key) is not None
    for key, score in put.items():
        found = cache.find(key)
        assert found is None or found.score == score


def test_inputs_that_cannot_be_told_apart_are_never_kept() -> None:
    cache = ResponseCache(Cache(), lambda: 0.0)
    assert cache.key([object()]) is None
    cache.put(None, 1.0, ())
    assert cache.find(None) is None
    assert cache.key([np.float64(1.5), float("nan"), None, "é"]) == cache.key([1.5, float("nan"), None, "é"])
    assert cache.key([1.0]) != cache.key([2.0])
    assert len({cache.key(values) for values in ([None], [0.0], [""], [False], [float("nan")], [-0.0])}) == 6


def test_an_endpoint_says_how_old_its_features_may_be() -> None:
    old = route(endpoint="old", options=EndpointOptions(features_max_age_ms=500.0))
    fresh = route(endpoint="fresh", options=EndpointOptions(features_max_age_ms=0.0))
    world = World(old, fresh)
    world.ingest(("c1", 2, 8.0, "OM"))

    def seen(endpoint: str) -> Any:
        world.predict(ask("c1"), endpoint)
        return world.sink.records[-1].features[0], world.sink.records[-1].applied_seq

    before = seen("old")
    assert seen("fresh") == before
    world.ingest(("c1", 0, 100.0, "OM"), ("c1", 0, 50.0, "OM"))
    after = seen("fresh")
    assert after != before
    assert seen("old") == before
    world.clock.advance(0.6)
    assert seen("old") == after


def test_readers_are_shared_by_their_bound_and_absent_where_nothing_is_kept() -> None:
    world = World()
    readers = AgedReaders(world.store, 200, world.clock.monotonic)
    assert readers.of(None) is readers.default is readers.of(200)
    assert readers.of(0.0) is not readers.default
    assert readers.of(50.0) is readers.of(50.0)
    own = AgedReaders(world.store, None, world.clock.monotonic)
    assert own.of(50.0) is own.default
    assert own.default.read(SERVICE, [{"card_id": "c1"}], [0]).statuses[0][0] == "NOT_FOUND"
