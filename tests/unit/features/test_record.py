"""The entity record: what is written is read, nothing is changed in place, damage is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import sum
from falaj.features import layout
from falaj.features.entity_key import encode_key, record_key
from falaj.features.events import Column, Events
from falaj.features.layout import INT64_MIN
from falaj.features.merge import merge
from falaj.features.online import OnlineReader
from falaj.features.record import EntityRecord, decode, encode
from falaj.features.rows import entity_rows
from falaj.features.view_reader import ViewReader
from falaj.kernel.errors import CorruptionError
from support.feature_worlds import World, make_service, online_store, table, worlds


def same(one: Events, two: Events) -> bool:
    times = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("ts", "created", "seq"))
    return times and all(map(same_column, one.columns, two.columns))


def same_column(one: Column, two: Column) -> bool:
    return all(a == b or a != a != b != b for a, b in zip(one.plain(), two.plain(), strict=True))


@settings(deadline=None)
@given(worlds())
def test_decode_gives_back_what_was_encoded(world: World) -> None:
    events = entity_rows(world.view, table(world.rows)).events.in_total_order()
    raw = encode(world.view, EntityRecord(events, 7, -3))
    record = decode(world.view, raw)
    assert same(record.events, events)
    assert (record.applied_seq, record.floor_us, len(raw) % 8) == (7, -3, 0)
    assert encode(world.view, record) == raw


@settings(deadline=None)
@given(worlds(lateness="1h"))
def test_the_order_of_arrival_in_batches_does_not_matter_to_the_bytes(world: World) -> None:
    """Whatever way rows are cut into batches, the events, sums and checks are the same."""
    one, other = (online_store(World(world.spec, world.rows, cuts, [])) for cuts in ([], world.cuts))
    for key, raw in one.scan(world.view.namespace + b"r", 100):
        again = other.get_many([key])[0]
        assert again is not None
        assert same(decode(world.view, raw).events, decode(world.view, again).events)


def test_merge_leaves_the_old_bytes_alone() -> None:
    view = make_service(s=sum("amount", window="10us")).views[0]
    none = np.full(2, INT64_MIN)
    identity = np.array([b"a" * 16, b"b" * 16], "V16")
    new = Events(np.array([5, 1]), none, np.array([1, 2]), identity, (Column(np.array([1.0, 2.0]), None),))
    first = merge(view, None, new, applied_seq=2, watermark_us=0)
    kept = bytes(first)
    later = Events(np.array([3]), none[:1], np.array([3]), np.array([b"c" * 16], "V16"), (Column(np.ones(1), None),))
    second = merge(view, memoryview(first), later, applied_seq=3, watermark_us=0, taken_back=frozenset([b"a" * 16]))
    assert first == kept
    assert decode(view, second).events.ts.tolist() == [1, 3]
    assert decode(view, second).applied_seq == 3


@pytest.mark.parametrize("at", ["magic", "header", "body", "cut", "tail", "empty"])
def test_damage_is_refused(at: str) -> None:
    rows = [{"event": "x", "at": 1, "known": None, "a": "1", "b": None, "n": 1, "amount": 2.0, "points": 3,
             "country": "AE", "ok": True}]  # fmt: skip
    world = World(make_service(lateness="1h"), rows, [], [])
    place = record_key(world.view.namespace, encode_key(world.view, {"a": "1"}) or b"")
    raw = bytearray(online_store(world).get_many([place])[0] or b"")
    if at in ("magic", "header", "body"):
        raw[{"magic": 0, "header": 40, "body": len(raw) - 1}[at]] ^= 1
    else:
        raw = {"cut": raw[:-8], "tail": raw[:-3], "empty": bytearray()}[at]
    with pytest.raises(CorruptionError, match="view 'v'"):
        decode(world.view, bytes(raw))
    if at != "body":  # the reader checks what its offsets come from; `verify` and the next merge find the rest
        with pytest.raises(CorruptionError, match="view 'v'"):
            ViewReader(world.view).read(bytes(raw), 5, [], [])


@settings(deadline=None, max_examples=50)
@given(worlds(lateness="1h"), st.data())
def test_a_damaged_body_never_crashes_a_reader(world: World, data: st.DataObject) -> None:
    """What stands in it may be wrong then, until the next merge; but nobody has to catch anything else."""
    kv = online_store(world)
    begin = layout.WORD * layout.timestamps_at(len(world.view.columns))
    for key, raw in kv.scan(world.view.namespace + b"r", 100):
        bad = bytearray(raw)
        for _ in range(data.draw(st.integers(1, 20)) if len(raw) > begin else 0):
            bad[data.draw(st.integers(begin, len(raw) - 1))] = data.draw(st.integers(0, 255))
        kv.write([(key, bytes(bad))])
    entities = [entity for entity, _ in world.questions]
    with contextlib.suppress(CorruptionError):
        OnlineReader(kv).read(world.spec, entities, [at for _, at in world.questions])
