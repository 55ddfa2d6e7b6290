"""Consistency on real rooms: decisions are verified from what they rested on, whatever was applied since."""

from pathlib import Path
from typing import Any

import pytest

import falaj as fj
from falaj.app.local_gateway import decide
from falaj.definitions.source import Source
from falaj.kernel.settings import ConsistencySettings, Settings
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.consistency import ScheduledVerify, last_check, verify_served
from falaj.lifecycle.promotion import withdraw_endpoint
from falaj.monitoring.verdicts import latest_verdicts
from support.rooms_world import ADA, SCHEMA, World, definitions, endpoint, event, model, opened, view


def decided(world: World) -> list[dict[str, Any]]:
    """Let a version serve and decide about a card that was seen."""
    world.push(*(event(number) for number in range(5)))
    version = world.register()
    world.approve(version)
    world.deploy(version)
    catch_up(world.rooms)
    world.clock.advance(3600)
    instance = {"entities": {"card_id": "c1"}, "request": {"amount": 20.0}}
    return decide(world.rooms, ADA, "fraud", [instance] * 10)


def test_decisions_are_verified_after_their_source_is_gone(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        decided(world)
        assert verify_served(world.rooms, "", 100).verdict.outcome == "PASS"
        withdraw_endpoint(world.rooms, "fraud", ADA)
        other = Source("other", stream=fj.Push(), id="id", timestamp="at", created="known", schema=SCHEMA)
        world.apply(definitions(endpoint(of=model(over=view(other)))))
        report = verify_served(world.rooms, "", 100)
        assert (report.verdict.outcome, report.decisions) == ("PASS", 10)


def test_nothing_to_verify_proves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        assert verify_served(world.rooms, "", 100).verdict.outcome == "INCONCLUSIVE"


def test_a_sample_is_of_the_newest(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        decided(world)
        assert verify_served(world.rooms, "fraud", 3).decisions == 3
        assert verify_served(world.rooms, "other", 3).decisions == 0


def test_it_is_verified_now_and_then(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        verifying = ScheduledVerify(world.rooms)
        for seconds, checks in ((299, 0), (2, 1)):
            world.clock.advance(seconds)
            verifying.run_pass(world.clock.now())
            with world.rooms.db.read() as connection:
                found = [one.verdict.kind for one in latest_verdicts(connection)]
            assert found == ["consistency"] * checks


def test_the_schedule_can_be_set_and_turned_off(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        decided(world)
        world.rooms.settings = Settings(consistency=ConsistencySettings(every_s=10, decisions=3))
        verifying = ScheduledVerify(world.rooms)
        world.clock.advance(11)
        verifying.run_pass(world.clock.now())
        found = last_check(world.rooms)
        assert found is not None
        assert (found.outcome, found.evidence["decisions"]) == ("PASS", 3)
        world.rooms.settings = Settings(consistency=ConsistencySettings(enabled=False))
        off = ScheduledVerify(world.rooms)
        world.clock.advance(10_000)
        off.run_pass(world.clock.now())
        assert last_check(world.rooms) == found
    with pytest.raises(ValueError, match="every_s"):
        ConsistencySettings(every_s=0)


def test_the_last_check_is_known_though_it_found_the_same(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        assert last_check(world.rooms) is None
        decided(world)
        seen = []
        for _ in range(2):
            verify_served(world.rooms, "", 100)
            verify_served(world.rooms, "fraud", 1)
            found = last_check(world.rooms)
            assert found is not None
            seen.append((found.subject, found.at_us, found.evidence["decisions"]))
            world.clock.advance(60)
        assert seen[1] == ("all endpoints", seen[0][1] + 60_000_000, 10)
        world.rooms.last_check = None  # as in a process that has just begun
        assert last_check(world.rooms) is not None
