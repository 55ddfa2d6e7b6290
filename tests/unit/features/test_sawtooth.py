"""Sawtooth windows: right from tiles as from events, small, and honest where they cannot know."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import count, count_distinct, last, quantile, sawtooth, std, sum
from falaj.definitions.service_spec import ViewSpec
from falaj.features import layout
from falaj.features.agreement import agrees
from falaj.features.entity_key import encode_key, record_key
from falaj.features.materialise import apply_batch
from falaj.features.record import decode
from falaj.features.status import NOT_FOUND, OUTSIDE_RETENTION, PRESENT
from falaj.features.view_reader import ViewReader
from falaj.kernel.errors import CorruptionError, DataError
from falaj.storage.keyvalue.memory import MemoryStore
from support.feature_worlds import (
    World,
    agree,
    events_of,
    make_service,
    naive,
    online,
    online_store,
    row,
    table,
    worlds,
)

ONE = {"a": "1", "b": "23", "n": 1}
HOURS: dict[str, Any] = {
    "rows": count(window=sawtooth("100us", hop="10us")),
    "spent": sum("amount", window=sawtooth("100us", hop="10us")),
    "spread": std("points", window=sawtooth("50us", hop="5us")),
}


def stored(world: World) -> Any:
    place = record_key(world.view.namespace, encode_key(world.view, ONE) or b"")
    raw = online_store(world).get_many([place])[0]
    assert raw is not None
    return raw


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(lateness="0s", sets=["hops", "both"]), st.integers(0, 30))
def test_the_present_is_always_answered_from_tiles(world: World, later: int) -> None:
    """However events arrive, and whatever corrections take back, an instant from the newest event on is answered."""
    newest = max((row["at"] for row in world.rows), default=0)
    asked = [(entity, newest + world.view.delay_us + later) for entity, _ in world.questions]
    world = World(world.spec, world.rows, world.cuts, asked)
    answers = online(world)
    for i, (question, expected) in enumerate(zip(world.questions, naive(world), strict=True)):
        for feature, got, want, status in zip(
            world.view.features, answers.values[i], expected, answers.statuses[i], strict=True
        ):
            assert status != OUTSIDE_RETENTION or feature.hop_us is None
            assert status == OUTSIDE_RETENTION or agree(world, feature, question, got, want), (feature, got, want)


def test_tiles_bound_what_an_entity_keeps() -> None:
    rows = [row(f"e{i}", at=i, amount=float(i), points=i) for i in range(5_000)]
    world = World(make_service(**HOURS), rows, list(range(0, 5_000, 500)), [(ONE, 5_000), (ONE, 4_990), (ONE, 4_000)])
    record = decode(world.view, stored(world))
    assert record.tiles is not None
    assert (len(record.events), len(record.tiles.starts)) == (5, 22)
    assert len(stored(world)) < 3_000
    answers = online(world)
    assert answers.values[0] == naive(world)[0]
    assert answers.statuses[0] == [PRESENT] * 3
    assert answers.statuses[1:] == [[OUTSIDE_RETENTION] * 3] * 2


def test_an_event_that_comes_too_late_for_the_head_goes_into_its_tile() -> None:
    rows = [row(f"e{i}", at=i, amount=1.0, points=i) for i in range(60)]
    late = row("late", at=3, amount=0.5, points=1_000)
    world = World(make_service(**HOURS), [*rows, late], [60], [(ONE, 60)])
    assert decode(world.view, stored(world)).tiles is not None
    assert online(world).values == naive(world)
    assert online(world).values[0][:2] == [61, 60.5]


@pytest.mark.parametrize("to", ["1", "12"])
def test_a_correction_of_what_stands_in_a_tile_makes_the_record_anew(to: str) -> None:
    rows = [row(f"e{i}", at=i, amount=1.0, points=i) for i in range(60)]
    world = World(make_service(**HOURS), [*rows, row("e7", at=7, a=to, amount=9.0, known=1)], [60], [(ONE, 60)])
    assert online(world).values == naive(world)
    assert online(world).values[0][0] == (60 if to == "1" else 59)


def test_without_its_source_such_a_correction_is_refused() -> None:
    spec = make_service(**HOURS)
    rows = [row(f"e{i}", at=i, amount=1.0, points=i) for i in range(60)]
    kv = MemoryStore()
    apply_batch(kv, spec.views, table(rows), 60)
    with pytest.raises(DataError, match="holds no more as it was"):
        apply_batch(kv, spec.views, table([row("e7", at=7, known=1)], first_seq=61), 61)


def test_single_rows_are_kept_at_any_age_beside_tiles() -> None:
    spec = make_service(now=last("amount"), rows=count(window=sawtooth("20us", hop="10us")))
    world = World(spec, [row("x", at=0, amount=1.5), row("y", at=500, a="12")], [1], [(ONE, 500)])
    assert online(world).values == [[1.5, 0]]
    assert online(world).statuses == [[PRESENT, PRESENT]]
    assert online(World(spec, world.rows, [1], [({"a": "absent"}, 500)])).statuses == [[NOT_FOUND, NOT_FOUND]]


def test_sketches_keep_their_stated_error_and_their_size() -> None:
    dice = random.Random(7)
    day = sawtooth("10000us", hop="500us")
    spec = make_service(
        people=count_distinct("points", window=day, sketch="hll"),
        median=quantile("amount", 0.5, window=day, sketch="kll"),
        high=quantile("amount", 0.99, window=day, sketch="kll"),
    )
    rows = [row(at=i, points=dice.randrange(4_000), amount=dice.lognormvariate(0, 2)) for i in range(12_000)]
    world = World(spec, rows, list(range(0, 12_000, 3_000)), [(ONE, at) for at in (12_000, 12_010, 13_500)])
    assert len(stored(world)) < 150_000 < 8 * 2 * 10_000
    answers = online(world)
    for question, values in zip(world.questions, answers.values, strict=True):
        for feature, value in zip(world.view.features, values, strict=True):
            assert agrees(world.view, feature, value, events_of(world, ONE), question[1]), (feature, value)


def test_a_correction_of_the_latest_row_that_stands_in_a_tile_too_makes_the_record_anew() -> None:
    """Nothing was dropped yet: the only row below the tiles' edge is kept, since a feature takes the latest."""
    spec = make_service(now=last("amount"), rows=count(window=sawtooth("100us", hop="10us")))
    rows = [row("other", at=50, a="12"), row("e", at=5, amount=1.0)]
    world = World(spec, [*rows, row("e", at=6, amount=2.0, known=1)], [1, 2], [(ONE, 60)])
    assert online(world).values == naive(world) == [[2.0, 1]]


