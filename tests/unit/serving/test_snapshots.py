"""Snapshots: adopted when published, kept when the new ones cannot be used."""

import gc
import weakref
from collections.abc import Callable

import pytest

from falaj.definitions.routing_table import EndpointRoute, RoutingTable
from falaj.governance.tokens import TokenSnapshot
from falaj.kernel.codec import to_msgpack
from falaj.serving.snapshots import ROUTING_KEY, TOKENS_KEY, Snapshots
from falaj.serving.stats import LoadError, WorkerStats
from falaj.serving.variants import Serving
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.snapshots import EPOCH_KEY, write_snapshots
from support.serving_world import OWNER, TOKEN, World, ask, bare_route, load_sum, route, tokens, variant


def version(world: World) -> int:
    found: int = world.predict(ask())[1]["model_version"]
    return found


def test_nothing_serves_before_the_first_publication() -> None:
    world = World(publish=False)
    world.snapshots.poll(world.store)
    assert world.call("GET", "/v2/health/ready", token=None)[0] == 503
    assert world.call("GET", "/v2/health/live", token=None) == (200, {"live": True, "ready": False})
    assert world.predict(ask())[0] == 401
    world.publish(route())
    assert world.call("GET", "/v2/health/ready", token=None) == (200, {"live": True, "ready": True})
    assert version(world) == 1


def test_a_new_version_takes_over_and_the_old_one_goes() -> None:
    world = World()
    assert version(world) == 1
    old = weakref.ref(world.snapshots.serving.routes["fraud"].variants[0].runtime)
    kept = weakref.ref(world.snapshots.serving.routes["fraud"])
    world.publish(route(variant("champion", 2), epoch=2))
    assert version(world) == 2
    assert world.stats.routing_epoch == 2
    gc.collect()
    assert (old(), kept()) == (None, None)


def test_a_model_that_serves_already_is_not_loaded_again() -> None:
    world = World()
    before = world.snapshots.serving.routes["fraud"].variants[0].runtime
    world.publish(route(variant("champion", 1, 9_000), variant("candidate", 2, 1_000), epoch=2))
    after = world.snapshots.serving.routes["fraud"].variants
    assert after[0].runtime is before
    assert after[1].runtime is not before


