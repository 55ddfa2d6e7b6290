"""Lines about drift: what a comparison of many columns costs, and how soon and how rightly it is told."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from peers.asked import Asked, asked
from peers.make import NotMade, python_of
from rounds import measure, print_missing, print_ratio

from falaj.monitoring.drift import DriftState, DriftVerdict, advance, judge
from falaj.monitoring.questions import DriftPolicy, examine
from falaj.monitoring.references import fit_references

COLUMNS = 50
_WORKER = Path(__file__).parent / "peers" / "evidently_worker.py"
_CATEGORIES = np.array(["AE", "OM", "SA", "QA", "BH", "KW", "IN", "PK"])
_MOVED = "x00"


@contextmanager
def evidently(folder: Path) -> Iterator[Asked | None]:
    """Run Evidently for as long as the block lasts; None where it was not made.

    Args:
        folder: Where the peers' environments are kept.
    """
    with ExitStack() as stack:
        try:
            peer = stack.enter_context(asked(python_of("evidently", folder), _WORKER))
        except NotMade as error:
            print(f"Evidently: {error}")
            yield None
        else:
            print(f"Evidently {peer.ask('version')['version']}")
            yield peer


def draw(rows: int, rng: np.random.Generator, shift: float = 0.0) -> dict[str, pa.Array]:
    """Return `COLUMNS` columns, each fifth of categories, the first moved by so many standard deviations.

    Args:
        rows: How many rows.
        rng: Whose numbers.
        shift: Of the first column.
    """
    columns = {f"x{number:02}": _column(number % 5, rng.normal(size=rows), rng) for number in range(COLUMNS)}
    columns[_MOVED] = pa.array(columns[_MOVED].to_numpy() + shift)
    return columns


def _column(kind: int, values: NDArray[np.float64], rng: np.random.Generator) -> pa.Array:
    if kind == 4:
        return pa.array(_CATEGORIES[rng.integers(0, _CATEGORIES.size, values.size)])
    shaped = {1: np.exp(values), 2: np.where(values < 0, 0.0, np.round(values, 1)), 3: np.round(10 * values)}
    return pa.array(shaped.get(kind, values))


def compared(rows: int, rounds: int, peer: Asked | None, place: Path) -> None:
    """Measure `drift_50x1m_s` and `drift_vs_evidently`: both get two frames in memory and say what drifted.

    Ours freezes the reference, counts the other frame, and judges: every question of every column, and all pairs among
    32 of them. Evidently runs its preset for drift with its own choice of tests, once, between our turns.

    Args:
        rows: Rows of each frame.
        rounds: Turns that count.
        peer: Evidently, or None.
        place: For the frames.
    """
    rng = np.random.default_rng(1)
    frames = {"reference": draw(rows, rng), "current": draw(rows, rng, shift=0.5)}
    found: dict[str, list[str]] = {}

    def ours() -> None:
        references = fit_references(frames["reference"])
        policy = DriftPolicy(persistence=1)
        found["falaj"] = list(judge(references, [references.count(frames["current"])], policy).drifted)

    began = time.process_time()
    ours()
    cpu_s = time.process_time() - began
    taken = measure({"falaj": ours}, rounds)
    print_ratio("drift_50x1m_s", taken.median("falaj"), "<= 5")
    if peer is None:
        print_missing("drift_vs_evidently", "Evidently is not made")
        return
    for name, frame in frames.items():
        pq.write_table(pa.table(frame), place / f"{name}.parquet")
        peer.ask("load", name=name, path=str(place / f"{name}.parquet"))
    answer = peer.ask("drift", reference="reference", current="current")  # it takes minutes: once is enough
    again = measure({"falaj": ours}, rounds)
    found["evidently"] = answer["drifted"]
    print(f"  evidently {answer['seconds']:.1f} s, {answer['cpu_s']:.1f} s of CPU; falaj {cpu_s:.1f} s of CPU")
    print(f"  drifted, of {COLUMNS} columns of which {_MOVED} was moved by 0.5 deviations: {found}")
    ours_s = statistics.mean([taken.median("falaj"), again.median("falaj")])
    print_ratio("drift_vs_evidently", answer["seconds"] / ours_s, ">= 20", ".1f")
    print_ratio("drift_cpu_vs_evidently", answer["cpu_s"] / cpu_s, "where others are at work too", ".1f")


def delay(window: int, shift: float, streams: int, peer: Asked | None, place: Path) -> None:
    """Measure how many windows until a moved column is told, and how many quiet windows are told falsely.

    Each stream has a reference of 2,000 rows, then five quiet windows, then ten in which one column is moved. Ours is
    the monitor as it is by default, which needs two windows that agree; Evidently's word is taken at once.

    Args:
        window: Rows of a window.
        shift: How far the column moves, in standard deviations.
        streams: How many.
        peer: Evidently, or None.
        place: For the frames.
    """
    quiet, moved = 5, 10
    told: dict[str, list[list[set[str]]]] = {"falaj": [], "evidently": []}
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        reference = draw(2000, rng)
        parts = [draw(window, rng, 0.0 if number < quiet else shift) for number in range(quiet + moved)]
        told["falaj"].append(_by_us(reference, parts))
        if peer is not None:
            told["evidently"].append(_by_evidently(peer, reference, parts, place))
    print(f"  {streams} streams, windows of {window} rows, one of {COLUMNS} columns moved by {shift} deviations")
    for who, found in told.items():
        if found:
            false = sum(bool(words) for stream in found for words in stream[:quiet])
            delays = [_first(stream[quiet:]) for stream in found]
            print(f"  {who:<10} told after {statistics.median(delays):g} windows (median), {max(delays)} at most")
            print_ratio(f"drift_delay_windows_{window}_{who}", statistics.median(delays), "as few as Evidently's", "g")
            share = false / (quiet * len(found))
            print_ratio(f"drift_false_alarms_{window}_{who}", share, "<= 0.01 of quiet windows", ".3f")


def _first(stream: list[set[str]]) -> int:
    """Return in which window the moved column was told first; one more than there are where it never was."""
    return next((number for number, words in enumerate(stream, start=1) if _MOVED in words), len(stream) + 1)


def _by_us(reference: dict[str, pa.Array], parts: list[dict[str, pa.Array]]) -> list[set[str]]:
    references, policy, state = fit_references(reference), DriftPolicy(min_rows=100), DriftState()
    told: list[set[str]] = []
    verdict: DriftVerdict
    for part in parts:
        state, verdict = advance(state, examine(references, references.count(part), policy), policy)
        told.append(set(verdict.drifted))
    return told


def _by_evidently(
    peer: Asked, reference: dict[str, pa.Array], parts: list[dict[str, pa.Array]], place: Path
) -> list[set[str]]:
    pq.write_table(pa.table(reference), place / "reference.parquet")
    pq.write_table(pa.concat_tables([pa.table(part) for part in parts]), place / "stream.parquet")
    for name in ("reference", "stream"):
        peer.ask("load", name=name, path=str(place / f"{name}.parquet"))
    rows = len(parts[0][_MOVED])
    spans = [[number * rows, (number + 1) * rows] for number in range(len(parts))]
    return [set(peer.ask("drift", reference="reference", current="stream", rows=span)["drifted"]) for span in spans]