def test_an_empty_text_is_one_of_the_values_that_a_sketch_counts() -> None:
    hop = sawtooth("100us", hop="10us")
    spec = make_service(countries=count_distinct("country", window=hop, sketch="hll"))
    rows = [row("x", at=0, country=""), row("y", at=1, country="AE"), row("z", at=200, country="")]
    world = World(spec, rows, [2], [(ONE, 2), (ONE, 201)])
    assert online(World(spec, rows[:2], [], [(ONE, 2)])).values == [[2]]
    assert online(world).values[1] == [1]


def test_a_damaged_tile_is_never_put_together() -> None:
    spec = make_service(spent=sum("amount", window=sawtooth("100us", hop="10us")))
    rows = [row(f"e{i}", at=i, amount=1.5) for i in range(60)]
    raw = stored(World(spec, rows, [], []))
    record, words = decode(spec.views[0], raw), np.frombuffer(raw, np.int64)
    assert record.tiles is not None
    start, size = (int(words[at]) for at in (layout.TILES_AT, layout.TILES_SIZE))
    for at in range(8 * start, 8 * start + size):
        bad = bytearray(raw)
        bad[at] ^= 0x41
        with pytest.raises(CorruptionError, match="view 'v'"):
            ViewReader(spec.views[0]).read(bytes(bad), 60, [], [])


def test_many_corrections_of_tiles_read_the_source_once() -> None:
    spec = make_service(**HOURS)
    rows = [row(f"e{i}", at=i // 4, a=str(i % 40), amount=1.0, points=i) for i in range(240)]
    fixed = [row(f"e{i}", at=i // 4, a=str(i * 7 % 40), amount=9.0, known=1) for i in range(20)]
    whole = table([*rows, *fixed])
    asked: list[list[Mapping[str, Any]]] = []

    def reread(_view: ViewSpec, entities: Sequence[Mapping[str, Any]], through_seq: int) -> pa.Table:
        asked.append(list(entities))
        return whole.slice(0, through_seq)

    kv = MemoryStore()
    apply_batch(kv, spec.views, whole.slice(0, 240), 240)
    apply_batch(kv, spec.views, whole.slice(240), 260, reread=reread)
    assert [len(entities) for entities in asked] == [20]
    world = World(spec, [*rows, *fixed], [], [({"a": str(i)}, 60) for i in range(40)])
    assert online(world, kv).values == naive(world)
