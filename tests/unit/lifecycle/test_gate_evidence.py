"""What a gate stands on, from the project's definitions to the report: columns beside the features, and production."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import falaj as fj
from falaj.app.operations.model import train
from falaj.app.values.model import Train
from falaj.definitions.project import Definitions
from falaj.governance.access import SYSTEM
from falaj.kernel.errors import Conflict, DefinitionError
from falaj.models.gate_report import GateReport, Outcome, load_report
from falaj.models.leakage import Leaks
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion
from support.rooms_work import work
from support.rooms_world import ADA, CARD, SCHEMA, World, definitions, endpoint, event, model, opened, source

TX = source(schema=SCHEMA | {"sex": "string", "copy": "float64"})
ACTIVITY = fj.FeatureView("activity", CARD, TX, {"seen": fj.count(window="1d")})
PROFILE = fj.FeatureView("profile", CARD, TX, {"card": fj.last("card_id")})


UNDATED = fj.FeatureView("undated", CARD, source(created=None), {"seen": fj.count(window="1d")})
UNDATED_FEATURES = fj.FeatureService("undated_features", [UNDATED])


def gated(*gates: Any, more: Any = (), **changes: Any) -> Definitions:
    """A model that knows the amount and how often a card was seen, and neither sex nor profile."""
    service = fj.FeatureService("fraud_features", [ACTIVITY, fj.request("amount"), *more])
    fields: dict[str, Any] = {
        "features": service,
        "gates": list(gates),
        "trainer": fj.lightgbm(num_trees=10, min_data_in_leaf=5),
    }
    return definitions(endpoint(of=model(over=ACTIVITY, **(fields | changes))), more=[PROFILE])


def filled(world: World, *, unfair: bool = False, known_after_s: int = 0) -> World:
    rng = np.random.default_rng(1)
    world.clock.advance(500_000)
    events = []
    for n, amount in enumerate(rng.normal(50, 20, 1_500).tolist()):
        sex = "F" if n % 2 else "M"
        paid = amount + (15 if unfair and sex == "M" else 0)
        label = int(amount + 8 * rng.normal() > 60)
        fields = {"amount": paid, "sex": "X" if n % 97 == 0 else sex, "card_id": f"c{n % 3}", "copy": float(label)}
        fields["known"] = event(n * 5)["at"] + timedelta(seconds=known_after_s)
        events.append(event(n * 5, label=label, **fields))
    world.push(*events)
    return world


def trained(world: World) -> tuple[ModelVersion, GateReport]:
    work(world, train(world.rooms, ADA, Train("fraud")).run_id)
    version = world.rooms.registry.versions("fraud")[0]
    return version, load_report(world.rooms.blobs, version.gate_digest)


def promoted(world: World, version: ModelVersion) -> None:
    world.rooms.registry.transition("fraud", version.version, Stage.STAGING, SYSTEM)
    world.clock.advance(1)
    world.approve(version)
    world.rooms.registry.transition("fraud", version.version, Stage.PRODUCTION, SYSTEM)


def outcomes(report: GateReport) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks if not check.implicit}


def test_columns_beside_the_features_slice_and_group_and_are_no_inputs(tmp_path: Path) -> None:
    wanted = gated(
        fj.gate.at_least("auc", 0.6, slices={"sex": ["F", "M"]}),
        fj.gate.at_least("auc", 0.6, slices=["profile:card"]),
        fj.gate.fairness("sex", demographic_parity=0.2, groups=["F", "M"], min_positives=20),
        slices=["activity:seen"],
    )
    with opened(tmp_path, wanted) as world:
        version, report = trained(filled(world))
        dataset = world.rooms.datasets.load(version.dataset_digest)
        assert {"sex", "profile__card"} <= set(dataset.column_names)
        assert [spec.name for spec in version.signature.inputs] == ["activity__seen", "amount"]
        assert version.service is not None and [view.name for view in version.service.views] == ["activity"]
        found = outcomes(report)
        assert found["auc >= 0.6 where sex = F"] is Outcome.PASS
        assert {f"auc >= 0.6 where profile__card = c{n}" for n in range(3)} <= set(found)
        assert found["demographic parity by sex within 0.2"] is Outcome.PASS
        assert [one.column for one in report.findings.slices] == ["activity__seen", "sex", "profile__card"]
        assert sum(part.rows for part in report.findings.slices[1].parts) == report.findings.whole.rows


def test_a_planted_copy_of_the_label_fails_without_being_asked_about(tmp_path: Path) -> None:
    with opened(tmp_path, gated(fj.gate.at_least("auc", 0.6), more=[fj.request("copy")])) as world:
        version, report = trained(filled(world))
        assert outcomes(report)["auc >= 0.6"] is Outcome.PASS
        (leak,) = [check for check in report.checks if check.outcome is Outcome.FAIL]
        assert leak.implicit and "copy" in leak.reason and version.gate_outcome is Outcome.FAIL


def test_a_second_version_is_held_against_production_and_the_verdict_replays(tmp_path: Path) -> None:
    gates = (
        fj.gate.at_least("auc", 0.6),
        fj.gate.no_worse_than_production("auc", by=0.02),
        fj.gate.no_worse_than_production("cost", relative=0.5),
        fj.gate.robust("auc", by=0.05, under=["missing", "noise", "units", "attack"], mutable=["amount"]),
        fj.gate.no_leak(auc=0.999),
    )
    cost = fj.Cost(false_positive=1, false_negative=20)
    with opened(tmp_path, gated(*gates, cost=cost)) as world:
        first, report = trained(filled(world))
        assert outcomes(report)["auc no worse than production by 0.02"] is Outcome.SKIPPED
        assert (
            first.gate_outcome is Outcome.PASS and first.threshold is not None and first.threshold < 0.3
        )  # a missed fraud is dear
        promoted(world, first)
        # The same algorithm on the same rows: as good as production, to the last score.
        second, report = trained(world)
        assert report.baseline_version == first.version
        change = report.findings.whole.changes["auc"]
        assert (change.low, change.high) == (0.0, 0.0)
        found = outcomes(report)
        assert found.pop("no feature is later than its event") is Outcome.SKIPPED  # none is an instant
        assert set(found.values()) == {Outcome.PASS}
        assert len(report.findings.robustness[0].worst) == 4
        _, again = trained(world)
        assert again.findings == report.findings
        assert second.threshold == first.threshold


@pytest.mark.parametrize(("known_after_s", "outcome"), [(0, Outcome.PASS), (7_200, Outcome.FAIL)])
def test_what_became_known_later_is_found(tmp_path: Path, known_after_s: int, outcome: Outcome) -> None:
    with opened(tmp_path, gated(fj.gate.no_leak(auc=0.999, late=0.05))) as world:
        _, report = trained(filled(world, known_after_s=known_after_s))
        found = outcomes(report)["features rest on what was known then, but for 5% of rows"]
        assert found is outcome
        assert ("activity__seen" in (report.findings.leaks or Leaks(())).unknown) == (outcome is Outcome.FAIL)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with opened(tmp_path, gated(fj.gate.at_least("auc", 0.6, slices=["sexx"]))) as world:
        filled(world)
        with pytest.raises(AssertionError, match="has no such column"):
            trained(world)


def test_too_little_evidence_blocks_unless_the_policy_accepts_it(tmp_path: Path) -> None:
    with opened(tmp_path, definitions()) as world:
        version = world.register(gate=Outcome.INCONCLUSIVE)
        with pytest.raises(Conflict, match="its gate is INCONCLUSIVE"):
            world.deploy(version)
        world.apply(definitions(policy=fj.Policy(accept_inconclusive=True, auto_promote=True)))
        world.deploy()  # the newest that may move
        assert world.serving() == {version.version: 100}
        moves = world.rooms.registry.history("fraud", version.version)
        assert moves and "inconclusive gate accepted" in moves[0].reason


@pytest.mark.parametrize(
    ("gates", "changes", "message"),
    [
        ([fj.gate.at_most("cost", 1)], {}, "nothing says what decisions cost"),
        ([fj.gate.at_least("auc", 0.5, slices=["is_fraud"])], {}, "cannot be sliced by 'is_fraud'"),
        ([fj.gate.at_least("auc", 0.5)], {"slices": ["label"]}, "cannot be sliced by 'label'"),
        ([fj.gate.no_leak(late=0.01)], {"features": UNDATED_FEATURES}, "does not say when its rows became known"),
        ([fj.gate.no_leak(allow=["amuont"])], {}, "no feature of it"),
        ([fj.gate.robust("auc", by=0, under=["attack"], mutable=["sex"])], {}, "no feature of it"),
    ],
)
def test_what_cannot_be_judged_is_refused_where_it_is_written(
    gates: list[Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        gated(*gates, **changes)
