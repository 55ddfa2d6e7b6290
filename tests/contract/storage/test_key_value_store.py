"""What every key-value store must do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.kernel.errors import InputError, StorageError
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.lmdb import LmdbStore
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.store import RedisStore
from support.redis_servers import RedisCluster, RedisServer, redis_cluster, redis_server

LONG = b"k" * 600
EMBEDDED = ("lmdb", "memory")
STORES = (*EMBEDDED, "redis", "redis-cluster")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueStore]:
    made: KeyValueStore
    if request.param == "lmdb":
        made = LmdbStore.open(tmp_path / "online", map_gib=0.0625)
    elif request.param == "memory":
        made = MemoryStore()
    else:
        running = request.getfixturevalue("server" if request.param == "redis" else "cluster")
        # A project of its own: its keys do not meet those of other tests.
        made = RedisStore.open_writer(RedisAddress.parse(running.url), tmp_path.name, tmp_path / "online")
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


def test_a_write_over_what_has_changed_is_refused_whole(store: KeyValueStore) -> None:
    store.write([(b"at", b"1"), (LONG, b"1")])
    store.write([(b"at", b"2"), (b"new", b"2")], unchanged={b"at": b"1", LONG: b"1", b"new": None})
    before = {b"at": b"2", b"new": b"2", LONG: b"1"}
    wrong: list[dict[bytes, bytes | None]] = [{b"at": b"1"}, {b"at": None}, {b"absent": b""}, {b"at": b"2", LONG: b"2"}]
    for unchanged in wrong:
        with pytest.raises(StorageError, match="nothing was written"):
            store.write([(b"at", b"3"), (b"more", b"3")], [LONG], unchanged=unchanged)
        assert dict(store.scan(b"", 10)) == before
    store.write([(b"at", b"3")], unchanged={b"at": b"2", b"more": None})
    assert store.get_many([b"at"]) == [b"3"]


def test_many_keys_at_once(store: KeyValueStore) -> None:
    pairs = [(b"%d" % i, b"v%d" % i) for i in range(12_000)]
    store.write(pairs)
    assert store.get_many([key for key, _ in pairs] + [b"x"]) == [value for _, value in pairs] + [None]
    with store.snapshot() as snapshot:
        found = snapshot.get_many([b"11999", b"x", b"0", b"11999"])
        assert [None if value is None else bytes(value) for value in found] == [b"v11999", None, b"v0", b"v11999"]


@pytest.mark.parametrize("store", EMBEDDED, indirect=True)
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


def test_a_new_snapshot_sees_what_was_written(store: KeyValueStore) -> None:
    store.write([(b"a", b"1"), (LONG, b"long")])
    with store.snapshot() as snapshot:
        value, absent, long = snapshot.get(b"a"), snapshot.get(b"b"), snapshot.get(LONG)
        assert (value is not None and bytes(value), absent, long is not None and bytes(long)) == (b"1", None, b"long")


def test_scan_gives_a_prefix_in_key_order(store: KeyValueStore) -> None:
    store.write([(b"b/2", b""), (b"a", b""), (b"b/1", b"x"), (b"b/10", b""), (b"c", b""), (b"b", b"")])
    assert [key for key, _ in store.scan(b"b/", 10)] == [b"b/1", b"b/10", b"b/2"]
    assert store.scan(b"b/", 1) == [(b"b/1", b"x")]
    assert [key for key, _ in store.scan(b"", 10)] == [b"a", b"b", b"b/1", b"b/10", b"b/2", b"c"]
    assert store.scan(b"b/", 0) == []
    assert store.scan(b"\xff", 10) == []
    store.write([(b"*", b""), (b"[a]", b""), (b"\\", b""), (b"a*", b"")])
    assert [key for prefix in (b"*", b"[", b"\\", b"a*") for key, _ in store.scan(prefix, 10)] == [
        b"*", b"[a]", b"\\", b"a*",
    ]  # fmt: skip


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


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
