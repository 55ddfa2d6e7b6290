"""Measures features: training sets, materialisation and online reads, beside Feast and beside queries written by hand.

`python bench/features.py` measures every line but the huge one; name lines to measure only those. Every figure that
others may read stands on a line `ratio: NAME VALUE`: medians of rounds in which the contenders take turns on the same
seeded data. Feast runs in its own environment, which `python bench/peers/make.py feast` makes.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from feature_world import World, write_world
from huge import peak_gb
from machine import print_machine
from online_lines import materialise, online_read
from peers.feast_peer import Feast, feast
from peers.make import CACHE, NotMade, python_of
from point_in_time_lines import feast_views, point_in_time, windows
from rounds import print_missing, print_ratio

_HERE = Path(__file__).parent
_ELSEWHERE = {
    "online_vs_raw_redis": "online.py",
    "bytes_per_entity": "memory.py",
    "push_fresh_p99_ms": "push.py",
}
"""Lines that other scripts measure, on servers of their own."""
_OWN = ("pit", "windows", "materialize", "online_read")
_HUGE = "peak_rss_100m_gb"


def main() -> None:
    """Measure and print."""
    options = _options()
    lines = options.line or [*_OWN, *_ELSEWHERE]
    print_machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="falaj-bench-")))
        if set(lines) & set(_OWN):
            _measure_own(lines, folder, options, stack)
        for line in lines:
            if line in _ELSEWHERE:
                _measure_elsewhere(line)
    if options.huge:
        peaks = peak_gb(options.huge_events, 1_000_000, 1_000_000)
        print_ratio(_HUGE, max(peaks.values()), "<= 8")
    else:
        print_missing(_HUGE, "it takes minutes and some 5 GB of disk; add --huge")


def _measure_own(lines: list[str], folder: Path, options: argparse.Namespace, stack: ExitStack) -> None:
    world = write_world(folder, events=options.events, entities=options.entities, labels=options.labels)
    sizes = f"{options.events} events, {options.entities} entities, {options.labels} label rows"
    print(f"data: {sizes}; {options.rounds} rounds")
    peer = _feast(world, options.peers, stack)
    measures: dict[str, Callable[[], None]] = {
        "pit": lambda: point_in_time(world, options.rounds, peer),
        "windows": lambda: windows(world, options.rounds),
        "materialize": lambda: materialise(world, options.rounds, peer),
        "online_read": lambda: online_read(options.rounds, peer, world),
    }
    for name, run in measures.items():
        if name in lines:
            run()


def _feast(world: World, peers: Path, stack: ExitStack) -> Feast | None:
    try:
        python = python_of("feast", peers)
    except NotMade as error:
        print(f"Feast: {error}")
        return None
    peer = stack.enter_context(feast(python))
    place = world.folder / "feast"
    place.mkdir()
    peer.ask("open", folder=str(place), views=feast_views(world))
    print(f"Feast {peer.ask('version')['version']}")
    return peer


def _measure_elsewhere(line: str) -> None:
    script = _HERE / _ELSEWHERE[line]
    if not script.is_file():
        print_missing(line, f"file absent: bench/{script.name}")
        return
    print(f"$ python bench/{script.name}", flush=True)
    done = subprocess.run([sys.executable, str(script)], check=False)
    if done.returncode != 0:
        print_missing(line, f"bench/{script.name} ended with {done.returncode}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("line", nargs="*", help=f"which lines: {', '.join([*_OWN, *_ELSEWHERE])} (default all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default 3)")
    parser.add_argument("--events", type=int, default=1_000_000, help="events (default 1 million)")
    parser.add_argument("--entities", type=int, default=20_000, help="customers (default 20000)")
    parser.add_argument("--labels", type=int, default=200_000, help="label rows (default 200000)")
    parser.add_argument("--peers", type=Path, default=CACHE, help="folder of the peers' environments (default .peers)")
    parser.add_argument("--huge", action="store_true", help=f"measure {_HUGE} too; lines named beside it still count")
    parser.add_argument("--huge-events", type=int, default=100_000_000, help="its events (default 100 million)")
    options = parser.parse_args()
    unknown = [line for line in options.line if line not in (*_OWN, *_ELSEWHERE)]
    if unknown:
        parser.error(f"no line is called {unknown[0]!r}; there are {', '.join([*_OWN, *_ELSEWHERE])}")
    if options.rounds < 1:
        parser.error("--rounds: give at least 1")
    return options


if __name__ == "__main__":
    main()
