"""Shadows in the routing table: set by one command, kept by rollouts, ended by what makes them decide."""

from collections.abc import Iterator

import msgspec
import pytest

from falaj.definitions.ensemble_spec import EnsembleSpec
from falaj.definitions.rollout import canary
from falaj.definitions.routing_table import ArtifactRef, Variant
from falaj.definitions.signature import InputSpec, Signature
from falaj.governance.access import Actor, Role
from falaj.governance.audit import list_records, verify
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import AccessDenied, Conflict, NotFound
from falaj.kernel.ids import id_maker
from falaj.rollout import table
from falaj.rollout.deploy import deploy, replace, withdraw
from falaj.rollout.evidence import Counts
from falaj.rollout.reconcile import reconcile
from falaj.rollout.rollback import roll_back
from falaj.rollout.shadow import end_shadow, latest_span, set_shadow
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.metadata.database import Database

ADA = Actor("ada", Role.ENGINEER)
PLAN = canary(steps=[10, 100], bake="1m", min_requests=1, deadline="1h")


def version(number: int) -> Variant:
    artifact = ArtifactRef(f"{number:064d}", "lightgbm")
    return Variant("", "fraud", number, 0, "live", artifact, Signature((InputSpec("amount", "float64"),)))


class Site:
    """An endpoint on a real database, with counters that only grow."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.store = MemoryStore()
        self.clock = ManualClock()
        self.new_id = id_maker(self.clock)
        self.counts = Counts()

    def publish(self) -> bool:
        return table.publish(self.db, self.store, 0)

    def deploy(self, number: int) -> None:
        deploy(
            self.db, self.clock, self.new_id, ADA, "fraud", version(number),
            plan=PLAN, read_counts=lambda _: {"candidate": self.counts}, publish=self.publish,
        )  # fmt: skip

    def step(self, errors: int = 0) -> None:
        """Let the candidate answer a hundred requests and be judged."""
        self.clock.advance(61)
        self.counts = self.counts.plus(Counts(100, errors, {}))
        reconcile(self.db, self.clock, lambda _: {"candidate": self.counts}, self.publish)

    def roll_back(self) -> None:
        roll_back(self.db, self.clock, ADA, "fraud", publish=self.publish)

    def shadow(self, number: int, weight: int = 2_000, by: Actor = ADA) -> None:
        set_shadow(self.db, self.clock, by, "fraud", version(number), weight, publish=self.publish)

    def end(self, by: Actor = ADA) -> None:
        end_shadow(self.db, self.clock, by, "fraud", publish=self.publish)

    def serves(self) -> list[tuple[str, int, int]]:
        with self.db.read() as connection:
            route = table.require_route(connection, "fraud")
        assert all((variant.name == "shadow") == (variant.role == "shadow") for variant in route.variants)
        return [(variant.name, variant.version, variant.weight) for variant in route.variants]


@pytest.fixture
def site(each_db: Database) -> Iterator[Site]:
    yield Site(each_db)
    verify(each_db)


SHADOW = ("shadow", 9, 2_000)


def test_a_shadow_is_set_replaced_and_ended_in_the_audit_trail(site: Site) -> None:
    site.deploy(1)
    site.shadow(9, 500)
    site.shadow(8, 10_000)
    assert site.serves() == [("champion", 1, 10_000), ("shadow", 8, 10_000)]
    site.end()
    assert site.serves() == [("champion", 1, 10_000)]
    found = [(one.action, one.actor, one.detail) for one in list_records(site.db)][:3]
    assert found == [
        ("endpoint.shadow_end", "ada", {"model": "fraud", "version": 8}),
        ("endpoint.shadow", "ada", {"model": "fraud", "version": 8, "weight": 1.0}),
        ("endpoint.shadow", "ada", {"model": "fraud", "version": 9, "weight": 0.05}),
    ]


def test_it_stays_through_canaries_promotions_aborts_and_rollbacks(site: Site) -> None:
    site.deploy(1)
    site.shadow(9)
    site.deploy(2)
    assert site.serves() == [("champion", 1, 9_000), ("candidate", 2, 1_000), SHADOW]
    site.step()
    assert site.serves() == [("champion", 1, 0), ("candidate", 2, 10_000), SHADOW]
    site.step()
    assert site.serves() == [("champion", 2, 10_000), SHADOW]
    site.roll_back()
    assert site.serves() == [("champion", 1, 10_000), SHADOW]
    site.deploy(3)
    site.roll_back()
    assert site.serves() == [("champion", 1, 10_000), SHADOW]


def test_one_that_is_set_or_ended_during_a_canary_is_so_after_it(site: Site) -> None:
    site.deploy(1)
    site.deploy(2)
    site.shadow(9)
    site.roll_back()
    assert site.serves() == [("champion", 1, 10_000), SHADOW]
    site.deploy(2)
    site.end()
    site.step()
    site.step()
    assert site.serves() == [("champion", 2, 10_000)]
    site.roll_back()
    assert site.serves() == [("champion", 1, 10_000)]


def test_a_version_that_decides_is_a_shadow_no_more(site: Site) -> None:
    site.deploy(1)
    site.shadow(2)
    site.deploy(2)
    assert site.serves() == [("champion", 1, 9_000), ("candidate", 2, 1_000)]
    site.step()
    site.step()
    site.shadow(1)  # what served before computes on, to be compared
    assert site.serves() == [("champion", 2, 10_000), ("shadow", 1, 2_000)]
    site.roll_back()
    assert site.serves() == [("champion", 1, 10_000)]


def test_what_makes_no_sense_is_refused(site: Site) -> None:
    with pytest.raises(NotFound, match="nothing serves"):
        site.shadow(9)
    site.deploy(1)
    with pytest.raises(Conflict, match="has no shadow"):
        site.end()
    with pytest.raises(Conflict, match="version 1 of model 'fraud' decides on endpoint 'fraud' already"):
        site.shadow(1)
    site.deploy(2)
    with pytest.raises(Conflict, match="version 2 of model 'fraud' decides"):
        site.shadow(2)
    site.shadow(9)
    with pytest.raises(Conflict, match="at that weight already"):
        site.shadow(9)
    viewer = Actor("eve", Role.VIEWER)
    with pytest.raises(AccessDenied):
        site.shadow(8, by=viewer)
    with pytest.raises(AccessDenied):
        site.end(by=viewer)
    assert site.serves()[-1] == SHADOW


def test_an_ensemble_has_no_shadow(site: Site) -> None:
    spec = EnsembleSpec("mean", ("a", "b"))
    together = msgspec.structs.replace(version(1), artifact=ArtifactRef("", "ensemble"), ensemble=spec)
    replace(site.db, site.clock, site.new_id, ADA, "fraud", together, publish=site.publish)
    with pytest.raises(Conflict, match="serves an ensemble, which has no shadow"):
        site.shadow(9)


def test_the_span_of_a_shadow_goes_through_changes_of_weight_and_of_what_decides(site: Site) -> None:
    def span() -> tuple[int, int, int | None]:
        with site.db.read() as connection:
            found = latest_span(connection, "fraud")
        assert (found.until_us is None) == (found.last_epoch is None)
        return found.variant.version, found.first_epoch, found.last_epoch

    site.deploy(1)
    with pytest.raises(NotFound, match="has had no shadow"):
        span()
    site.shadow(9)
    assert span() == (9, 2, None)
    site.shadow(9, 5_000)
    site.deploy(2)
    assert span() == (9, 2, None)
    site.end()
    site.roll_back()
    assert span() == (9, 2, 4)
    site.shadow(8)
    assert span() == (8, 7, None)
    withdraw(site.db, site.clock, ADA, "fraud", publish=site.publish)
    assert span() == (8, 7, 7)
    site.deploy(3)
    site.shadow(8)
    assert span() == (8, 10, None)
