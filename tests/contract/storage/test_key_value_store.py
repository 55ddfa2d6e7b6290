"""What every key-value store must do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.kernel.errors import InputError
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.lmdb import LmdbStore
from falaj.storage.keyvalue.memory import MemoryStore

MAKERS: dict[str, Callable[[Path], KeyValueStore]] = {
    "lmdb": lambda folder: LmdbStore.open(folder / "online", map_gib=0.0625),
    "memory": lambda _: MemoryStore(),
}
LONG = b"k" * 600


@pytest.fixture(params=sorted(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueStore]:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()
    made.close()


def test_values_come_back_in_the_order_of_the_keys(store: KeyValueStore) -> None:
    store.write([(b"a", b"1"), (b"b", b""), (b"c", b"3" * 100_000)])
    assert store.get_many([b"c", b"x", b"a", b"b", b"a"]) == [b"3" * 100_000, None, b"1", b"", b"1"]
    assert store.get_many([]) == []
    assert store.get_many([b""]) == [None]


def test_a_write_replaces_and_deletes_before_it_puts(store: KeyValueStore) -> None:
    store.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
    store.write([(b"a", b"2"), (b"a", b"3"), (b"c", b"2")], deletes=[b"b", b"c", b"never there"])
    assert store.get_many([b"a", b"b", b"c"]) == [b"3", None, b"2"]


def test_a_failed_write_changes_nothing(store: KeyValueStore) -> None:
    store.write([(b"a", b"1")])
    with pytest.raises(InputError, match="empty"):
        store.write([(b"a", b"2"), (b"", b"x")])
    with pytest.raises(InputError, match="empty"):
        store.write([(b"a", b"2")], deletes=[b"a", b""])

    def breaks() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", b"2"
        raise ValueError("the caller's own")

    with pytest.raises(ValueError, match="the caller's own"):
        store.write(breaks())
    assert store.get_many([b"a"]) == [b"1"]


def test_a_snapshot_stays_what_it_was(store: KeyValueStore) -> None:
    store.write([(b"a", b"1"), (LONG, b"long")])
    with store.snapshot() as before:
        store.write([(b"a", b"2"), (b"b", b"2")], deletes=[LONG])
        value, absent, long = before.get(b"a"), before.get(b"b"), before.get(LONG)
        assert value is not None and bytes(value) == b"1"
        assert absent is None
        assert long is not None and bytes(long) == b"long"
        assert [item is not None and bytes(item) for item in before.get_many([b"b", LONG, b"a"])] == [
            False,
            b"long",
            b"1",
        ]
    with store.snapshot() as after:
        value = after.get(b"a")
        assert value is not None and bytes(value) == b"2"


def test_scan_gives_a_prefix_in_key_order(store: KeyValueStore) -> None:
    store.write([(b"b/2", b""), (b"a", b""), (b"b/1", b"x"), (b"b/10", b""), (b"c", b""), (b"b", b"")])
    assert [key for key, _ in store.scan(b"b/", 10)] == [b"b/1", b"b/10", b"b/2"]
    assert store.scan(b"b/", 1) == [(b"b/1", b"x")]
    assert [key for key, _ in store.scan(b"", 10)] == [b"a", b"b", b"b/1", b"b/10", b"b/2", b"c"]
    assert store.scan(b"b/", 0) == []
    assert store.scan(b"\xff", 10) == []


@pytest.mark.parametrize("length", [478, 479, 480, 509, 510, 511, 512, 2000])
def test_keys_of_every_length_are_found_and_scanned_whole(store: KeyValueStore, length: int) -> None:
    one, other = b"p" * (length - 1) + b"1", b"p" * (length - 1) + b"2"
    store.write([(one, b"one"), (other, b"other")])
    assert store.get_many([one, other, one + b"x", one[:-1]]) == [b"one", b"other", None, None]
    assert sorted(store.scan(b"p" * (length - 1), 10)) == [(one, b"one"), (other, b"other")]
    assert store.scan(other, 10) == [(other, b"other")]
    store.write([], deletes=[one])
    assert store.get_many([one, other]) == [None, b"other"]


def test_a_long_key_never_meets_a_short_one(store: KeyValueStore) -> None:
    import hashlib

    stored_form = LONG[:479] + hashlib.sha256(LONG).digest()
    store.write([(LONG, b"long"), (stored_form, b"511 bytes")])
    assert store.get_many([LONG, stored_form]) == [b"long", b"511 bytes"]


keys = st.one_of(st.binary(min_size=1, max_size=3), st.sampled_from([LONG, LONG + b"1", b"k" * 511, b"k" * 510]))
batches = st.lists(st.tuples(st.lists(st.tuples(keys, st.binary(max_size=9))), st.lists(keys)), max_size=6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches)
def test_it_is_a_dictionary(store: KeyValueStore, batches: list[tuple[list[tuple[bytes, bytes]], list[bytes]]]) -> None:
    store.write([], deletes=[key for key, _ in store.scan(b"", 10_000)])
    model: dict[bytes, bytes] = {}
    for puts, deletes in batches:
        store.write(puts, deletes)
        for key in deletes:
            model.pop(key, None)
        model.update(puts)
    assert dict(store.scan(b"", 10_000)) == model
    short = [key for key, _ in store.scan(b"", 10_000) if len(key) <= 510]
    assert short == sorted(short)
    assert store.get_many(sorted(model)) == [model[key] for key in sorted(model)]
