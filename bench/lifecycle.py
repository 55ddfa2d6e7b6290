"""Measures the life of a model; name lines to measure only those.

Every figure that others may read stands on a line `ratio: NAME VALUE`: medians of rounds in which the contenders take
turns on the same seeded data. Peers run in their own environments, which `python bench/peers/make.py evidently prefect
metaflow` makes.

One function measures a line, or lines that come from the same work; to add one, write it beside the others of its
subject and name it in `LINES`.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from drift_lines import compared, delay, evidently
from machine import print_machine
from peers.make import CACHE
from step_lines import on_ray, overheads, rates, resume, starts


def start(options: argparse.Namespace, place: Path) -> None:
    """Measure `import_ms` and `help_ms`."""
    del place
    starts(options.rounds)


def steps(options: argparse.Namespace, place: Path) -> None:
    """Measure `step_overhead_ms`, `child_step_overhead_ms`, `vs_prefect_step` and `vs_metaflow_step`."""
    del place
    overheads(options.rounds, options.steps, options.peers)


def ray(options: argparse.Namespace, place: Path) -> None:
    """Measure `ray_step_overhead_ms`."""
    del options, place
    on_ray()


def succeed(options: argparse.Namespace, place: Path) -> None:
    """Measure `resume_s`."""
    del place
    resume(options.rounds)


def rate(options: argparse.Namespace, place: Path) -> None:
    """Measure `steps_per_s_sqlite_*` and `steps_per_s_postgres_*`, with 1, 2 and 8 worker processes."""
    del place
    rates(options.rounds, options.steps)


def drift(options: argparse.Namespace, place: Path) -> None:
    """Measure `drift_50x1m_s` and `drift_vs_evidently`."""
    with evidently(options.peers) as peer:
        compared(options.drift_rows, options.rounds, peer, place)


def drift_delay(options: argparse.Namespace, place: Path) -> None:
    """Measure `drift_delay_windows_*` and `drift_false_alarms_*`, with windows of 100 and of 500 rows."""
    with evidently(options.peers) as peer:
        for window, shift in ((100, 1.0), (500, 0.5)):
            delay(window, shift, options.streams, peer, place)


LINES: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "start": start,
    "steps": steps,
    "ray": ray,
    "resume": succeed,
    "rate": rate,
    "drift": drift,
    "drift_delay": drift_delay,
}


def main() -> None:
    """Measure and print."""
    options = _options()
    print_machine()
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as folder:
        for line in options.line or LINES:
            print(f"{line}:")
            LINES[line](options, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("line", nargs="*", help=f"which lines: {', '.join(LINES)} (default all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default 3)")
    parser.add_argument("--peers", type=Path, default=CACHE, help="folder of the peers' environments (default .peers)")
    parser.add_argument("--steps", type=int, default=300, help="tiny steps of a run (default 300)")
    parser.add_argument("--drift-rows", type=int, default=1_000_000, help="rows that drift compares (default 1M)")
    parser.add_argument("--streams", type=int, default=5, help="streams of drift_delay (default 5)")
    options = parser.parse_args()
    unknown = [line for line in options.line if line not in LINES]
    if unknown:
        parser.error(f"no line is called {unknown[0]!r}; there are {', '.join(LINES)}")
    if options.rounds < 1:
        parser.error("--rounds: give at least 1")
    return options


if __name__ == "__main__":
    main()
