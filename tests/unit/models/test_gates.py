import math
from typing import Any

import msgspec
import pytest

from falaj.definitions.gate import GateCheck, at_least, at_most, latency, no_worse_than_production
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.service_spec import RequestSpec, ServiceSpec, ViewSpec
from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.errors import NotFound
from falaj.models.bootstrap import Interval
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Evidence, GateReport, Outcome, load_report, save_report
from falaj.models.gates import judge
from falaj.models.leakage import Alone, Leaks
from falaj.models.parity import Parity
from falaj.models.parts import Part, Sliced
from falaj.models.probe import Probe
from falaj.storage.blobs.memory import MemoryBlobs

VIEW = ViewSpec("activity", "0" * 64, "events", (("card_id", "string"),), (), (), None, False, 0, True)
SERVICE = ServiceSpec("fraud", "s", (VIEW,), (), (RequestSpec("amount", "float64"),), (("amount", "float64"),))
SIGNATURE = Signature((InputSpec("amount", "float64"),))
WHOLE = Part(
    1_000,
    50,
    metrics={"auc": 0.95, "log_loss": 0.2},
    intervals={"auc": Interval(0.93, 0.97, 1_000)},
    baseline={"auc": 0.954, "log_loss": 0.19},
    changes={"auc": Interval(-0.006, -0.002, 1_000), "log_loss": Interval(0.005, 0.015, 1_000)},
    relative={"auc": Interval(-0.0063, -0.0021, 1_000), "log_loss": Interval(0.026, 0.079, 1_000)},
)
LEAKS = Leaks((Alone("amount", 0.8),))
CANDIDATE = Evidence(
    "fraud", None, "snapshot", ArtifactRef("new", "onnx"), SIGNATURE, SERVICE,
    Findings(WHOLE, leaks=LEAKS), Parity(1e-7, 0.0, 1_000), Probe("", 2_000, 0.01, 0.02, 4_096),
)  # fmt: skip
PRODUCTION = msgspec.structs.replace(CANDIDATE, version=3, artifact=ArtifactRef("old", "onnx"))


def with_(evidence: Evidence, **changes: Any) -> Evidence:
    return msgspec.structs.replace(evidence, **changes)


def measured(**changes: Any) -> Evidence:
    return with_(CANDIDATE, findings=Findings(msgspec.structs.replace(WHOLE, **changes), leaks=LEAKS))


def sliced(*parts: Part, left_out: int = 0) -> Evidence:
    return with_(CANDIDATE, findings=Findings(WHOLE, (Sliced("country", parts, left_out),), LEAKS))


def first(report: GateReport) -> CheckResult:
    return report.checks[0]


def test_a_candidate_that_holds_everything_passes() -> None:
    checks: list[GateCheck] = [
        at_least("auc", 0.9),
        at_most("log_loss", 0.3),
        no_worse_than_production("auc", by=0.006),
        latency(p99_ms=5),
    ]
    report = judge(checks, CANDIDATE, PRODUCTION, at_us=7)
    assert report.outcome is Outcome.PASS and {check.outcome for check in report.checks} == {Outcome.PASS}
    assert (report.candidate_digest, report.baseline_digest, report.baseline_version) == ("new", "old", 3)
    assert (report.dataset_digest, report.findings.whole, report.at_us) == ("snapshot", WHOLE, 7)


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        (at_least("auc", 0.95), Outcome.PASS),  # bounds are inclusive
        (at_least("auc", 0.9500001), Outcome.FAIL),
        (at_most("log_loss", 0.2), Outcome.PASS),
        (at_most("log_loss", 0.19), Outcome.FAIL),
        (latency(p99_ms=0.02), Outcome.PASS),
        (latency(p99_ms=0.01), Outcome.FAIL),
    ],
)
def test_absolute_bounds(check: Any, outcome: Outcome) -> None:
    assert first(judge([check], CANDIDATE, at_us=0)).outcome is outcome


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        (at_least("auc", 0.93, by_interval=True), Outcome.PASS),
        (at_least("auc", 0.94, by_interval=True), Outcome.INCONCLUSIVE),
        (at_least("auc", 0.98, by_interval=True), Outcome.FAIL),
        (at_most("auc", 0.97, by_interval=True), Outcome.PASS),
        (at_most("auc", 0.96, by_interval=True), Outcome.INCONCLUSIVE),
        (at_most("auc", 0.92, by_interval=True), Outcome.FAIL),
        (at_most("log_loss", 0.3, by_interval=True), Outcome.FAIL),  # of it no interval was measured
    ],
)
def test_bounds_on_intervals(check: Any, outcome: Outcome) -> None:
    assert first(judge([check], CANDIDATE, at_us=0)).outcome is outcome


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        (no_worse_than_production("auc", by=0.006), Outcome.PASS),  # bounds are inclusive
        (no_worse_than_production("auc", by=0.005), Outcome.INCONCLUSIVE),
        (no_worse_than_production("auc", by=0.001), Outcome.FAIL),
        (no_worse_than_production("auc"), Outcome.FAIL),
        (no_worse_than_production("log_loss", by=0.015), Outcome.PASS),
        (no_worse_than_production("log_loss", by=0.01), Outcome.INCONCLUSIVE),
        (no_worse_than_production("log_loss", by=0.004), Outcome.FAIL),
        (no_worse_than_production("auc", by=-0.001), Outcome.FAIL),  # it must be better
        (no_worse_than_production("auc", relative=0.0063), Outcome.PASS),
        (no_worse_than_production("auc", relative=0.005), Outcome.INCONCLUSIVE),
        (no_worse_than_production("auc", relative=0.002), Outcome.FAIL),
        (no_worse_than_production("auc", by=0.001, relative=0.5), Outcome.FAIL),  # both must hold
        (no_worse_than_production("auc", by=0.005, relative=0.5), Outcome.INCONCLUSIVE),
        (no_worse_than_production("log_loss", by=1, relative=0.079), Outcome.PASS),
    ],
)
def test_changes_are_judged_by_the_interval_of_the_difference(check: Any, outcome: Outcome) -> None:
    found = first(judge([check], CANDIDATE, PRODUCTION, at_us=0))
    assert found.outcome is outcome and found.baseline == WHOLE.baseline[check.metric]
    assert (found.low, found.high) == (WHOLE.changes[check.metric].low, WHOLE.changes[check.metric].high)


