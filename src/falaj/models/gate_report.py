"""GateReport: the immutable finding about one candidate, and the evidence it stands on."""

import enum

import msgspec

from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import Signature
from falaj.kernel.codec import canonical_json, from_json
from falaj.kernel.digest import digest_value
from falaj.models.findings import Findings
from falaj.models.parity import Parity
from falaj.models.probe import Probe
from falaj.storage.blobs import BlobStore


class Outcome(enum.StrEnum):
    """A gate's finding; SKIPPED is one of a single check only."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    SKIPPED = "SKIPPED"


class Evidence(msgspec.Struct, frozen=True):
    """What was measured of one version on one snapshot of test rows.

    Attributes:
        model: The model's name.
        version: The version's number; None while the candidate has none.
        dataset_digest: The snapshot's digest.
        artifact: The file that serves.
        signature: Its inputs.
        service: Its pinned features; None for a bare model.
        findings: What was measured on the snapshot.
        parity: The served artifact against the trained model; None when it was not measured.
        probe: The artifact in its serving runtime; None when it was not measured.
    """

    model: str
    version: int | None
    dataset_digest: str
    artifact: ArtifactRef
    signature: Signature
    service: ServiceSpec | None
    findings: Findings
    parity: Parity | None = None
    probe: Probe | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """One check's finding.

    Attributes:
        name: The check, in words.
        outcome: What was found.
        reason: Why, as a sentence.
        value: The candidate's value; None when there is none or it is not a number.
        bound: What it was compared with.
        baseline: Production's value on the same rows, for changes.
        implicit: Whether it applies without being declared.
        low: Lower end of the 95 % interval of the value, or for changes of the difference.
        high: Its upper end.
        rows_needed: How many test rows of the same kind would decide what these do not; None where it is decided, or
            no number would.
    """

    name: str
    outcome: Outcome
    reason: str
    value: float | None = None
    bound: float | None = None
    baseline: float | None = None
    implicit: bool = False
    low: float | None = None
    high: float | None = None
    rows_needed: int | None = None


class GateReport(msgspec.Struct, frozen=True):
    """The immutable finding about one candidate.

    Attributes:
        model: The model's name.
        outcome: PASS only if every check that was not skipped passed, and at least one was declared.
        checks: The findings, declared checks first.
        dataset_digest: The snapshot of test rows.
        candidate_digest: The candidate's artifact.
        baseline_digest: The production version's artifact; None when nothing was in production.
        baseline_version: Its number.
        policy_digest: Digest of the declared checks.
        findings: What was measured, which the checks were held against.
        at_us: When it was judged, in microseconds.
    """

    model: str
    outcome: Outcome
    checks: tuple[CheckResult, ...]
    dataset_digest: str
    candidate_digest: str
    baseline_digest: str | None
    baseline_version: int | None
    policy_digest: str
    findings: Findings
    at_us: int

    @property
    def digest(self) -> str:
        """The digest under which `save_report` keeps it."""
        return digest_value(self)


def save_report(blobs: BlobStore, report: GateReport) -> str:
    """Keep a report and return its digest."""
    return blobs.put(canonical_json(report))


def load_report(blobs: BlobStore, digest: str) -> GateReport:
    """Return a kept report.

    Raises:
        NotFound: There is none.
        CorruptionError: Its bytes changed.
    """
    return from_json(blobs.get(digest), GateReport, what=f"gate report {digest}")
