"""A gateway worker that is watched: a collector, an access log and Prometheus, all real; and what a kill leaves."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.serving.redaction import is_sampled
from support.gateway_process import Project, WorkerProcess, call
from support.prometheus import Prometheus, prometheus
from support.serving_world import OWNER, ask, route
from support.waiting import until
from support.webhook import Webhook

PREDICT = "/v1/endpoints/fraud/predict"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "project")
    made.publish(route(made.variant(1)))
    yield made
    made.close()


@contextmanager
def running(project: Project, **more: Any) -> Iterator[WorkerProcess]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        worker = WorkerProcess(project, listening, **more)
        try:
            yield worker
        finally:
            worker.end()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def decide(worker: WorkerProcess, card: str = "c1") -> str:
    status, answer = call(worker.port, "POST", PREDICT, ask(card, 10.0))
    assert status == 200, answer
    return str(answer["request_id"])


def metric(worker: WorkerProcess, name: str) -> float:
    lines = call(worker.port, "GET", "/metrics", token=OWNER)[1].splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


def trace_ids(collector: Webhook) -> list[str]:
    """The trace of each request that the collector has a span of."""
    spans = [s for body in collector.accepted for s in body["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    return [span["traceId"] for span in spans if span["kind"] == 2 and "predict" in span["name"]]


def test_traces_and_lines_are_those_of_the_records(project: Project, tmp_path: Path) -> None:
    collector = Webhook(free_port())
    collector.start()
    access_path = tmp_path / "access" / "gateway-0.jsonl"
    watching = {
        "tracing": {"enabled": True, "otlp_url": f"http://127.0.0.1:{collector.port}/v1/traces", "sample_ratio": 1.0},
        "access_log": {"enabled": True},
        "access_path": str(access_path),
    }
    with running(project, watching=watching) as worker:
        decided = [decide(worker) for _ in range(50)]
        assert worker.end() == 0  # what waits is sent and written before it ends
    collector.stop()
    records = project.records()
    assert [record.request_id for record in records] == decided
    lines = [json.loads(line) for line in access_path.read_text().splitlines()]
    assert [line["trace_id"] for line in lines if line["name"] == "fraud"] == [record.trace_id for record in records]
    assert trace_ids(collector) == [record.trace_id for record in records]
    assert len({record.trace_id for record in records}) == 50


def test_a_collector_that_is_away_costs_traces_and_no_decision(project: Project) -> None:
    watching = {
        "tracing": {"enabled": True, "otlp_url": f"http://127.0.0.1:{free_port()}/v1/traces", "sample_ratio": 1.0}
    }
    with running(project, watching=watching) as worker:
        decided = [decide(worker) for _ in range(20)]
        assert metric(worker, "falaj_log_records_total") == 20
        assert worker.end() == 0
    assert [record.request_id for record in project.records()] == decided


def test_a_kill_takes_no_sampled_decision_and_writes_no_redacted_value(project: Project) -> None:
    policy = PredictionPolicy(sample_ratio=0.5, redact={"card_id": "hash", "amount": "drop"})
    project.publish(route(project.variant(1), prediction_log=policy))
    with running(project, redaction_key="a key") as worker:
        decided = [decide(worker, f"card-{number}") for number in range(60)]
        written, unsampled = metric(worker, "falaj_log_records_total"), metric(worker, "falaj_log_unsampled_total")
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL
    raw = b"".join(path.read_bytes() for path in (project.root / "log").iterdir())
    records = project.records()
    assert [record.request_id for record in records] == [one for one in decided if is_sampled(one, 0.5)]
    assert (written, written + unsampled) == (len(records), 60)
    assert len({record.entities["card_id"]["redacted"] for record in records}) == len(records)
    assert b"card-" not in raw


def test_prometheus_scrapes_it(project: Project, tmp_path: Path) -> None:
    with running(project, watching={"peer_names": ["kserve", "mlserver", "seldon"]}) as worker:
        for _ in range(7):
            decide(worker)
        with prometheus(tmp_path, {"falaj": worker.port}, OWNER) as scraping:
            for query in (
                'sum(falaj_predictions_total{endpoint="fraud"})',
                "sum(request_predict_seconds_count)",
                'sum(seldon_api_executor_client_requests_seconds_count{code="200"})',
                "sum(model_infer_request_success_total)",
            ):
                until(lambda q=query: value(scraping, q) == "7", query)  # type: ignore[misc]
            quantile = value(scraping, "histogram_quantile(0.5, falaj_prediction_latency_seconds_bucket)")
            assert 0 < float(quantile) < 1
            assert value(scraping, "up") == "1"


def value(scraping: Prometheus, query: str) -> str:
    """What Prometheus says; empty while it says nothing."""
    result = scraping.query(query)
    return str(result[0]["value"][1]) if result else ""