@pytest.mark.parametrize("digest", ["damaged", "explosive"])
def test_what_cannot_be_loaded_leaves_the_old_in_force(digest: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World(route(), bare_route())
    world.publish(route(variant("champion", 2, digest=digest), epoch=2), bare_route(), route(endpoint="new"))
    assert version(world) == 1
    assert world.predict(ask(), "new")[0] == 200
    assert world.stats.load_failures == 1
    assert "endpoint 'fraud' keeps its old route: " in caplog.text
    world.publish(route(variant("champion", 3), epoch=3))
    assert version(world) == 3


def test_an_endpoint_that_never_loaded_is_unavailable_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    repaired = False

    def load(_spec: object) -> object:
        if not repaired:
            raise RuntimeError("the disk is not mounted")
        return load_sum(variant())

    world = World(publish=False)
    world.snapshots._load_model = load  # type: ignore[assignment]
    world.publish(route())
    status, answer = world.predict(ask())
    assert status == 503
    assert "the disk is not mounted" in answer["error"]
    assert world.stats.load_errors == [LoadError("fraud", "RuntimeError: the disk is not mounted", older=False)]
    status, answer = world.call("GET", "/v2/health/ready", token=None)
    assert (status, answer["error"]) == (503, "these endpoints cannot be loaded: fraud")
    repaired = True
    for _ in range(49):
        world.snapshots.poll(world.store)
    assert world.predict(ask())[0] == 503
    world.snapshots.poll(world.store)
    assert world.predict(ask())[0] == 200
    assert world.call("GET", "/v2/health/ready", token=None)[0] == 200
    assert world.stats.load_errors == []
    assert "endpoint 'fraud' cannot be loaded: RuntimeError" in caplog.text


def test_a_worker_that_was_ready_stays_so_whatever_is_deployed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    broken = variant("champion", 2, digest="damaged")
    world.publish(route(broken, epoch=2), route(broken, endpoint="new"))
    assert [(one.endpoint, one.older) for one in world.stats.load_errors] == [("fraud", True), ("new", False)]
    assert world.call("GET", "/v2/health/ready", token=None)[0] == 200
    assert (version(world), world.predict(ask(), "new")[0]) == (1, 503)
    assert "endpoint 'new' cannot be loaded" in caplog.text


def test_a_table_without_sense_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.publish(route(variant(weight=5_000), epoch=2))
    assert version(world) == 1
    missing = variant(signature=bare_route().variants[0].signature)
    world.publish(route(missing, epoch=3))
    assert version(world) == 1
    assert "does not give" in caplog.text


def test_bytes_that_are_no_snapshot_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.store.write([(EPOCH_KEY, b"new"), (ROUTING_KEY, b"\xc1"), (TOKENS_KEY, b"\xc1")])
    world.snapshots.poll(world.store)
    assert version(world) == 1
    assert world.stats.load_failures == 2
    assert "cannot be read" in caplog.text


def test_a_revoked_token_is_out_with_the_next_poll_even_while_a_model_loads() -> None:
    waiting: list[tuple[Callable[[], Serving], Callable[[Serving], None]]] = []
    snapshots = Snapshots(load_sum, lambda work, done: waiting.append((work, done)), WorkerStats(worker="w"))
    store = MemoryStore()
    table = to_msgpack(RoutingTable(1, {"fraud": route()}))
    write_snapshots(store, {"routing": table, "tokens": to_msgpack(tokens())}, 1)
    snapshots.poll(store)
    header = f"Bearer {TOKEN}".encode()
    assert snapshots.guard.admit(header, "endpoint.predict", "fraud", 0).name == "app"
    assert not snapshots.ready
    left = TokenSnapshot({key: entry for key, entry in tokens().tokens.items() if entry.actor != "app"})
    write_snapshots(store, {"routing": table, "tokens": to_msgpack(left)}, 2)
    snapshots.poll(store)
    with pytest.raises(Exception, match="unknown or revoked"):
        snapshots.guard.admit(header, "endpoint.predict", "fraud", 0)
    work, done = waiting.pop(0)
    done(work())
    assert snapshots.ready


def test_a_revoked_token_is_out() -> None:
    world = World()
    left = {key: entry for key, entry in tokens().tokens.items() if entry.actor != "app"}
    world.publish(route(), snapshot=TokenSnapshot(left))
    assert world.predict(ask())[0] == 401
    assert world.predict(ask(), token=OWNER)[0] == 200


def test_a_shadow_that_took_long_to_load_leaves_what_came_since_in_force() -> None:
    waiting: list[tuple[Callable[[], Serving], Callable[[Serving], None]]] = []
    snapshots = Snapshots(
        load_sum,
        lambda work, done: done(work()),
        WorkerStats(worker="w"),
        shadows_beside=lambda work, done: waiting.append((work, done)),
    )
    store = MemoryStore()

    def publish(epoch: int, served: EndpointRoute) -> None:
        table = to_msgpack(RoutingTable(epoch, {"fraud": served}))
        write_snapshots(store, {"routing": table, "tokens": to_msgpack(tokens())}, epoch)
        snapshots.poll(store)

    def serving() -> list[int]:
        return [loaded.spec.version for loaded in snapshots.serving.routes["fraud"].loaded]

    publish(1, route(variant(), variant("shadow", 2, role="shadow")))
    publish(2, route(variant(version=3), epoch=2))
    ((work, done),) = waiting
    done(work())
    assert serving() == [3]
    publish(3, route(variant(version=3), variant("shadow", 4, role="shadow"), epoch=3))
    work, done = waiting[1]
    done(work())
    assert serving() == [3, 4], "and one that is in time is taken"
