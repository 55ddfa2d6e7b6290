"""Consistency on real rooms: decisions are verified from what they rested on, whatever was applied since."""

from pathlib import Path
from typing import Any

import falaj as fj
from falaj.app.local_gateway import decide
from falaj.definitions.source import Source
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.consistency import ScheduledVerify, verify_served
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
        verifying = ScheduledVerify(world.rooms, every_s=60)
        for _ in range(2):
            world.clock.advance(59)
            verifying.run_pass(world.clock.now())
            with world.rooms.db.read() as connection:
                found = [one.verdict.kind for one in latest_verdicts(connection)]
        assert found == ["consistency"]
