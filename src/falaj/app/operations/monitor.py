"""Operations on monitoring: what was found."""

from collections.abc import Iterable
from typing import Any

import msgspec

from falaj.app.values.monitor import MonitorQuery
from falaj.app.values.status import DriftStatus, EstimateStatus, MonitorStatus, SegmentStatus
from falaj.definitions.routing_table import Variant
from falaj.definitions.verdict import Verdict
from falaj.governance.access import Actor
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.watching import champion_of
from falaj.monitoring.estimated import KIND as ESTIMATED
from falaj.monitoring.verdicts import latest_verdicts
from falaj.rollout.table import current_route

_RANK = {"DRIFT": 0, "SUSPECTED": 1, "NO_DRIFT": 2, "INCONCLUSIVE": 3}


def show(rooms: Rooms, actor: Actor, params: MonitorQuery) -> MonitorStatus:
    """Return what an endpoint's monitor last found."""
    del actor
    return monitor_status(rooms, rooms.definitions.endpoint(params.endpoint).name)


def monitor_status(rooms: Rooms, endpoint: str) -> MonitorStatus:
    """Return what an endpoint's monitor last found about the version that serves, for pages and the command line."""
    ensemble = rooms.definitions.ensembles.get(endpoint)
    if ensemble is not None:
        names = ", ".join(member.name for member in ensemble.endpoints)
        return MonitorStatus(reason=f"each member is watched by itself: {names}")
    with rooms.db.read() as connection:
        route = current_route(connection, endpoint)
        if route is None:
            return MonitorStatus()
        champion = champion_of(route)
        watched = champion.subject
        kept = latest_verdicts(connection, subject=endpoint, version=watched)
    declared = rooms.definitions.endpoints.get(endpoint)  # a bare model's is in no definition
    verdicts = {one.verdict.kind: one.verdict for one in kept}
    drift, quality, estimate = verdicts.get("drift"), verdicts.get("performance"), verdicts.get(ESTIMATED)
    realised: dict[str, float | None] = {}
    if quality is not None:
        realised = {name: one["value"] for name, one in quality.evidence["metrics"].items()}
    found = MonitorStatus(
        realised=realised,
        outcomes=quality.evidence["labelled"] if quality else 0,
        maturity=quality.evidence["label_maturity"] if quality else None,
        version=watched,
        quality=quality.reason if quality else "",
        early=quality.evidence["early"] if quality else 0,
        unknown=quality.evidence.get("unknown", 0) if quality else 0,
        intervals=_estimates(quality.evidence) if quality else {},
        segments=_segments(drift, quality, () if declared is None else declared.monitor.segments),
        estimated=_estimates(estimate.evidence) if estimate and estimate.outcome == "PASS" else {},
        estimate=estimate.reason if estimate else _not_estimated(rooms, champion),
    )
    if drift is None:
        return found
    outcome = {"FAIL": "DRIFT", "PASS": "NO_DRIFT"}.get(drift.outcome, "INCONCLUSIVE")
    return msgspec.structs.replace(
        found,
        outcome=outcome,
        reason=drift.reason,
        at_us=drift.at_us,
        window=drift.evidence.get("rows", 0),
        features=_by_feature(drift.evidence),
    )


def _not_estimated(rooms: Rooms, champion: Variant) -> str:
    version = rooms.registry.get(champion.model, champion.version)
    return (
        "quality is not estimated for a regression, but measured once outcomes come"
        if version.task == "regression"
        else ""
    )


def _estimates(evidence: dict[str, Any]) -> dict[str, EstimateStatus]:
    return {name: EstimateStatus(**one) for name, one in evidence["metrics"].items()}


def _segments(drift: Verdict | None, quality: Verdict | None, declared: Iterable[str]) -> dict[str, SegmentStatus]:
    drifts: dict[str, str] = drift.evidence.get("segments", {}) if drift else {}
    measured: dict[str, Any] = quality.evidence.get("segments", {}) if quality else {}
    found = {}
    for name in sorted({*drifts, *measured}):
        part = measured.get(name, {})
        believed = part.get("outcome") == "PASS"
        found[name] = SegmentStatus(
            drifts.get(name, "INCONCLUSIVE"), part.get("reason", ""), _estimates(part) if believed else {}
        )
    known = {name.partition("=")[0] for name in drifts}
    if drift is not None:
        reason = "drift is not judged: the version was trained before the segment was declared; train another"
        found |= {column: SegmentStatus("INCONCLUSIVE", reason) for column in declared if column not in known}
    return found


def _by_feature(evidence: dict[str, Any]) -> tuple[DriftStatus, ...]:
    """Return each feature's most telling finding, the drifted and the most moved first."""
    drifted, suspected = set(evidence["drifted"]), set(evidence["suspected"])
    found = []
    for name, questions in evidence["columns"].items():
        told = max(questions.values(), key=lambda one: (one["alarm"], one["effect"] or 0.0))
        judged = any(one["judged"] for one in questions.values())
        outcome = "NO_DRIFT" if judged else "INCONCLUSIVE"
        if name in drifted or name in suspected:
            outcome = "DRIFT" if name in drifted else "SUSPECTED"
        found.append(DriftStatus(name, outcome, told["effect"], told["p_corrected"]))
    return tuple(sorted(found, key=lambda one: (_RANK[one.outcome], -(one.effect or 0.0))))
