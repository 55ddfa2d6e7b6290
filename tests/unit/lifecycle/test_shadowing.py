"""A version in the shadow: who may be one, what becomes of it, and what is told of it afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import falaj as fj
from falaj.app.operations.endpoint import deploy as deploy_operation
from falaj.app.operations.model import train
from falaj.app.operations.prediction import why
from falaj.app.operations.shadow import end_shadow, set_shadow, show
from falaj.app.operations.status import status
from falaj.app.values.endpoint import Deploy
from falaj.app.values.model import Train
from falaj.app.values.prediction import WhyQuery
from falaj.app.values.shadow import EndShadow, SetShadow, ShadowQuery, ShadowReport, ShadowSet
from falaj.app.values.status import StatusQuery
from falaj.definitions.prediction_record import FeedbackRecord, PredictionRecord
from falaj.definitions.routing_table import Variant
from falaj.governance.access import Actor, Role
from falaj.kernel.clock import to_us
from falaj.kernel.errors import AccessDenied, Conflict, InputError, InUse, NotFound
from falaj.lifecycle.apply import views_in_force
from falaj.lifecycle.promoted import WAITS
from falaj.lifecycle.promotion import Promotions, roll_back_endpoint
from falaj.lifecycle.removal import remove_versions
from falaj.models.gate_report import Outcome
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import RunState
from falaj.pipelines.submission import end_run
from falaj.rollout import table
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.stats import WorkerStats, write_stats
from falaj.storage.eventlog.segments import SegmentWriter
from support.rooms_world import ADA, EVE, World, definitions, endpoint, event, model, opened, view


def variants(world: World, name: str = "fraud") -> list[Variant]:
    with world.rooms.db.read() as connection:
        return list(table.require_route(connection, name).variants)


def shadow(world: World, version: int, weight: float = 1.0, by: Actor = ADA, to: str = "fraud") -> ShadowSet:
    return set_shadow(world.rooms, by, SetShadow(to, version, weight))


def trained(world: World) -> ModelVersion:
    """A version of a run of its own."""
    run_id = train(world.rooms, ADA, Train("fraud")).run_id
    with world.rooms.db.write() as connection:
        end_run(connection, run_id, RunState.SUCCEEDED, to_us(world.clock.now()), None)
    return world.register(run_id=run_id)


def serve(world: World) -> None:
    """Let version 1 decide."""
    first = trained(world)
    world.approve(first)
    world.deploy(first)


@pytest.mark.parametrize("gate", [Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS])
def test_it_needs_a_gate_report_and_neither_a_pass_nor_an_approval(world: World, gate: Outcome) -> None:
    serve(world)
    world.register(gate=gate)
    assert shadow(world, 2, 0.2) == ShadowSet("fraud", 2, 0.2)
    found = variants(world)
    assert [(one.name, one.version, one.role, one.weight) for one in found] == [
        ("champion", 1, "live", 10_000), ("shadow", 2, "shadow", 2_000),
    ]  # fmt: skip
    assert world.stages() == {1: "production", 2: "development"}
    assert end_shadow(world.rooms, ADA, EndShadow("fraud")) == ShadowSet("fraud", 2, 0.0)
    assert world.serving() == {1: 100}


@pytest.mark.parametrize("weight", [0.0, -0.1, 1.0001, 20.0, 0.00001, 1e308, float("nan"), float("inf")])
def test_a_weight_that_is_no_share_is_refused(world: World, weight: float) -> None:
    serve(world)
    world.register()
    with pytest.raises(InputError, match="is no share of units"):
        shadow(world, 2, weight)


def test_what_makes_no_sense_is_refused(world: World) -> None:
    world.register()
    with pytest.raises(NotFound, match="nothing serves"):
        shadow(world, 1)
    world.approve(world.rooms.registry.get("fraud", 1))
    world.deploy(1)
    with pytest.raises(NotFound):
        shadow(world, 9)
    with pytest.raises(NotFound, match="endpoint 'nowhere' does not exist"):
        shadow(world, 1, to="nowhere")
    with pytest.raises(Conflict, match="decides on endpoint 'fraud' already"):
        shadow(world, 1)
    refused = world.register()
    asked = world.rooms.approvals.request("model", refused.subject, ADA)
    world.rooms.approvals.reject(asked.id, EVE, comment="it looks at names")
    with pytest.raises(Conflict, match="was refused by eve: it looks at names"):
        shadow(world, 2)
    world.register()
    with pytest.raises(AccessDenied):
        shadow(world, 3, by=EVE)
    with pytest.raises(AccessDenied):
        shadow(world, 3, by=Actor("ada", Role.ENGINEER, ("endpoint.shadow@other",)))
    assert shadow(world, 3, by=Actor("ada", Role.ENGINEER, ("endpoint.shadow@fraud",))).version == 3


def test_what_computes_in_the_shadow_is_not_removed_and_what_was_removed_is_no_shadow(world: World) -> None:
    serve(world)
    world.register()
    shadow(world, 2)
    with pytest.raises(InUse, match="computes in the shadow of endpoint 'fraud'") as refused:
        remove_versions(world.rooms, ADA, "fraud", 2)
    assert refused.value.hint == "first: falaj shadow fraud --end"
    end_shadow(world.rooms, ADA, EndShadow("fraud"))
    remove_versions(world.rooms, ADA, "fraud", 2)
    with pytest.raises(Conflict, match="version 2 of model 'fraud' was removed"):
        shadow(world, 2)


def test_an_ensemble_has_no_shadow_and_its_members_have(tmp_path: Path) -> None:
    one, other = endpoint("one", model("first")), endpoint("other", model("second"))
    blend = fj.Ensemble("blend", fj.mean_of([one, other]))
    with opened(tmp_path, definitions(one, other, more=[blend])) as world:
        for name, of in (("one", "first"), ("other", "second")):
            version = world.register(of)
            world.approve(version)
            world.deploy(version, to=name)
            world.register(of)
        shadow(world, 2, to="one")
        assert deploy_operation(world.rooms, ADA, Deploy("blend")).state == "serves"
        with pytest.raises(Conflict, match="'blend' is an ensemble, which has no shadow"):
            shadow(world, 2, to="blend")


def test_what_callers_do_not_send_it_cannot_take(world: World) -> None:
    serve(world)
    service = fj.FeatureService("fraud_features", [view(), fj.request("amount", "float64"), fj.request("id", "string")])
    world.apply(definitions(endpoint(of=model(features=service))))
    world.register()
    with pytest.raises(Conflict, match=r"takes 'id' \(string\), which callers do not send"):
        shadow(world, 2)


def watch(world: World, window: str) -> None:
    """Let the view of the next version look at another window."""
    features: dict[str, Any] = {"seen": fj.count(window=window), "amount_mean": fj.mean("amount", window="7d")}
    world.apply(definitions(endpoint(of=model(over=view(**features)))))


def test_its_views_are_kept_and_filled_before_it_computes(world: World) -> None:
    serve(world)
    old = world.rooms.applied.document.views["activity"].digest
    watch(world, "2d")
    world.push(*(event(number) for number in range(5)))
    changed = world.rooms.applied.document.views["activity"].digest
    world.register()  # pins two days
    watch(world, "3d")

    def kept() -> set[str]:
        return {spec.digest for spec in views_in_force(world.rooms)["tx"]}

    assert old in kept()
    assert changed not in kept()
    shadow(world, 2)
    assert changed in kept()
    assert [(one.version, one.weight) for one in variants(world)] == [(1, 10_000), (2, 10_000)]
    end_shadow(world.rooms, ADA, EndShadow("fraud"))
    assert changed not in kept()


def test_the_shadowed_version_can_be_deployed_and_a_rollback_does_not_bring_the_shadow_back(world: World) -> None:
    serve(world)
    second = world.register()
    shadow(world, 2)
    assert world.deploy(second).state == WAITS
    assert [one.role for one in variants(world)] == ["live", "shadow"]
    world.approve(second)
    Promotions(world.rooms).run_pass(world.clock.now())
    assert [(one.name, one.version) for one in variants(world)] == [("champion", 1), ("candidate", 2)]
    world.promote(second)
    assert world.stages() == {1: "archived", 2: "production"}
    roll_back_endpoint(world.rooms, "fraud", ADA, "worse")
    assert world.serving() == {1: 100}


def test_a_shadow_alone_keeps_no_version_in_production(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        serve(world)
        world.register()
        shadow(world, 2)
        world.push(*(event(number) for number in range(3)))
        assert world.production() == 1


def log(world: World, folder: str, *records: Any) -> None:
    written = PredictionLog(SegmentWriter(world.rooms.state.log / "predictions", folder), world.clock)
    written.append(list(records))
    written.close()


def decided(world: World, number: int, role: str, version: int, score: float | None, epoch: int) -> PredictionRecord:
    at_us = to_us(world.clock.now())
    name = {"live": "champion"}.get(role, role)
    return PredictionRecord(
        f"req_{number}", "", "fraud", name, role, "fraud", version, epoch, "u", at_us, at_us, 9, {}, {}, [], {}, {},
        score, error="" if score is not None else "internal",
    )  # fmt: skip


def report(world: World, by: Actor = EVE) -> ShadowReport:
    return show(world.rooms, by, ShadowQuery("fraud"))


def test_how_it_does_is_told_by_the_requests_that_both_were_asked_about(world: World) -> None:
    serve(world)
    with pytest.raises(NotFound, match="has had no shadow"):
        report(world)
    world.register(threshold=0.4)
    shadow(world, 2, 0.5)
    assert report(world).beside == ()
    rng = np.random.default_rng(5)
    labels = rng.random(300) < 0.5
    scores = np.clip(np.where(labels, 0.6, 0.4) + rng.normal(0, 0.1, 300), 0, 1)
    records: list[Any] = [decided(world, number, "live", 1, float(scores[number]), 2) for number in range(300)]
    records += [decided(world, number, "shadow", 2, float(scores[number]) - 0.1, 2) for number in range(200)]
    records += [decided(world, 200, "shadow", 2, None, 2), decided(world, 201, "shadow", 2, 0.5, 1)]
    at_us = to_us(world.clock.now())
    records += [FeedbackRecord(f"req_{n}", float(labels[n]), at_us + 2 * 86_400_000_000, at_us) for n in range(150)]
    log(world, "gateway-0", *records)
    found = report(world)
    assert (found.shadow.version, found.shadow.weight_percent, found.until_us) == (2, 50.0, None)
    (beside,) = found.beside
    one = beside.comparison
    assert (beside.version, one.requests, one.both, one.shadow_failed, one.live_failed) == (1, 201, 200, 1, 0)
    assert one.difference is not None
    assert one.difference.mean == pytest.approx(-0.1)
    assert one.difference.p99_size == pytest.approx(0.1)
    # Each decides by its own threshold: 0.1 less, from 0.1 lower on, is the same decision.
    assert one.changed is not None
    assert one.changed.value == 0.0
    assert one.changed.upper > 0
    assert (one.shadow_quality.labelled, one.live_quality.labelled) == (150, 150)
    assert one.shadow_quality.metrics["auc"] == one.live_quality.metrics["auc"]
    end_shadow(world.rooms, ADA, EndShadow("fraud"))
    assert report(world).until_us is not None
    assert report(world).beside == found.beside


def test_status_shows_it_and_counts_its_work_as_cost_and_not_as_decisions(world: World) -> None:
    serve(world)
    trained(world)
    shadow(world, 2, 0.25)
    counts = WorkerStats(worker="gateway-0", written_us=to_us(world.clock.now()), shadow_drops=7)
    counts.find("fraud", "champion", 1).observe(100, 1_000, 0)

    def price() -> float:
        write_stats(counts, world.rooms.state.stats)
        (found,) = status(world.rooms, ADA, StatusQuery()).endpoints
        assert found.cost_per_thousand is not None
        return found.cost_per_thousand

    world.rooms.state.stats.mkdir(exist_ok=True)
    alone = price()
    counts.find("fraud", "shadow", 2, "shadow").observe(100, 1_000, 3)
    assert price() == pytest.approx(2 * alone)
    (found,) = status(world.rooms, ADA, StatusQuery()).endpoints
    assert [(v.variant, v.version, v.role, v.weight_percent, v.requests, v.errors) for v in found.variants] == [
        ("champion", 1, "live", 100.0, 1_000, 0), ("shadow", 2, "shadow", 25.0, 1_000, 3),
    ]  # fmt: skip
    assert (report(world).shadow, report(world).drops) == (found.variants[1], 7)


def test_why_explains_the_decision_and_not_what_its_shadow_computed(world: World) -> None:
    serve(world)
    log(world, "gateway-0", decided(world, 1, "live", 1, 0.7, 1))
    world.rooms.predictions.compact()
    log(world, "gateway-1", decided(world, 1, "shadow", 2, 0.1, 1))
    for _ in range(2):  # with the shadow's record in a segment, then in the table
        assert world.rooms.predictions.find("req_1").version == 1
        world.rooms.predictions.compact()
    with pytest.raises(NotFound):
        why(world.rooms, ADA, WhyQuery("req_2"))
