"""Decisions without a gateway: the same answers and records, from as many callers as there are."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import falaj as fj
from falaj.app.local_gateway import decide
from falaj.app.operations.prediction import features_of, predict
from falaj.app.operations.project import apply
from falaj.app.operations.source import push
from falaj.app.values.prediction import LocalPredict
from falaj.app.values.project import PlanQuery
from falaj.app.values.source import Push
from falaj.features.online import OnlineReader
from falaj.governance.access import Actor, Role
from falaj.kernel.clock import to_us
from falaj.kernel.errors import FalajError, InputError, NotFound
from falaj.kernel.settings import Settings, StorageSettings
from falaj.lifecycle.catch_up import catch_up
from falaj.lifecycle.consistency import verify_served
from support.rooms_world import ADA, World, definitions, endpoint, event, model, opened, view

OWNER = Actor("owner", Role.OWNER)
INSTANCE = {"entities": {"card_id": "c1"}, "request": {"amount": 20.0}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project whose version serves, and a card that was seen five times."""
    with opened(tmp_path, definitions()) as found:
        version = found.register()
        found.approve(version)
        found.deploy(version)
        found.push(*(event(number) for number in range(5)))
        catch_up(found.rooms)
        found.clock.advance(3600)
        yield found


def test_each_answer_is_logged(world: World) -> None:
    answers = decide(world.rooms, ADA, "fraud", [INSTANCE, INSTANCE])
    for answer in answers:
        record = world.rooms.predictions.find(answer["request_id"])
        assert (record.score, record.actor, record.variant) == (answer["prediction"], "ada", "champion")
        assert record.features == [5, 10.0, 20.0]
    assert len({answer["request_id"] for answer in answers}) == 2


def test_what_is_wrong_is_told_and_nothing_is_decided(world: World) -> None:
    with pytest.raises(NotFound):
        decide(world.rooms, ADA, "other", [INSTANCE])
    with pytest.raises(InputError):
        decide(world.rooms, ADA, "fraud", [INSTANCE, {"entities": {}, "request": {"amount": 1.0}}])
    with pytest.raises(InputError, match="no instances"):
        decide(world.rooms, ADA, "fraud", [])
    assert world.rooms.predictions.compact().predictions <= 1


def test_callers_do_not_hinder_each_other(world: World) -> None:
    answers: list[dict[str, Any]] = []
    failed: list[FalajError] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        for _ in range(5):
            try:
                answers.extend(predict(world.rooms, ADA, LocalPredict("fraud", [INSTANCE])))
            except FalajError as error:
                failed.append(error)

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failed == []
    assert len({answer["request_id"] for answer in answers}) == 20
    assert world.rooms.predictions.compact().predictions == 20


def test_a_push_names_the_views_that_are_still_being_backfilled(world: World) -> None:
    again = view(seen=fj.count(window="3d"), amount_mean=fj.mean("amount", window="7d"))
    apply(world.rooms, OWNER, PlanQuery(definitions(endpoint(of=model(over=again)))))
    done = push(world.rooms, OWNER, Push("tx", [event(9, at="2026-01-05T00:30:00Z", known=None)], "applied"))
    assert (done.applied, done.behind) == (True, ("activity",))
    catch_up(world.rooms)
    assert world.rooms.applier.behind("tx") == []
    spec = world.rooms.applied.document.services["fraud_features"]
    rows = OnlineReader(world.rooms.online).read(spec, [{"card_id": "c1"}], [to_us(world.clock.now())])
    assert rows.values[0][0] == 6


def test_a_policy_holds_here_too_and_readers_say_what_it_kept_out(world: World) -> None:
    world.rooms.settings = Settings(storage=StorageSettings(redaction_key="long and random"))
    kept = fj.prediction_log(redact={"card_id": "hash", "amount": "drop"})
    apply(world.rooms, OWNER, PlanQuery(definitions(msgspec.structs.replace(endpoint(), prediction_log=kept))))
    (answer,) = decide(world.rooms, ADA, "fraud", [INSTANCE])
    record = world.rooms.predictions.find(answer["request_id"])
    assert record.features == [5, 10.0, {"redacted": "drop"}]
    assert record.score == answer["prediction"]
    version = world.rooms.registry.get(record.model, record.version)
    told = features_of(record, version)
    assert [(one.name, one.value, one.status) for one in told][2] == ("amount", "redacted", "REDACTED")
    report = verify_served(world.rooms, "fraud", 10)
    assert (report.compared, report.skipped) == (0, {"its entity is redacted": 1})
