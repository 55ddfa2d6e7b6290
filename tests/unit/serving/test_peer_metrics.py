"""What `/metrics` says, read by Prometheus' own parsers, under our names and under the peers'."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from falaj.serving.exposition import render
from falaj.serving.peer_metrics import peer_families
from falaj.serving.stats import CacheCounts, WorkerStats, read_stats, write_stats

ALL = ("kserve", "mlserver", "seldon")


def counted() -> WorkerStats:
    """A worker that made 10 decisions in 0.2 ms each, of which 3 failed, and 5 with the next version in 2 ms."""
    stats = WorkerStats(worker="gateway-0", responses={"200": 12, "500": 3})
    stats.caches = {"responses": CacheCounts(7, 3, 1, 640)}
    champion = stats.find("fraud", "champion", 1)
    champion.watch([1])
    champion.observe(200, 7)
    champion.observe(200, 3, errors=3)
    champion.columns = ["activity__velocity"]
    champion.count_statuses({"*": "PRESENT"}, 10)
    stats.find("fraud", "candidate", 2).observe(2_000, 5)
    stats.find("fraud", "candidate", 3, "shadow").observe(9_000, 100)
    stats.count_batch(15)
    return stats


def text(tmp_path: Path, *peers: str) -> str:
    write_stats(counted(), tmp_path)
    stats = read_stats(tmp_path, 0)
    return render(stats, peer_families(stats.total, peers)).decode()


def families(tmp_path: Path, *peers: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text(tmp_path, *peers))}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    """The one sample of that name with at least these labels."""
    samples: Iterator[float] = (
        sample.value
        for family in found.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    (only,) = samples
    return only


def test_nobody_pays_for_names_that_nobody_reads(tmp_path: Path) -> None:
    assert all(name.startswith("falaj_") for name in families(tmp_path))
    for peer, prefix in (("kserve", "request_"), ("mlserver", "model_infer_"), ("seldon", "seldon_api_")):
        assert any(name.startswith(prefix) for name in families(tmp_path, peer))
    assert not any(name.startswith("seldon") for name in families(tmp_path, "kserve", "mlserver"))


def test_kserve(tmp_path: Path) -> None:
    found = families(tmp_path, "kserve")
    assert found["request_predict_seconds"].type == "histogram"
    assert value(found, "request_predict_seconds_bucket", model_name="fraud", le="0.0002") == 10
    assert value(found, "request_predict_seconds_count", model_name="fraud") == 15
    assert value(found, "request_predict_seconds_sum", model_name="fraud") == pytest.approx(0.012)


def test_mlserver(tmp_path: Path) -> None:
    found = families(tmp_path, "mlserver")
    assert value(found, "model_infer_request_success_total", model="fraud", version="1") == 7
    assert value(found, "model_infer_request_failure_total", model="fraud", version="1") == 3
    assert found["model_infer_request_duration"].type == "summary"
    assert value(found, "model_infer_request_duration_count", model="fraud", version="2") == 5
    assert value(found, "model_infer_request_duration_sum", model="fraud", version="2") == pytest.approx(0.01)
    assert value(found, "rest_server_requests_total", status_code="500") == 3


def test_seldon(tmp_path: Path) -> None:
    found = families(tmp_path, "seldon")
    for side in ("server", "client"):
        name = f"seldon_api_executor_{side}_requests_seconds"
        champion = {"deployment_name": "fraud", "predictor_name": "champion", "method": "post"}
        assert value(found, f"{name}_count", code="200", **champion) == 7
        assert value(found, f"{name}_count", code="500", **champion) == 3
        assert value(found, f"{name}_bucket", code="500", le="0.0002", **champion) == 3
        assert value(found, f"{name}_sum", code="200", **champion) == pytest.approx(0.0014)
        assert value(found, f"{name}_count", predictor_name="candidate", predictor_version="2") == 5
    client = "seldon_api_executor_client_requests_seconds_count"
    assert value(found, client, model_name="champion", model_version="1", code="200") == 7


def test_caches_are_counted_by_name(tmp_path: Path) -> None:
    found = families(tmp_path)
    assert value(found, "falaj_cache_hits_total", cache="responses") == 7
    assert value(found, "falaj_cache_misses_total", cache="responses") == 3
    assert value(found, "falaj_cache_evictions_total", cache="responses") == 1
    assert value(found, "falaj_cache_size_bytes", cache="responses") == 640
    gone = read_stats(tmp_path, 10_000_000).total.caches["responses"]
    assert (gone.hits, gone.size_bytes) == (7, 0)  # what a dead worker held is free


def test_prometheus_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text(tmp_path, *ALL), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
