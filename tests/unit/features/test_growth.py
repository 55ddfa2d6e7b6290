"""A record that grows by its newest events answers as one that is merged, and as the definition says."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import column, count, max, std, sum
from falaj.definitions.service_spec import ServiceSpec, ViewSpec
from falaj.features.events import Events
from falaj.features.growth import Growth
from falaj.features.layout import INT64_MIN
from falaj.features.merge import merge
from falaj.features.record import decode
from falaj.features.rows import entity_rows
from falaj.features.view_reader import ViewReader
from falaj.storage.keyvalue.memory import MemoryStore
from support.feature_worlds import (
    FILTERED,
    HOPS,
    MORE,
    SETS,
    UNWINDOWED,
    WINDOWED,
    World,
    agree,
    apply_world,
    make_service,
    naive,
    online,
    row,
    table,
    worlds,
)

AMOUNTS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 0.1, 1e-9, 1e15]))
ROW = st.fixed_dictionaries(
    {
        "at": st.integers(0, 60),
        "known": st.one_of(st.none(), st.integers(-1, 1)),
        "amount": AMOUNTS,
        "points": st.one_of(st.integers(-5, 5), st.sampled_from([1 << 61, -(1 << 61), (1 << 53) + 1])),
        "country": st.sampled_from(["AE", "OM", "سلام", "", "A", "E"]),
        "ok": st.booleans(),
    }
)
ROWS = st.lists(ROW, min_size=2, max_size=24)


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda values: int(values["at"]))


def events_of(view: ViewSpec, rows: list[dict[str, Any]], first_seq: int = 1) -> Events:
    found = [row(**values) | {"event": str(first_seq + i)} for i, values in enumerate(rows)]
    return entity_rows(view, table(found, first_seq)).events.in_total_order()


def answers(view: ViewSpec, raw: bytes) -> list[list[Any]]:
    found = []
    for at in range(-5, 130):
        values: list[Any] = []
        statuses: list[str] = []
        ViewReader(view).read(raw, at, values, statuses)
        found.append([*values, *statuses])
    return found


@settings(deadline=None)
@given(st.sampled_from(sorted(SETS)), ROWS, st.data())
def test_growing_is_merging(name: str, rows: list[dict[str, Any]], data: st.DataObject) -> None:
    features: dict[str, Any] = SETS[name]
    view = make_service(lateness="10m", has_id=data.draw(st.booleans()), **features).views[0]
    rows = in_order(rows)
    cut = data.draw(st.integers(1, len(rows) - 1))
    if data.draw(st.booleans()):  # counts are there from the beginning
        rows[0] |= dict.fromkeys(("amount", "points", "country", "ok"), None)
    raw = merge(view, None, events_of(view, rows[:cut]), applied_seq=cut, watermark_us=INT64_MIN)
    new = events_of(view, rows[cut:], cut + 1)
    grown = Growth(view).grow(raw, new, applied_seq=len(rows), watermark_us=INT64_MIN)
    if grown is None:
        return
    merged = merge(view, raw, new, applied_seq=len(rows), watermark_us=INT64_MIN)
    one, other = decode(view, grown), decode(view, merged)
    assert [c.plain() for c in one.events.columns] == [c.plain() for c in other.events.columns]
    for part in ("ts", "created", "seq"):
        assert getattr(one.events, part).tolist() == getattr(other.events, part).tolist()
    assert (one.applied_seq, one.floor_us, one.carried) == (other.applied_seq, other.floor_us, other.carried)
    assert one.tiles == other.tiles


@settings(deadline=None)
@given(worlds(lateness="0s"), ROWS, st.booleans(), st.sampled_from([1, 2, 5]))
def test_rows_that_come_in_order_one_after_the_other_are_the_definition(
    world: World, rows: list[dict[str, Any]], with_nulls: bool, batch: int
) -> None:
    """As events are pushed: some pruned meanwhile, some folded into tiles, some a first null."""
    found = [row(str(i), **values) | {"b": "3", "n": 1} for i, values in enumerate(in_order(rows))]
    if with_nulls:
        found[len(found) // 2] |= dict.fromkeys(("amount", "country"), None)
    world = replace(world, rows=found, cuts=list(range(batch, len(found), batch)))
    got, want = online(world), naive(world)
    for question, values, statuses, expected in zip(world.questions, got.values, got.statuses, want, strict=True):
        for feature, value, status, one in zip(world.view.features, values, statuses, expected, strict=True):
            if status != "OUTSIDE_RETENTION":
                assert agree(world, feature, question, value, one), (feature, question, value, one)


@pytest.mark.parametrize(
    ("features", "first", "then"),
    [
        ({"n": count(window="10us")}, {}, {}),
        (WINDOWED | UNWINDOWED, {}, {"amount": 1e-3, "country": "OM"}),
        (WINDOWED | UNWINDOWED, {"country": "", "amount": None, "ok": None}, {"country": "AE", "amount": 5.0}),
        (WINDOWED | UNWINDOWED, {"country": None, "amount": None, "points": None}, {"amount": None, "country": None}),
        (MORE, {"country": "OMAN"}, {"country": "MA"}),
        (FILTERED, {"ok": False, "country": "OM", "points": -1, "amount": -1.0}, {"ok": False}),
        (HOPS, {}, {"points": 7}),
        ({"s": sum("amount", window="9us"), "d": std("amount", window="9us")}, {"amount": float("inf")}, {}),
        ({"m": max("points", window="9us"), "p": column("points")}, {}, {"points": -9}),
    ],
)
def test_the_newest_event_needs_no_merge(features: dict[str, Any], first: dict[str, Any], then: dict[str, Any]) -> None:
    plain = {"known": 1, "amount": 2.5, "points": 3, "country": "AE", "ok": True}
    view = make_service(lateness="10m", **features).views[0]
    rows = [plain | first | {"at": 1}, plain | {"at": 2}, plain | {"at": 4}]
    raw = merge(view, None, events_of(view, rows), applied_seq=3, watermark_us=INT64_MIN)
    new = events_of(view, [plain | then | {"at": 9}, plain | {"at": 9, "known": 2, "country": "OM"}], 4)
    grown = Growth(view).grow(memoryview(raw), new, applied_seq=5, watermark_us=INT64_MIN)
    assert grown is not None
    assert answers(view, grown) == answers(view, merge(view, raw, new, applied_seq=5, watermark_us=INT64_MIN))


def test_a_busy_entity_holds_little_more_than_its_windows_need() -> None:
    service: ServiceSpec = make_service(s=sum("amount", window="100us"))
    rows = [row(str(i), at=i, amount=float(i)) for i in range(1_000)]
    kv = MemoryStore()
    apply_world(World(service, rows, list(range(1, 1_000)), []), kv)
    (raw,) = [raw for _, raw in kv.scan(service.views[0].namespace + b"r", 9)]
    assert 100 <= len(decode(service.views[0], raw).events) <= 100 * 8 / 7 + 9


def test_damage_is_not_copied() -> None:
    view = make_service(s=sum("amount", window="100us")).views[0]
    one, two = ([{"amount": 2.0, "at": at}] for at in (1, 2))
    raw = bytearray(merge(view, None, events_of(view, one), applied_seq=1, watermark_us=INT64_MIN))
    raw[-1] ^= 1
    assert Growth(view).grow(bytes(raw), events_of(view, two, 2), applied_seq=2, watermark_us=INT64_MIN) is None
