"""Rollouts on a real database and store: up by evidence, down at once, and killed anywhere without harm."""

from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest
import sqlalchemy as sa

from falaj.definitions.rollout import Canary, canary, error_ratio, p99_ms
from falaj.definitions.routing_table import ArtifactRef, RoutingTable, Variant
from falaj.definitions.signature import InputSpec, Signature
from falaj.governance.access import Actor, Role
from falaj.governance.audit import list_records, verify
from falaj.kernel.clock import ManualClock
from falaj.kernel.codec import from_msgpack
from falaj.kernel.errors import AccessDenied, Conflict, NotFound, StorageError
from falaj.kernel.ids import id_maker
from falaj.rollout import rollouts, table
from falaj.rollout.canary import replay
from falaj.rollout.deploy import deploy, withdraw
from falaj.rollout.evidence import Counts
from falaj.rollout.reconcile import reconcile
from falaj.rollout.rollback import roll_back
from falaj.rollout.rollouts import Rollout
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.snapshots import read_snapshot
from falaj.storage.metadata.database import Database

ADA = Actor("ada", Role.ENGINEER)
PLAN = canary(steps=[10, 50, 100], bake="10m", abort_if=[error_ratio > 0.05, p99_ms > 10], deadline="1h")


def version(number: int) -> Variant:
    artifact = ArtifactRef(f"{number:064d}", "lightgbm")
    return Variant("", "fraud", number, 0, "live", artifact, Signature((InputSpec("amount", "float64"),)))


class Site:
    """A project with one endpoint: its database, its store, and counters that a test sets."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.store = MemoryStore()
        self.clock = ManualClock()
        self.counters: dict[str, Counts] = {}
        self.new_id = id_maker(self.clock)

    def read_counts(self, endpoint: str) -> Mapping[str, Counts]:
        del endpoint
        return self.counters

    def publish(self) -> bool:
        return table.publish(self.db, self.store, 0)

    def deploy(self, number: int, plan: Canary = PLAN, actor: Actor = ADA) -> Rollout:
        return deploy(
            self.db, self.clock, self.new_id, actor, "fraud", version(number),
            plan=plan, read_counts=self.read_counts, publish=self.publish,
        )  # fmt: skip

    def roll_back(self) -> Rollout:
        return roll_back(self.db, self.clock, ADA, "fraud", publish=self.publish, reason="it is worse")

    def served(self, total: int, errors: int = 0, slow: int = 0) -> None:
        """Add to the candidate's counters."""
        now = self.counters.get("candidate", Counts())
        self.counters["candidate"] = now.plus(Counts(total, errors, {10.0: slow}))

    def turn(self, minutes: float = 10.0, publish: Callable[[], object] | None = None) -> list[str]:
        """Let time pass, then run one pass; return what it did."""
        self.clock.advance(60 * minutes)
        verdicts = reconcile(self.db, self.clock, self.read_counts, publish or self.publish)
        return [verdict.evidence["action"] for verdict in verdicts]

    def weights(self) -> dict[int, int]:
        """What gateways are told: version to weight."""
        raw = read_snapshot(self.store, "routing")
        assert raw is not None
        routes = from_msgpack(raw, RoutingTable).endpoints
        return {v.version: v.weight for v in routes["fraud"].variants} if routes else {}

    def rollout(self) -> Rollout:
        with self.db.read() as connection:
            return rollouts.history(connection, "fraud")[0]


@pytest.fixture
def site(each_db: Database) -> Iterator[Site]:
    yield Site(each_db)
    verify(each_db)


def test_the_first_version_takes_all_traffic_at_once(site: Site) -> None:
    assert site.deploy(1).status == "promoted"
    assert site.weights() == {1: 10_000}
    assert site.turn() == []


