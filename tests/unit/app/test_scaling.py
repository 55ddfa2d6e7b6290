"""Scaling: soon up, late down, and not to and fro."""

from itertools import pairwise
from pathlib import Path

from falaj.app.scaling import Load, Scaling, read_load
from falaj.serving.stats import WorkerStats, write_stats

SLOW, QUICK, IDLE = (1000, 500), (1000, 0), (0, 0)


class Watched:
    """A gateway whose decisions a test makes slow or quick; looked at every second."""

    def __init__(self, least: int = 1, most: int = 4, shrink_s: float = 60.0) -> None:
        self.scaling = Scaling(least, most, target_ms=5.0, shrink_s=shrink_s)
        self.running = least
        self.now_s = 0.0
        self.sizes: list[int] = []
        self._decisions = self._slow = 0

    def go(self, seconds: int, kind: tuple[int, int], *, waiting: float = 0.0, late_ms: float = 0.0) -> list[int]:
        """Return the sizes that it took, repetitions left out."""
        sizes = [self.running]
        for _ in range(seconds):
            self.now_s += 1
            self._decisions += kind[0]
            self._slow += kind[1]
            load = Load(self._decisions, self._slow, waiting, late_ms)
            self.running = self.scaling.wanted(self.now_s, self.running, load)
            sizes += [self.running] if sizes[-1] != self.running else []
        return sizes


def test_it_grows_while_decisions_are_slow_and_stops_at_the_most() -> None:
    assert Watched().go(60, SLOW) == [1, 2, 3, 4]
    assert Watched().go(60, QUICK, waiting=1000) == [1, 2, 3, 4]
    assert Watched().go(60, QUICK, late_ms=20) == [1, 2, 3, 4]
    assert Watched().go(60, IDLE, late_ms=20) == [1]  # nobody waits for a loop that was late


def test_a_moment_is_no_reason() -> None:
    site = Watched()
    for _ in range(20):
        site.go(2, SLOW)
        site.go(1, QUICK)
    assert site.running == 1


def test_it_shrinks_long_after_and_one_at_a_time() -> None:
    site = Watched()
    site.go(60, SLOW)
    assert site.go(59, QUICK) == [4]
    assert site.go(300, IDLE) == [4, 3, 2, 1]
    assert site.go(1000, IDLE) == [1]


def test_a_load_between_two_sizes_moves_it_ever_more_seldom() -> None:
    site, changes = Watched(), []
    site.go(10, SLOW)
    for _ in range(20_000):
        before = site.running
        site.go(1, SLOW if before == 1 else QUICK)
        if site.running < before:
            changes.append(site.now_s)
    pauses = [b - a for a, b in pairwise(changes)]
    assert pauses[:3] == sorted(pauses[:3])
    assert pauses[-1] > 8 * 60


def test_a_worker_that_went_with_its_counts_is_no_load() -> None:
    scaling = Scaling(1, 4, target_ms=5.0, shrink_s=60.0)
    scaling.wanted(1.0, 2, Load(decisions=10_000, slow=9_000))
    assert scaling.wanted(2.0, 2, Load(decisions=100, slow=0)) == 2


def test_what_workers_write_is_what_it_goes_by(tmp_path: Path) -> None:
    for number, (latency_us, written_us) in enumerate([(4_000, 10_000_000), (7_000, 10_000_000), (9_000, 0)]):
        stats = WorkerStats(worker=f"gateway-{number}", written_us=written_us, queue_rows=30, late_us=number * 1000)
        stats.find("fraud", "champion", 1).observe(latency_us, rows=10)
        stats.find("fraud", "rival", 2, "shadow").observe(1_000_000, rows=10)
        write_stats(stats, tmp_path)
    names = [f"gateway-{number}" for number in range(4)]
    assert read_load(tmp_path, names, 5.0, 11_000_000) == Load(30, 20, 30.0, 1.0, 2)
    assert read_load(tmp_path, names[:1], 5.0, 11_000_000) == Load(10, 0, 30.0, 0.0, 1)