def test_of_a_baseline_of_zero_there_is_no_share() -> None:
    zero = measured(baseline={"auc": 0.0})
    found = first(judge([no_worse_than_production("auc", relative=0.1)], zero, PRODUCTION, at_us=0))
    assert found.outcome is Outcome.FAIL and "is zero" in found.reason
    assert first(judge([no_worse_than_production("auc", by=0.01)], zero, PRODUCTION, at_us=0)).outcome is Outcome.PASS


OMAN = msgspec.structs.replace(WHOLE, value="OM")
POOR = msgspec.structs.replace(WHOLE, value="AE", metrics={"auc": 0.6})
TINY = Part(12, 2, {"auc": 1.0}, baseline={"auc": 1.0}, value="YE")


@pytest.mark.parametrize(
    ("parts", "slices", "outcomes"),
    [
        ((OMAN,), ["country"], ["PASS", "PASS"]),
        ((OMAN, POOR), ["country"], ["PASS", "PASS", "FAIL"]),
        ((OMAN, POOR), {"country": ["OM"]}, ["PASS", "PASS"]),
        ((OMAN, TINY), ["country"], ["PASS", "PASS", "INCONCLUSIVE"]),
        ((OMAN,), {"country": ["OM", "QA"]}, ["PASS", "PASS", "FAIL"]),  # a missing slice
        ((OMAN,), ["city"], ["PASS", "FAIL"]),
        ((), ["country"], ["PASS", "FAIL"]),
    ],
)
def test_a_bound_holds_in_every_required_slice(parts: Any, slices: Any, outcomes: list[str]) -> None:
    report = judge([at_least("auc", 0.9, slices=slices)], sliced(*parts), at_us=0)
    declared = [check for check in report.checks if not check.implicit]
    assert [check.outcome for check in declared] == outcomes
    assert report.outcome == next((o for o in ("FAIL", "INCONCLUSIVE") if o in outcomes), "PASS")


def test_a_change_is_judged_in_every_slice() -> None:
    check = no_worse_than_production("auc", by=0.006, slices=["country"])
    report = judge([check], sliced(OMAN, TINY), PRODUCTION, at_us=0)
    assert [c.outcome for c in report.checks[:3]] == ["PASS", "PASS", "INCONCLUSIVE"]
    assert report.checks[1].name == "auc no worse than production by 0.006 where country = OM"


def test_too_many_slices_are_not_judged_in_part() -> None:
    report = judge([at_least("auc", 0.9, slices=["country"])], sliced(OMAN, left_out=9), at_us=0)
    assert report.outcome is Outcome.FAIL and "name those" in report.checks[1].reason
    named = at_least("auc", 0.9, slices={"country": ["OM"]})
    assert judge([named], sliced(OMAN, left_out=9), at_us=0).outcome is Outcome.PASS


def test_without_a_baseline_changes_are_skipped_and_say_so() -> None:
    report = judge([at_least("auc", 0.9), no_worse_than_production("auc")], CANDIDATE, at_us=0)
    assert report.outcome is Outcome.PASS and report.checks[1].outcome is Outcome.SKIPPED
    assert "nothing is in production" in report.checks[1].reason


def test_without_checks_nothing_is_blessed() -> None:
    report = judge([], CANDIDATE, at_us=0)
    assert report.outcome is Outcome.FAIL and "declares no gate" in first(report).reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metrics": {}}, "was not measured"),
        ({"metrics": {"auc": None}}, "not a number"),
        ({"metrics": {"auc": math.nan}}, "not a number"),
        ({"rows": 0, "positives": 0}, "no test rows"),
    ],
)
@pytest.mark.parametrize("check", [at_least("auc", 0.9), no_worse_than_production("auc")])
def test_what_is_missing_fails(check: Any, changes: dict[str, Any], reason: str) -> None:
    report = judge([check], measured(**changes), PRODUCTION, at_us=0)
    assert first(report).outcome is Outcome.FAIL and reason in first(report).reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"baseline": {}}, "of production: auc was not measured"),
        ({"baseline": {"auc": None}}, "of production: auc is not a number"),
        ({"changes": {}}, "interval of the change in auc was not measured"),
    ],
)
def test_a_baseline_that_cannot_be_compared_fails(changes: dict[str, Any], reason: str) -> None:
    report = judge([no_worse_than_production("auc")], measured(**changes), PRODUCTION, at_us=0)
    assert first(report).outcome is Outcome.FAIL and reason in first(report).reason


