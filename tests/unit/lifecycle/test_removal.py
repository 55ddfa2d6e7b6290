"""Removal: nothing that is used goes, what goes is gone, and what is said of it stays."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from falaj.definitions.policy import Policy
from falaj.definitions.routing_table import ArtifactRef
from falaj.governance.access import Actor, Role
from falaj.kernel.errors import AccessDenied, Conflict, FalajError, InputError, InUse, NotFound
from falaj.lifecycle.promotion import Promotions, roll_back_endpoint, withdraw_endpoint
from falaj.lifecycle.removal import remove_versions
from falaj.models.version import ModelVersion
from falaj.rollout import table
from support.rooms_world import ADA, EVE, World, definitions, endpoint, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path, definitions(endpoint(), policy=Policy(soak="1h"))) as found:
        yield found


def remove(world: World, number: int | None, by: Actor = ADA) -> list[int]:
    return remove_versions(world.rooms, by, "fraud", number)


def made(world: World) -> ModelVersion:
    """Register a version whose file is its own."""
    number = len(world.rooms.registry.versions("fraud")) + 1
    native = ArtifactRef(world.rooms.blobs.put(b"native file of version %d" % number), "lightgbm")
    return world.register(artifacts={"native": native})


def test_a_calibration_goes_with_its_version(world: World) -> None:
    map_ = world.rooms.blobs.put(b"what makes probabilities")
    native = ArtifactRef(world.rooms.blobs.put(b"a native file"), "lightgbm", calibration=map_)
    world.register(artifacts={"native": native})
    assert remove(world, 1) == [1]
    assert not world.rooms.blobs.exists(map_)


def bring(world: World) -> ModelVersion:
    """Let a new version win the traffic."""
    version = made(world)
    world.approve(version)
    world.deploy(version)
    world.clock.advance(3600)
    Promotions(world.rooms).run_pass(world.clock.now())
    if len(world.serving()) == 2:
        world.promote(version)
    assert world.serving() == {version.version: 100}
    return version


def test_what_is_used_stays(world: World) -> None:
    one, two, three = bring(world), bring(world), made(world)
    for version, why in ((two, "serves endpoint 'fraud'"), (one, "is what a rollback of endpoint 'fraud' returns to")):
        with pytest.raises(InUse, match=why):
            remove(world, version.version)
    world.deploy(three)
    with pytest.raises(InUse, match="is wanted on endpoint 'fraud'"):
        remove(world, three.version)
    world.approve(three)
    world.deploy(three)
    with pytest.raises(InUse, match="is wanted"):
        remove(world, three.version)
    world.clock.advance(3600)
    Promotions(world.rooms).run_pass(world.clock.now())
    assert len(world.serving()) == 2
    for version in (two, three):
        with pytest.raises(InUse, match="serves endpoint"):
            remove(world, version.version)
    with pytest.raises(InUse, match="rollback"):  # of the second, should the canary be given up
        remove(world, 1)
    world.promote(three)
    assert remove(world, 1) == [1]


def test_nothing_goes_out_between_the_look_and_the_mark(world: World) -> None:
    """Another thread deploys the version in the very moment: it waits, or the removal sees it; never neither."""
    version = made(world)
    world.approve(version)
    found: list[Exception] = []

    def removing() -> None:
        try:
            remove(world, version.version)
        except FalajError as error:
            found.append(error)

    with world.rooms.promoting:
        other = Thread(target=removing)
        other.start()
        other.join(0.2)
        assert other.is_alive(), "it waits for whoever promotes"
        assert not world.rooms.registry.get("fraud", version.version).removed
    other.join(30)
    assert (found, world.rooms.registry.get("fraud", version.version).removed) == ([], True)


def test_a_shadow_is_a_use(world: World) -> None:
    bring(world)
    shadow = made(world)
    with world.rooms.db.write() as connection:
        route = table.require_route(connection, "fraud")
        (live,) = route.variants
        beside = msgspec.structs.replace(live, name="shadow", role="shadow", version=shadow.version)
        table.write_route(connection, msgspec.structs.replace(route, variants=(live, beside)), "ada", 0)
    with pytest.raises(InUse, match="computes in the shadow of endpoint 'fraud'"):
        remove(world, shadow.version)


def test_what_is_removed_is_gone_and_what_is_said_of_it_stays(world: World) -> None:
    one, two = made(world), made(world)
    report = one.gate_digest
    assert remove(world, 1) == [1]
    blobs = world.rooms.blobs
    assert not blobs.exists(one.artifacts["native"].digest)
    assert blobs.exists(two.artifacts["native"].digest) and blobs.exists(two.artifact.digest)  # shared by both
    assert one.artifact.digest == two.artifact.digest
    assert blobs.exists(report)
    found = world.rooms.registry.get("fraud", 1)
    assert (found.removed, found.gate_digest) == (True, report)
    for number in (1, 9):
        with pytest.raises(NotFound, match="has no version"):
            remove(world, number)
    with pytest.raises(Conflict, match="was removed"):
        world.deploy(1)
    assert made(world).version == 3


def test_a_rollback_does_not_return_to_what_was_removed(world: World) -> None:
    for _ in range(3):
        bring(world)
    assert remove(world, 1) == [1]
    roll_back_endpoint(world.rooms, "fraud", ADA, "worse")
    assert world.serving() == {2: 100}
    with pytest.raises(Conflict, match="version 1, which served endpoint 'fraud' before, was removed"):
        roll_back_endpoint(world.rooms, "fraud", ADA, "worse still")
    assert world.serving() == {2: 100}


def test_after_an_endpoint_was_withdrawn_all_may_go(world: World) -> None:
    one = bring(world)
    withdraw_endpoint(world.rooms, "fraud", ADA)
    assert remove(world, one.version) == [1]


@pytest.mark.parametrize(
    ("number", "by", "refusal"),
    [(None, ADA, InputError), (1, Actor("viewer", Role.VIEWER), AccessDenied), (1, EVE, AccessDenied)],
)
def test_who_may_not_or_says_not_which_is_refused(
    world: World, number: int | None, by: Actor, refusal: type[FalajError]
) -> None:
    made(world)
    with pytest.raises(refusal):
        remove(world, number, by)
    assert not world.rooms.registry.get("fraud", 1).removed
