"""A small project that is not about cards: pumps that fail when they shake, and a summer that warms them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from support.tour import write_rows

FIRST = datetime(2025, 3, 1, tzinfo=UTC)
DEFINITIONS = """\
import falaj as fj

pump = fj.Entity("pump", key="pump_id", dtype="int64")
readings = fj.Source(
    "readings", batch=fj.Parquet("data/*.parquet"), stream=fj.Push(), id="reading_id", timestamp="at",
    checks=[fj.check.between("vibration", 0, 50)],
)
shaking = fj.FeatureView(
    "shaking", pump, readings,
    {"readings_1d": fj.count(window="1d"), "vibration_mean_3d": fj.mean("vibration", window="3d")},
)
inputs = fj.FeatureService(
    "pump_inputs", [shaking, fj.request("vibration", "float64"), fj.request("temperature", "float64")]
)
model = fj.Model(
    "pump_failure", features=inputs, label=fj.Label(readings, "failed", delay="1h"),
    trainer=fj.lightgbm(num_trees=20), split=fj.split.by_time(test="20%"),
    gates=[fj.gate.at_least("auc", 0.8), fj.gate.no_worse_than_production("auc", by=0.05)],
)
endpoint = fj.Endpoint(
    "pumps", model,
    rollout=fj.canary(steps=[50, 100], bake="1s", min_requests=30, abort_if=[fj.error_ratio > 0.2]),
    monitor=fj.monitor(window=200, persistence=2),
    retrain=fj.retrain(on=[fj.on.drift()], cooldown="1h"),
)
"""


def readings(rows: int, first: datetime, *, seed: int, warmer: float = 0.0) -> list[dict[str, Any]]:
    """Return readings, ten minutes apart; a pump that shakes fails, whatever its temperature."""
    random = np.random.default_rng(seed)
    vibration = random.lognormal(0.5, 0.5, rows)
    temperature = random.normal(50 + warmer, 5, rows)
    failed = vibration + random.normal(0, 0.3, rows) > 3.0
    return [
        {
            "reading_id": f"r{seed}-{number}",
            "at": first + timedelta(minutes=10 * number),
            "pump_id": int(random.integers(40)),
            "vibration": float(vibration[number]),
            "temperature": float(temperature[number]),
            "failed": int(failed[number]),
        }
        for number in range(rows)
    ]


def write_pumps(folder: Path) -> None:
    """Write the project: definitions, a spring of history, a summer of events, and a second one."""
    (folder / "stream").mkdir(parents=True)
    (folder / "falaj.toml").write_text('[project]\nname = "waterworks"\nfiles = ["pumps.py"]\n')
    (folder / "pumps.py").write_text(DEFINITIONS)
    spring = readings(3_000, FIRST, seed=1)
    write_rows(folder / "data" / "spring.parquet", spring)
    summer = spring[-1]["at"] + timedelta(days=1)
    _write_events(folder / "stream" / "summer.jsonl", readings(700, summer, seed=2, warmer=20))
    later = summer + timedelta(days=7)
    # Fewer than two windows of the monitor: what is trained on the summer has a little spring among its test rows, from
    # which so much of a later summer would drift.
    _write_events(folder / "stream" / "later.jsonl", readings(390, later, seed=3, warmer=20))


def _write_events(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps({**row, "at": row["at"].isoformat()}) + "\n" for row in rows))
