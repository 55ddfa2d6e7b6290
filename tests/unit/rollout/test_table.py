"""The routing table: one writer, epochs that grow, and the same bytes for gateways as in the rows."""

import msgspec
import pytest

from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, RoutingTable, Variant
from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.codec import from_msgpack
from falaj.kernel.errors import InputError, NotFound
from falaj.rollout import table
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.snapshots import read_epoch, read_snapshot
from falaj.storage.metadata.database import Database

SIGNATURE = Signature((InputSpec("amount", "float64"),))


def variant(version: int, name: str = "champion", weight: int = 10_000) -> Variant:
    return Variant(name, "fraud", version, weight, "live", ArtifactRef(f"{version:064d}", "lightgbm"), SIGNATURE)


def route(*variants: Variant, endpoint: str = "fraud") -> EndpointRoute:
    return EndpointRoute(endpoint, 0, "salt", variants)


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


def write(db: Database, *routes: EndpointRoute) -> None:
    for at_us, each in enumerate(routes):
        with db.write() as connection:
            table.write_route(connection, each, "ada", at_us)


def published(store: MemoryStore) -> RoutingTable:
    raw = read_snapshot(store, "routing")
    assert raw is not None
    return from_msgpack(raw, RoutingTable)


def test_each_write_is_a_new_epoch_of_its_endpoint(db: Database) -> None:
    write(db, route(variant(1)), route(variant(2)), route(variant(9), endpoint="churn"))
    with db.read() as connection:
        changes = table.route_history(connection, "fraud")
        assert [(c.route.epoch, c.route.variants[0].version, c.at_us, c.actor) for c in changes] == [
            (2, 2, 1, "ada"),
            (1, 1, 0, "ada"),
        ]
        assert {name: r.epoch for name, r in table.current_routes(connection).items()} == {"churn": 1, "fraud": 2}


def test_gateways_read_what_the_rows_say(db: Database) -> None:
    store = MemoryStore()
    write(db, route(variant(1)), route(variant(1, weight=9000), variant(2, "candidate", 1000)))
    assert table.publish(db, store, 5)
    assert not table.publish(db, store, 6)
    snapshot = published(store)
    assert (snapshot.epoch, read_epoch(store)) == (2, 2)
    assert [v.weight for v in snapshot.endpoints["fraud"].variants] == [9000, 1000]
    assert snapshot.endpoints["fraud"].variants[0].signature == SIGNATURE


def test_a_withdrawn_endpoint_is_gone_but_its_history_stays(db: Database) -> None:
    store = MemoryStore()
    write(db, route(variant(1)), route())
    table.publish(db, store, 5)
    assert published(store).endpoints == {}
    with db.read() as connection:
        assert table.current_route(connection, "fraud") is None
        assert len(table.route_history(connection, "fraud")) == 2
        with pytest.raises(NotFound, match="nothing serves endpoint 'fraud'"):
            table.require_route(connection, "fraud")
    write(db, route(variant(2)))
    with db.read() as connection:
        assert table.require_route(connection, "fraud").epoch == 3


@pytest.mark.parametrize(
    "wrong",
    [
        route(variant(1, weight=9999)),
        route(variant(1), variant(2)),
        route(variant(1, weight=5000), variant(2, weight=5000)),
        route(variant(1, weight=11_000), variant(2, "candidate", -1000)),
        route(msgspec.structs.replace(variant(1), role="shadow")),
    ],
)
def test_weights_that_do_not_add_up_and_names_that_repeat_are_refused(db: Database, wrong: EndpointRoute) -> None:
    with pytest.raises(InputError):
        write(db, wrong)
    with db.read() as connection:
        assert table.current_routes(connection) == {}


def test_a_shadow_has_no_share(db: Database) -> None:
    shadow = msgspec.structs.replace(variant(2, "shadow", 10_000), role="shadow")
    write(db, route(variant(1), shadow))
    with db.read() as connection:
        assert table.current_route(connection, "fraud") is not None