def test_a_healthy_version_goes_up_and_takes_over(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    seen = [site.weights()]
    for _ in range(3):
        assert site.turn(minutes=1) == ["hold"]
        site.served(300, errors=2)
        site.turn(minutes=9)
        seen.append(site.weights())
    assert seen == [{1: 9000, 2: 1000}, {1: 5000, 2: 5000}, {1: 0, 2: 10_000}, {2: 10_000}]
    assert site.rollout().status == "promoted"
    with site.db.read() as connection:
        route = table.require_route(connection, "fraud")
        assert [(v.name, v.weight) for v in route.variants] == [("champion", 10_000)]
        assert route.thresholds_ms == (10.0,)
        kept = rollouts.decisions(connection, site.rollout().id)
    assert [d.action for d in kept] == ["hold", "advance", "hold", "advance", "hold", "promote"]
    assert [replay(decision) for decision in kept] == kept
    actions = [record.action for record in list_records(site.db)]
    assert actions == ["rollout.promote", "rollout.advance", "rollout.advance", "endpoint.deploy", "endpoint.deploy"]


def test_each_step_counts_from_its_own_beginning(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    site.served(1000)
    assert site.turn() == ["advance"]
    assert site.turn() == ["hold"]  # nothing new since the step began
    site.served(100)
    assert site.turn(minutes=0) == ["advance"]


def test_counters_of_an_earlier_try_do_not_count(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    site.served(400, errors=200)
    assert site.turn(minutes=0) == ["abort"]
    site.deploy(3)
    assert site.turn(minutes=0) == ["hold"]
    site.served(400)
    assert site.turn() == ["advance"]


@pytest.mark.parametrize(("errors", "slow"), [(60, 0), (0, 40)])
@pytest.mark.parametrize("after_steps", [0, 1, 2])
def test_a_bad_version_is_stopped_at_once_at_any_step(site: Site, errors: int, slow: int, after_steps: int) -> None:
    site.deploy(1)
    site.deploy(2)
    for _ in range(after_steps):
        site.served(300)
        site.turn()
    site.served(300, errors=errors, slow=slow)
    assert site.turn(minutes=0) == ["abort"]
    assert site.weights() == {1: 10_000}
    assert site.rollout().status == "aborted"
    assert site.turn() == []


def test_no_data_holds_and_then_rolls_back(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    for _ in range(5):
        assert site.turn() == ["hold"]
    assert site.turn() == ["roll_back"]
    assert site.weights() == {1: 10_000}
    with site.db.read() as connection:
        kept = rollouts.decisions(connection, site.rollout().id)
    assert [decision.action for decision in kept] == ["hold", "roll_back"]  # the same hold is kept once


def test_rollback_while_it_runs_and_after_it_won(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    assert site.roll_back().candidate.version == 2
    assert site.weights() == {1: 10_000}
    site.deploy(3, plan=canary(steps=[100], bake="0s", min_requests=1))
    site.served(1)
    assert site.turn() == ["promote"]
    assert site.weights() == {3: 10_000}
    undone = site.roll_back()
    assert (undone.candidate.version, undone.status, undone.reason) == (3, "rolled_back", "it is worse")
    assert site.weights() == {1: 10_000}
    with pytest.raises(Conflict, match="nothing served endpoint 'fraud' before"):
        site.roll_back()
    (record,) = list_records(site.db, action="endpoint.rollback", limit=1)
    assert (record.actor, record.detail) == ("ada", {"from": 3, "to": [1], "reason": "it is worse"})


def test_only_one_rollout_at_a_time_and_not_of_what_serves(site: Site) -> None:
    site.deploy(1)
    with pytest.raises(Conflict, match="serves endpoint 'fraud' already"):
        site.deploy(1)
    site.deploy(2)
    with pytest.raises(Conflict, match="version 2 is being rolled out on endpoint 'fraud' already"):
        site.deploy(3)
    with pytest.raises(sa.exc.IntegrityError), site.db.write() as connection:
        row = connection.execute(sa.select(rollouts.ROLLOUT).where(rollouts.ROLLOUT.c.status == "running")).one()
        connection.execute(rollouts.ROLLOUT.insert().values(**{**row._mapping, "id": "another", "seq": 99}))


def test_several_live_variants_are_no_baseline(site: Site) -> None:
    site.deploy(1)
    with site.db.write() as connection:
        route = table.require_route(connection, "fraud")
        half = msgspec.structs.replace(route.variants[0], weight=5000)
        both = (half, msgspec.structs.replace(half, name="other", version=7))
        table.write_route(connection, msgspec.structs.replace(route, variants=both), "ada", 0)
    with pytest.raises(Conflict, match="2 live variants"):
        site.deploy(3)


def test_who_may_not_deploy_cannot(site: Site) -> None:
    with pytest.raises(AccessDenied):
        site.deploy(1, actor=Actor("eve", Role.VIEWER))
    with pytest.raises(AccessDenied):
        roll_back(site.db, site.clock, Actor("eve", Role.VIEWER), "fraud", publish=site.publish)
    with pytest.raises(NotFound, match="nothing serves"):
        site.roll_back()


def test_withdrawing_ends_what_runs(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    withdraw(site.db, site.clock, ADA, "fraud", publish=site.publish)
    assert site.weights() == {}
    assert site.rollout().status == "withdrawn"
    assert site.turn() == []
    assert site.deploy(3).status == "promoted"


def test_death_between_the_write_and_the_publication(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    site.served(300, errors=100)

    def dies() -> None:
        raise StorageError("killed here")

    with pytest.raises(StorageError):
        site.turn(publish=dies)
    assert site.weights() == {1: 9000, 2: 1000}  # not out yet
    assert site.turn() == []  # nothing left to judge, but the pass publishes what the dead one wrote
    assert site.weights() == {1: 10_000}


def test_a_person_who_rolls_back_in_between_wins(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    site.served(300)
    real = site.read_counts
    done: list[Rollout] = []

    def interrupted(endpoint: str) -> Mapping[str, Counts]:
        if not done:
            done.append(site.roll_back())
        return real(endpoint)

    site.clock.advance(600)
    assert reconcile(site.db, site.clock, interrupted, site.publish) == []
    assert site.weights() == {1: 10_000}
    assert site.rollout().status == "rolled_back"


def test_counters_that_began_anew_count_from_zero(site: Site) -> None:
    site.deploy(1)
    site.served(5000)
    site.deploy(2)
    site.counters["candidate"] = Counts(200, 100, {10.0: 0})
    assert site.turn(minutes=0) == ["abort"]