def test_production_scored_on_another_snapshot_cannot_be_compared() -> None:
    other = with_(PRODUCTION, dataset_digest="other")
    report = judge([no_worse_than_production("auc", by=0.5)], CANDIDATE, other, at_us=0)
    assert first(report).outcome is Outcome.FAIL and "another snapshot" in first(report).reason


@pytest.mark.parametrize("positives", [0, 9, 991])
@pytest.mark.parametrize("check", [at_least("auc", 0.99), no_worse_than_production("auc")])
def test_too_few_of_a_class_is_inconclusive(positives: int, check: Any) -> None:
    few = measured(positives=positives, metrics={"auc": None}, changes={}, intervals={})
    report = judge([check], few, PRODUCTION, at_us=0)
    assert report.outcome is Outcome.INCONCLUSIVE and "too few" in first(report).reason


def test_too_few_timed_rows_are_inconclusive_and_none_fail() -> None:
    few = with_(CANDIDATE, probe=Probe("", 1_999, 0.01, 0.02, 1))
    assert first(judge([latency(p99_ms=5)], few, at_us=0)).outcome is Outcome.INCONCLUSIVE
    for probe in (None, Probe("cannot be read"), Probe("", 2_000, 0.1, math.nan, 1)):
        assert first(judge([latency(p99_ms=5)], with_(CANDIDATE, probe=probe), at_us=0)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "changes",
    [
        {"findings": Findings(WHOLE)},
        {"findings": Findings(WHOLE, leaks=Leaks((Alone("amount", 1.0, 1.0, 1.0, is_label=True),)))},
        {"probe": None},
        {"probe": Probe("artifact x cannot be read")},
        {"parity": None},
        {"parity": Parity(0.1, 0.5, 1_000)},
        {"parity": Parity(None, 1.0, 1_000)},
        {"parity": Parity(None, 0.0, 0)},
        {"signature": Signature((InputSpec("amount", "int64"),))},
        {"signature": Signature((InputSpec("other", "float64"),))},
        {
            "service": msgspec.structs.replace(
                SERVICE, request=(RequestSpec("amount", "float64"), RequestSpec("new", "bool"))
            )
        },
        {"service": msgspec.structs.replace(SERVICE, request=(RequestSpec("amount", "int64"),))},
    ],
)
def test_what_is_never_declared_and_always_applies(changes: dict[str, Any]) -> None:
    report = judge([at_least("auc", 0.9)], with_(CANDIDATE, **changes), PRODUCTION, at_us=0)
    failed = [check for check in report.checks if check.outcome is Outcome.FAIL]
    assert report.outcome is Outcome.FAIL and len(failed) == 1 and failed[0].implicit


def test_asking_callers_for_less_is_compatible() -> None:
    less = msgspec.structs.replace(SERVICE, views=(), request=(RequestSpec("amount", "float64"),))
    assert judge([at_least("auc", 0.9)], with_(CANDIDATE, service=less), PRODUCTION, at_us=0).outcome is Outcome.PASS


def test_a_version_with_productions_own_file_says_so_and_may_go() -> None:
    again = with_(CANDIDATE, artifact=PRODUCTION.artifact)
    for candidate, told in ((CANDIDATE, False), (again, True), (with_(again, service=None), False)):
        report = judge([at_least("auc", 0.9)], candidate, PRODUCTION, at_us=0)
        found = [check for check in report.checks if check.name == "answers otherwise than production"]
        assert [check.outcome for check in found] == [Outcome.SKIPPED] * told
    assert judge([at_least("auc", 0.9)], again, PRODUCTION, at_us=0).outcome is Outcome.PASS
    assert judge([at_least("auc", 0.9)], again, None, at_us=0).outcome is Outcome.PASS


def test_a_failure_outweighs_too_little_evidence() -> None:
    candidate = with_(measured(positives=2), parity=None)
    assert judge([at_least("auc", 0.9)], candidate, at_us=0).outcome is Outcome.FAIL


def test_a_report_is_kept_under_its_own_digest() -> None:
    blobs = MemoryBlobs()
    report = judge([at_least("auc", 0.9)], CANDIDATE, PRODUCTION, at_us=0)
    assert save_report(blobs, report) == report.digest
    assert load_report(blobs, report.digest) == report
    with pytest.raises(NotFound):
        load_report(blobs, "0" * 64)
    other = judge([at_least("auc", 0.91)], CANDIDATE, PRODUCTION, at_us=0)
    assert other.policy_digest != report.policy_digest and other.digest != report.digest
