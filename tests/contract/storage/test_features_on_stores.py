"""The same features whatever holds the records: the naive definition, and every online store."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from falaj.features.materialise import apply_batch, read_progress
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.lmdb import LmdbStore
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.store import RedisStore
from support.feature_worlds import World, agree, apply_world, naive, online, online_store, table, worlds
from support.redis_servers import redis_cluster, redis_server

MAY_BE_SLOW = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=["lmdb", "redis", "redis-cluster"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyValueStore]:
    folder = tmp_path_factory.mktemp("online")
    if request.param == "lmdb":
        lmdb = LmdbStore.open(folder, map_gib=0.0625)
        yield lmdb
        lmdb.close()
        return
    running = redis_server if request.param == "redis" else redis_cluster
    with running(folder / "redis") as server:
        redis = RedisStore.open_writer(RedisAddress.parse(server.url), "worlds", folder)
        yield redis
        redis.close()


def emptied(store: KeyValueStore) -> KeyValueStore:
    store.write([], [key for key, _ in store.scan(b"", 10_000)])
    return store


@MAY_BE_SLOW
@given(worlds(lateness="1h"))
def test_it_is_naive(store: KeyValueStore, world: World) -> None:
    apply_world(world, emptied(store))
    answers = online(world, store)
    for i, (question, expected) in enumerate(zip(world.questions, naive(world), strict=True)):
        for feature, got, want in zip(world.view.features, answers.values[i], expected, strict=True):
            assert agree(world, feature, question, got, want), (feature, question, got, want)


@MAY_BE_SLOW
@given(worlds())
def test_every_store_holds_the_same_bytes_and_a_repeat_changes_none(store: KeyValueStore, world: World) -> None:
    in_memory = online_store(world).scan(b"", 10_000)
    apply_world(world, emptied(store))
    assert store.scan(b"", 10_000) == in_memory
    rows = table(world.rows)
    assert apply_batch(store, world.spec.views, rows, len(world.rows)).records == 0
    assert store.scan(b"", 10_000) == in_memory
    assert read_progress(store, world.spec.views)[0].applied_seq == len(world.rows)
