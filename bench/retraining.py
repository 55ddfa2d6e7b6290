"""Two years of bicycle hire by the hour, served and retrained: error over time and runs by what triggers them.

`python bench/retraining.py` replays `../shared/data/bike_sharing_hour.csv.gz` by the definitions in `bench/retraining`.
A first version learns January and February 2011, and then the clock goes from week to week. Each hour is decided as of
its instant, the outcomes come a week late, and monitors, triggers, trainings, gates, promotions and canaries do
what they do in a running project. Name policies (never, monthly, drift, performance, both) to replay only those.

Prints the root mean squared error of each month's decisions, then lines `replay: POLICY_NAME VALUE`.
"""

import argparse
import csv
import gzip
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from machine import print_machine
from replayed import Replayed, replayed

from falaj.pipelines.runs import run_outputs
from falaj.serving.intake import Instance

_HERE = Path(__file__).resolve().parent
DATA = _HERE.parents[1] / "shared" / "data" / "bike_sharing_hour.csv.gz"
POLICIES = ("never", "monthly", "drift", "performance", "both")
FIRST = datetime(2011, 3, 1, tzinfo=UTC)
_WHOLE = ("hr", "weekday", "workingday", "weathersit")
_SHARES = ("temp", "hum", "windspeed")
_WEEK = timedelta(days=7)
_SETTINGS = """\
[project]
name = "replayed"

[consistency]
every_s = 2419200  # every four weeks of the replay: what was served is held against the tables
"""

Hour = dict[str, Any]


def main() -> None:
    """Replay and print."""
    options = _options()
    if not options.file.exists():
        sys.exit(f"not measured: {options.file} is not there")
    hours = read_hours(options.file)
    print_machine()
    errors, runs = {}, {}
    for policy in options.policy or POLICIES:
        began = time.perf_counter()
        errors[policy], told = replay(policy, hours, options.weeks)
        print(f"{policy}: {len(told)} runs by triggers, {time.perf_counter() - began:.0f} s")
        for line in told:
            print(f"  {line}")
        runs[policy] = len(told)
    show(errors, runs)


def replay(policy: str, hours: list[Hour], most: int) -> tuple[dict[str, tuple[float, int]], list[str]]:
    """Replay the weeks under one policy.

    Returns:
        Month to the sum of squared errors and the number of decisions, and a line for each run that a trigger started.
    """
    os.environ["BENCH_RETRAIN"] = policy
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        folder = Path(name)
        (folder / "falaj.toml").write_text(_SETTINGS)
        shutil.copy(_HERE / "retraining" / "rides.py", folder)
        with replayed(folder, FIRST) as project:
            project.push("hours", [hour for hour in hours if hour["at"] < FIRST])
            project.begin("rides", "demand")
            untold: list[tuple[str, float]] = []
            for week in range(most):
                begins = FIRST + week * _WEEK
                passing = [hour for hour in hours if begins <= hour["at"] < begins + _WEEK]
                project.pass_time(begins + _WEEK)
                project.tell(untold)  # of the week before
                untold = live(project, passing) if passing else []
            project.pass_time(begins + 2 * _WEEK)
            project.tell(untold)
            project.rooms.predictions.compact()
            return monthly(project), triggered(project)


def live(project: Replayed, hours: list[Hour]) -> list[tuple[str, float]]:
    """Let hours come in and each be decided as of its beginning; return what came true."""
    project.push("hours", hours)
    asked = [
        Instance({"city_id": "capital"}, {name: hour[name] for name in (*_WHOLE, *_SHARES)}, at=hour["at"].isoformat())
        for hour in hours
    ]
    rows = project.decide("demand", asked)
    return [(row.request_id, float(hour["cnt"])) for row, hour in zip(rows, hours, strict=True)]


def monthly(project: Replayed) -> dict[str, tuple[float, int]]:
    """Sum the squared errors of each month from the project's own log of decisions and outcomes."""
    joined = project.rooms.predictions.joined("demand").filter(pc.is_valid(pc.field("outcome")))
    months = pc.strftime(joined.column("at_us").cast("timestamp[us]"), "%Y-%m").to_pylist()
    squares = (joined.column("score").to_numpy() - joined.column("outcome").to_numpy()) ** 2
    found: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for month, square in zip(months, squares.tolist(), strict=True):
        total, count = found[month]
        found[month] = total + square, count + 1
    return dict(sorted(found.items()))


def triggered(project: Replayed) -> list[str]:
    """Say of each run that a trigger started when and why it began, and what came of it."""
    lines = []
    for run in reversed(project.runs("rides")[:-1]):
        outputs = run_outputs(project.rooms.db, run.id)
        version, gate = outputs.get("register", {}).get("version"), outputs.get("gate", {}).get("outcome", "no gate")
        stage = "" if version is None else project.rooms.registry.stage_of("rides", version)
        day = datetime.fromtimestamp(run.created / 1e6, UTC).date()
        lines.append(f"{day} version {version}: gate {gate}, now {stage}: {run.reason}")
    return lines


def show(errors: dict[str, dict[str, tuple[float, int]]], runs: dict[str, int]) -> None:
    """Print the table of months and the lines that others read."""
    policies = list(errors)
    print(f"\n{'month':<9}" + "".join(f"{policy:>13}" for policy in policies))
    for month in errors[policies[0]]:
        shown = (errors[policy].get(month, (np.nan, 1)) for policy in policies)
        print(f"{month:<9}" + "".join(f"{np.sqrt(total / count):>13.1f}" for total, count in shown))
    for policy, months in errors.items():
        total, count = (sum(column) for column in zip(*months.values(), strict=True))
        print(f"replay: {policy}_rmse {np.sqrt(total / count):.1f}")
        print(f"replay: {policy}_runs {runs[policy]}")


def read_hours(file: Path) -> list[Hour]:
    """Read the hours, in order."""
    hours: list[Hour] = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            day = datetime.fromisoformat(row["dteday"]).replace(tzinfo=UTC)
            hour: Hour = {"hour_id": row["instant"], "city_id": "capital", "at": day + timedelta(hours=int(row["hr"]))}
            hour |= {name: int(row[name]) for name in (*_WHOLE, "cnt")} | {name: float(row[name]) for name in _SHARES}
            hours.append(hour)
    return hours


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", nargs="*", help=f"which: {', '.join(POLICIES)} (default all)")
    parser.add_argument("--file", type=Path, default=DATA, help="the hours")
    parser.add_argument("--weeks", type=int, default=96, help="replay only so many of the 96 weeks")
    options = parser.parse_args()
    unknown = [policy for policy in options.policy if policy not in POLICIES]
    if unknown:
        parser.error(f"no policy is called {unknown[0]!r}; there are {', '.join(POLICIES)}")
    return options


if __name__ == "__main__":
    main()
