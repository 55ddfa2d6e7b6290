"""What a demo found, as plain values and as text."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click
import msgspec


class StageTime(msgspec.Struct, frozen=True):
    """One stage.

    Attributes:
        name: Its name.
        seconds: How long it took.
        state: "done", or why it does not apply.
    """

    name: str
    seconds: float
    state: str


class DemoSummary(msgspec.Struct, frozen=True):
    """The figures of a demo; None where a stage does not apply.

    Attributes:
        folder: The project.
        seconds: How long everything took.
        stages: Each stage.
        rows_ingested: Rows in the tables from files, of all sources.
        rows_quarantined: Rows refused, with reasons.
        events_streamed: Events pushed one by one.
        version: The first version.
        auc: Its area under the ROC curve on the test rows.
        average_precision: Its average precision on the test rows.
        gate: Its gate's outcome.
        checks: Each gate check with outcome and reason.
        requests_served: Decisions that the gateway answered.
        requests_failed: Requests that it answered with an error.
        p50_ms: Median time from request to answer, seen by the caller, under steady traffic.
        p99_ms: 99th percentile of it.
        verified: Outcome of the comparison of served features with the tables.
        values_verified: Values compared.
        realised: Realised metrics under steady traffic.
        drift: The drift found, as a sentence; None without.
        drifted: The drifted features, the most moved first.
        retrained: The triggered run's reason; None without.
        promoted: The version that the canary promoted; None without.
        second_auc: Its area under the curve, and production's on the same rows.
        audit_records: Records in the audit trail, all whole.
        page: The page's address.
    """

    folder: str
    seconds: float
    stages: tuple[StageTime, ...]
    rows_ingested: int
    rows_quarantined: int
    events_streamed: int
    version: int
    auc: float | None
    average_precision: float | None
    gate: str
    checks: list[dict[str, Any]]
    requests_served: int
    requests_failed: int
    p50_ms: float | None
    p99_ms: float | None
    verified: str
    values_verified: int
    realised: dict[str, float | None]
    drift: str | None
    drifted: tuple[str, ...]
    retrained: str | None
    promoted: int | None
    second_auc: dict[str, float | None]
    audit_records: int
    page: str

    @classmethod
    def of(cls, folder: Path, stages: list[StageTime], facts: dict[str, Any], seconds: float) -> "DemoSummary":
        """Gather the figures from what the stages noted.

        Args:
            folder: The project.
            stages: Each stage.
            facts: Stage to the JSON of its commands.
            seconds: How long everything took.
        """
        training, status = facts["training"], facts["status"]
        replays = [facts[name] for name in ("steady", "shifted", "canary") if name in facts]
        drift = facts.get("drift")
        drifted = [f["feature"] for f in drift["features"] if f["outcome"] == "DRIFT"] if drift else []
        return cls(
            str(folder),
            seconds,
            tuple(stages),
            sum(source["rows"] - source["streamed"] for source in facts["ingested"]),
            sum(source["quarantined"] for source in status["sources"]),
            sum(source["streamed"] for source in status["sources"]),
            training["version"],
            training["metrics"]["auc"],
            training["metrics"]["average_precision"],
            training["gate"],
            training["checks"],
            sum(replay["decisions"] for replay in replays),
            sum(replay["failed"] for replay in replays),
            facts["steady"]["p50_ms"],
            facts["steady"]["p99_ms"],
            facts["verify"]["outcome"],
            facts["verify"]["compared"],
            facts["monitor"]["realised"],
            drift["reason"] if drift else None,
            tuple(drifted),
            facts.get("trigger"),
            facts.get("promoted"),
            _second(facts.get("retraining")),
            facts["audit"]["records"],
            facts["addresses"]["control"],
        )


def _second(retraining: dict[str, Any] | None) -> dict[str, float | None]:
    if retraining is None:
        return {}
    evaluated = retraining["result"]["evaluate"]
    found = {"candidate": evaluated["metrics"]["auc"]}
    if evaluated["production"] is not None:
        found["production"] = evaluated["candidate"]["findings"]["whole"]["baseline"]["auc"]
    return found


def print_summary(s: DemoSummary) -> None:
    """Print the figures for people."""
    click.echo(f"\n{click.style('What happened', bold=True)} ({s.seconds:.0f} s)")
    _line("rows ingested", f"{s.rows_ingested:,}, and {s.rows_quarantined:,} quarantined with reasons")
    _line("events streamed", f"{s.events_streamed:,}, late labels included")
    _line("version 1", f"AUC {_number(s.auc)}, average precision {_number(s.average_precision)} on rows it never saw")
    _line("gate", f"{s.gate}: " + "; ".join(f"{c['name']} {c['outcome']}" for c in s.checks))
    _line("requests served", f"{s.requests_served:,}, {s.requests_failed:,} failed")
    _line("latency", f"p50 {_number(s.p50_ms, 2)} ms, p99 {_number(s.p99_ms, 2)} ms, as the caller saw it")
    _line("features verified", f"{s.verified}: {s.values_verified:,} served values computed again from the tables")
    realised = ", ".join(f"{name} {_number(value)}" for name, value in s.realised.items() if value is not None)
    _line("realised quality", realised or "too few outcomes to say")
    _line("drift", s.drift or "not applicable: the data has no time")
    if s.retrained:
        compared = f"AUC {_number(s.second_auc.get('candidate'))} against {_number(s.second_auc.get('production'))}"
        _line("retrained", f"{s.retrained}; {compared} of the version in production, on the same rows")
    _line("promoted", f"version {s.promoted or s.version}, approved by risk-officer")
    _line("audit trail", f"{s.audit_records:,} records, all whole")
    click.echo(f"\n{click.style('Where to look', bold=True)}")
    if shutil.which("falaj") is None:
        click.echo(f"  export PATH={Path(sys.executable).parent}:$PATH")
    click.echo(f"  cd {s.folder} && falaj up     then open {s.page} and sign in with the token in .falaj/owner.token")
    click.echo("  falaj models show fraud 1 --card | falaj source quarantine transactions | falaj audit list")
    click.echo("  tables: .falaj/tables (Delta)   decisions: predictions, outcomes: feedback")


def _line(name: str, text: str) -> None:
    click.echo(f"  {name:<18} {text}")


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
