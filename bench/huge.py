"""A training set from more events than fit into memory, measured: `python bench/huge.py --events 100000000`.

Events are written chunk by chunk to one Parquet file; then a process of its own joins a frame of label rows to them and
says how much memory it had at its peak.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from feature_world import INSTANT, SPAN_US, START_US, plain_service, windowed_service, write_stream

from falaj.features.offline import training_frame

_SERVICES = {"plain": plain_service, "windows": windowed_service}
_GB = 1_000_000_000


def peak_gb(events: int, labels: int, entities: int) -> dict[str, float]:
    """Print and return the peak memory in GB of each kind of training set.

    Args:
        events: How many events.
        labels: How many rows the training set has.
        entities: How many customers.
    """
    peaks = {}
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as folder:
        path = Path(folder) / "events.parquet"
        began = time.perf_counter()
        write_stream(path, events=events, entities=entities)
        size = path.stat().st_size / _GB
        print(
            f"  {events} events of {entities} customers written in {time.perf_counter() - began:.0f} s, {size:.1f} GB"
        )
        for kind in _SERVICES:
            words = [sys.executable, __file__, "--child", kind, "--path", str(path)]
            sizes = ["--labels", str(labels), "--entities", str(entities)]
            done = subprocess.run([*words, *sizes], stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                print(f"  {kind}: ended with {done.returncode}; a negative number is a signal, -9 for want of memory")
                peaks[kind] = float("nan")
                continue
            said = json.loads(done.stdout.splitlines()[-1])
            print(f"  {kind}: {labels} rows in {said['seconds']:.1f} s, peak {said['peak_gb']:.2f} GB", flush=True)
            peaks[kind] = said["peak_gb"]
    return peaks


def _child(kind: str, path: Path, labels: int, entities: int) -> None:
    rng = np.random.default_rng(5)
    at = pa.array(START_US + rng.integers(SPAN_US // 3, SPAN_US, labels), INSTANT)
    frame = pa.table({"customer_id": rng.integers(0, entities, labels), "event_timestamp": at})
    began = time.perf_counter()
    answer = training_frame(_SERVICES[kind](), frame, {"events": ds.dataset(path)})
    seconds = time.perf_counter() - began
    assert answer.num_rows == labels
    print(json.dumps({"seconds": seconds, "peak_gb": _peak_bytes() / _GB}))


def _peak_bytes() -> int:
    """Return this process's greatest resident size.

    Linux counts what the parent had at the fork into `ru_maxrss`, so its own figure is read instead.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000_000, help="how many (default 100 million)")
    parser.add_argument("--labels", type=int, default=1_000_000, help="rows of the training set (default 1 million)")
    parser.add_argument("--entities", type=int, default=1_000_000, help="customers (default 1 million)")
    parser.add_argument("--child", choices=sorted(_SERVICES), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        _child(options.child, options.path, options.labels, options.entities)
    else:
        peak_gb(options.events, options.labels, options.entities)


if __name__ == "__main__":
    main()
