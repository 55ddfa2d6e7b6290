"""Stats: workers' counts add up, never fall, and read as Prometheus text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.kernel.errors import StorageError
from falaj.serving.exposition import render
from falaj.serving.stats import Series, WorkerStats, read_stats, resume_stats, write_stats

SECOND_US = 1_000_000


def worker(name: str, *, requests: int, written_us: int = 0) -> WorkerStats:
    stats = WorkerStats(worker=name, written_us=written_us, routing_epoch=requests, connections=requests, queue_rows=2)
    series = stats.find("fraud", "champion", 3)
    series.watch([10.0, 0.5])
    for _ in range(requests):
        series.observe(700)
    series.observe(20_000, rows=2, errors=1)
    series.columns = ["v__a", "v__b"]
    series.count_statuses({"v__a": "PRESENT", "v__b": "NOT_FOUND"}, 2)
    series.count_statuses({"*": "PRESENT"}, requests)
    stats.count_batch(requests)
    stats.count_response(200)
    stats.log_drops = 1
    return stats


def test_workers_add_up_and_the_dead_stay_counted(tmp_path: Path) -> None:
    write_stats(worker("gateway-0.1", requests=5, written_us=100 * SECOND_US), tmp_path)
    write_stats(worker("gateway-1.1", requests=7, written_us=50 * SECOND_US), tmp_path)
    write_stats(worker("gateway-0.1", requests=6, written_us=100 * SECOND_US), tmp_path)
    stats = read_stats(tmp_path, 101 * SECOND_US)
    (series,) = stats.total.series
    assert (series.requests, series.errors, series.latency_us) == (17, 2, 13 * 700 + 80_000)
    assert series.over(10) == (17, 4)
    assert series.over(0.5) == (17, 17)
    assert series.over(99) == (0, 0)
    assert series.status_counts() == {"v__a": {"PRESENT": 17}, "v__b": {"NOT_FOUND": 4, "PRESENT": 13}}
    assert stats.live == ("gateway-0.1",)
    assert (stats.total.connections, stats.total.routing_epoch, stats.total.log_drops) == (6, 6, 2)
    assert stats.total.responses == {"200": 2}


def test_a_worker_counts_on_from_what_its_predecessor_left(tmp_path: Path) -> None:
    write_stats(worker("gateway-0", requests=5), tmp_path)
    resumed = resume_stats(tmp_path, "gateway-0")
    resumed.find("fraud", "champion", 3).observe(1)
    assert (resumed.series[0].requests, resumed.connections) == (8, 0)
    write_stats(resumed, tmp_path)
    assert read_stats(tmp_path, 0).total.series[0].requests == 8
    assert resume_stats(tmp_path, "gateway-1").series == []


def test_a_threshold_named_later_counts_from_then_on() -> None:
    series = Series(endpoint="e", variant="v", version=1)
    series.observe(50_000)
    series.watch([10])
    series.observe(50_000)
    series.observe(10_000)
    assert series.over(10) == (2, 1)


def test_a_file_of_another_release_is_named_not_summed(tmp_path: Path) -> None:
    (tmp_path / "old.msgpack").write_bytes(b"\x81\xa6worker\x01")
    write_stats(worker("gateway-0.1", requests=5), tmp_path)
    stats = read_stats(tmp_path, 0)
    assert stats.unreadable == ("old.msgpack",)
    assert stats.total.series[0].requests == 7
    assert read_stats(tmp_path / "absent", 0).total.series == []


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        write_stats(WorkerStats(worker="w"), tmp_path / "absent")


def test_quantiles_of_nothing_are_nothing() -> None:
    series = Series(endpoint="e", variant="v", version=1)
    assert series.quantile_ms(0.99) is None
    series.observe(10**9)
    assert series.quantile_ms(0.99) == float("inf")


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_is_never_below_the_true_one(latencies: list[int], quantile: float) -> None:
    series = Series(endpoint="e", variant="v", version=1)
    for latency_us in latencies:
        series.observe(latency_us)
    found = series.quantile_ms(quantile)
    assert found is not None
    within = sum(latency_us <= found * 1000 for latency_us in latencies)
    assert within >= quantile * len(latencies) - 1e-9


SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*")(,[a-z_]+="(\\.|[^"\\\n])*")*\})? [0-9.e+-]+')


def test_the_text_is_what_prometheus_reads(tmp_path: Path) -> None:
    odd = worker("gateway-0.1", requests=5)
    odd.find('quo"te\\\n', "champion", 1).observe(60)
    write_stats(odd, tmp_path)
    text = render(read_stats(tmp_path, 0)).decode()
    assert text.endswith("\n")
    seen = set()
    for line in text.splitlines():
        if line.startswith("#"):
            _, kind, name, *_ = line.split(" ")
            assert (kind, name) not in seen, "a family stands in one place"
            seen.add((kind, name))
        else:
            assert SAMPLE.fullmatch(line), line
    labels = 'endpoint="fraud",variant="champion",version="3",role="live"'
    assert f"falaj_predictions_total{{{labels}}} 7" in text
    assert f'falaj_predictions_over_threshold_total{{{labels},threshold_ms="10"}} 2' in text
    assert f'falaj_prediction_latency_seconds_bucket{{{labels},le="0.00075"}} 5' in text
    assert f'falaj_prediction_latency_seconds_bucket{{{labels},le="+Inf"}} 7' in text
    assert 'endpoint="quo\\"te\\\\\\n"' in text
