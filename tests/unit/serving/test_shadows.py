"""Shadows: whatever their model does, callers get their answers, and what is left out is counted."""

import asyncio
import threading
import weakref
from functools import partial
from typing import Any

import pytest

from falaj.serving.shadows import ShadowThread
from support.serving_world import World, ask, route, variant

PATH = "/v1/endpoints/fraud/predict"
SHADOWED = route(variant(), variant("candidate", 2, 10_000, role="shadow"))


def versions(world: World, role: str) -> list[int]:
    return [record.version for record in world.sink.records if record.role == role]


def test_callers_are_answered_while_a_shadow_hangs_and_what_is_left_out_is_counted() -> None:
    world = World(SHADOWED)
    world.shadow_thread = []
    answers = [world.predict(ask(f"c{number}", 3.0)) for number in range(70)]
    assert [(status, body["model_version"], body["prediction"]) for status, body in answers] == [
        (200, 1, answers[0][1]["prediction"])
    ] * 70
    assert len(world.shadow_thread) == 1, "no second batch begins while the model hangs"
    assert world.stats.shadow_drops == 20
    assert versions(world, "shadow") == []

    work, done = world.shadow_thread.pop()
    world.shadow_thread = None
    work()
    done()
    world.turn()
    assert versions(world, "shadow") == [2] * 50
    assert world.stats.find("fraud", "candidate", 2, "shadow").requests == 50
    assert versions(world, "live") == [1] * 70
    world.predict(ask("c1"))
    assert world.stats.shadow_drops == 20, "there is room again"


def test_one_request_that_is_larger_than_the_room_is_taken_in_part() -> None:
    world = World(SHADOWED)
    assert world.predict([ask(f"c{number}") for number in range(60)])[0] == 200
    assert (len(versions(world, "shadow")), world.stats.shadow_drops) == (50, 10)


@pytest.mark.parametrize("poison", [13.0, 14.0])
def test_a_shadow_that_fails_fails_alone(poison: float) -> None:
    """The model raises at 13, and answers no number at 14; the champion does not look at the amount."""
    velocity = variant().signature.inputs[:1]
    champion = variant(signature=variant().signature.__class__(velocity))
    world = World(route(champion, variant("candidate", 2, 10_000, role="shadow")))
    answers = world.call_all([("POST", PATH, ask("c1", amount)) for amount in (5.0, poison, 6.0)])
    assert [(status, body["model_version"]) for status, body in answers] == [(200, 1)] * 3
    shadows = [record for record in world.sink.records if record.role == "shadow"]
    assert [record.score is None for record in shadows] == [False, True, False]
    assert world.stats.find("fraud", "champion", 1).errors == 0
    assert world.stats.find("fraud", "candidate", 2, "shadow").errors == 1


def test_a_shadow_of_the_same_features_does_not_read_them_again() -> None:
    world = World(SHADOWED)
    world.ingest(("c1", 1, 50.0, "AE"))
    reads: list[Any] = []
    reader = world.reader.read
    world.reader.read = lambda *given: reads.append(given) or reader(*given)  # type: ignore[method-assign,func-returns-value]
    world.predict(ask("c1", 3.0))
    live, shadow = world.sink.records
    assert len(reads) == 2, "a text means something else to another vocabulary"
    assert (live.features, live.applied_seq) == (shadow.features, shadow.applied_seq)

    reads.clear()
    signature = variant().signature.__class__(tuple(i for i in variant().signature.inputs if i.dtype != "string"))
    numbers = [variant(signature=signature), variant("candidate", 2, 10_000, role="shadow", signature=signature)]
    world.publish(route(*numbers, epoch=2))
    world.predict(ask("c1", 3.0))
    live, shadow = world.sink.records[-2:]
    assert len(reads) == 1
    assert (live.role, shadow.role) == ("live", "shadow")
    assert (live.features, live.statuses, live.applied_seq) == (shadow.features, shadow.statuses, shadow.applied_seq)


def test_the_thread_goes_on_after_a_fault_and_ends_nobody() -> None:
    ran: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        aside = ShadowThread(asyncio.get_running_loop())
        finished = asyncio.Event()
        aside(fail, lambda: ran.append("told of the fault"))
        aside(lambda: ran.append(threading.current_thread().name), finished.set)
        await finished.wait()

    asyncio.run(scenario())
    assert sorted(ran) == ["shadows", "told of the fault"]


@pytest.mark.parametrize("digest", ["damaged", "explosive"])
def test_a_shadow_that_cannot_be_loaded_is_left_out_and_what_decides_changes_all_the_same(
    digest: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(SHADOWED)
    broken = variant("shadow", 3, 10_000, role="shadow", digest=digest)
    world.publish(route(variant("champion", 2), broken, epoch=2))
    assert world.predict(ask())[1]["model_version"] == 2
    assert world.stats.load_failures == 1
    assert "endpoint 'fraud' serves without its shadow until its route changes: version 3 of model" in caplog.text
    assert versions(world, "shadow") == []
    assert world.snapshots.serving.failures == {}
    world.publish(route(variant("champion", 2), variant("shadow", 1, 10_000, role="shadow"), epoch=3))
    world.predict(ask())
    assert versions(world, "shadow") == [1]


def held_by_the_work(_model: object) -> None:
    """Compute nothing."""


def test_the_thread_holds_nothing_of_what_it_did() -> None:
    class Model:
        pass

    async def scenario() -> weakref.ref[Model]:
        aside, finished, model = ShadowThread(asyncio.get_running_loop()), asyncio.Event(), Model()
        held = weakref.ref(model)
        aside(partial(held_by_the_work, model), finished.set)
        del model
        await finished.wait()
        while held() is not None:  # the thread lets go when the loop was told
            await asyncio.sleep(0.001)
        return held

    assert asyncio.run(asyncio.wait_for(scenario(), 10))() is None
