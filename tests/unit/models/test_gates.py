import math
from typing import Any

import msgspec
import pytest

from falaj.definitions.gate import at_least, at_most, latency, no_worse_than_production
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.service_spec import RequestSpec, ServiceSpec, ViewSpec
from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.errors import NotFound
from falaj.models.gate_report import CheckResult, Evidence, GateReport, Outcome, load_report, save_report
from falaj.models.gates import judge
from falaj.models.parity import Parity
from falaj.models.probe import Probe
from falaj.storage.blobs.memory import MemoryBlobs

VIEW = ViewSpec("activity", "0" * 64, "events", (("card_id", "string"),), (), (), None, False, 0, True)
SERVICE = ServiceSpec("fraud", "s", (VIEW,), (), (RequestSpec("amount", "float64"),), (("amount", "float64"),))
SIGNATURE = Signature((InputSpec("amount", "float64"),))
CANDIDATE = Evidence(
    "fraud", None, "snapshot", ArtifactRef("new", "onnx"), SIGNATURE, SERVICE,
    {"auc": 0.95, "log_loss": 0.2}, 1_000, 50, Parity(1e-7, 0.0, 1_000), Probe("", 2_000, 0.01, 0.02, 4_096),
)  # fmt: skip
PRODUCTION = msgspec.structs.replace(
    CANDIDATE, version=3, artifact=ArtifactRef("old", "onnx"), metrics={"auc": 0.954, "log_loss": 0.19}
)


def with_(evidence: Evidence, **changes: Any) -> Evidence:
    return msgspec.structs.replace(evidence, **changes)


def first(report: GateReport) -> CheckResult:
    return report.checks[0]


def test_a_candidate_that_holds_everything_passes() -> None:
    checks = [
        at_least("auc", 0.9),
        at_most("log_loss", 0.3),
        no_worse_than_production("auc", by=0.005),
        latency(p99_ms=5),
    ]
    report = judge(checks, CANDIDATE, PRODUCTION, at_us=7)
    assert report.outcome is Outcome.PASS and {check.outcome for check in report.checks} == {Outcome.PASS}
    assert (report.candidate_digest, report.baseline_digest, report.baseline_version) == ("new", "old", 3)
    assert (report.dataset_digest, report.rows, report.positives, report.at_us) == ("snapshot", 1_000, 50, 7)


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
    ("metric", "by", "outcome"),
    [
        ("auc", 0.004, Outcome.PASS),  # 0.954 - 0.950 is a hair above 0.004 in floating point
        ("auc", 0.003, Outcome.FAIL),
        ("log_loss", 0.01, Outcome.PASS),
        ("log_loss", 0.009, Outcome.FAIL),
    ],
)
def test_changes_know_their_direction(metric: str, by: float, outcome: Outcome) -> None:
    report = judge([no_worse_than_production(metric, by=by)], CANDIDATE, PRODUCTION, at_us=0)
    assert first(report).outcome is outcome
    assert first(report).baseline == PRODUCTION.metrics[metric]


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
        ({"metrics": {"auc": math.nan}}, "not a number"),
        ({"metrics": {"auc": math.inf}}, "not a number"),
        ({"rows": 0, "positives": 0}, "no test rows"),
    ],
)
@pytest.mark.parametrize("check", [at_least("auc", 0.9), no_worse_than_production("auc")])
def test_what_is_missing_fails(check: Any, changes: dict[str, Any], reason: str) -> None:
    report = judge([check], with_(CANDIDATE, **changes), PRODUCTION, at_us=0)
    assert first(report).outcome is Outcome.FAIL and reason in first(report).reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metrics": {}}, "of production: auc was not measured"),
        ({"metrics": {"auc": math.nan}}, "of production: auc is not a number"),
        ({"dataset_digest": "other"}, "another snapshot"),
    ],
)
def test_a_baseline_that_cannot_be_compared_fails(changes: dict[str, Any], reason: str) -> None:
    report = judge([no_worse_than_production("auc")], CANDIDATE, with_(PRODUCTION, **changes), at_us=0)
    assert first(report).outcome is Outcome.FAIL and reason in first(report).reason


@pytest.mark.parametrize("positives", [9, 991])
def test_too_few_of_a_class_is_inconclusive(positives: int) -> None:
    report = judge([at_least("auc", 0.99)], with_(CANDIDATE, positives=positives), at_us=0)
    assert report.outcome is Outcome.INCONCLUSIVE and "too few" in first(report).reason


def test_too_few_timed_rows_are_inconclusive_and_none_fail() -> None:
    few = with_(CANDIDATE, probe=Probe("", 1_999, 0.01, 0.02, 1))
    assert first(judge([latency(p99_ms=5)], few, at_us=0)).outcome is Outcome.INCONCLUSIVE
    for probe in (None, Probe("cannot be read"), Probe("", 2_000, 0.1, math.nan, 1)):
        assert first(judge([latency(p99_ms=5)], with_(CANDIDATE, probe=probe), at_us=0)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "changes",
    [
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


def test_a_failure_outweighs_too_little_evidence() -> None:
    candidate = with_(CANDIDATE, positives=2, parity=None)
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
