"""What a run of a load is shown as, and whether what was answered was logged."""

import statistics
from collections.abc import Sequence

from load import Run
from recount import Recount


def compare(answered: int, failed: int, recount: Recount, *, in_flight: int) -> None:
    """Print whether what was answered was logged.

    Args:
        answered: Answers that the client counted.
        failed: Requests that failed.
        recount: Counts the log.
        in_flight: Requests that the client may have sent without waiting for their answers, at its end.
    """
    versions = recount.since()
    more = versions.total() - answered
    verdict = "equal" if more == 0 else f"the client left {more} in flight" if 0 < more <= in_flight else "DIFFERENT"
    shares = ", ".join(f"{name}: {count}" for name, count in sorted(versions.items()))
    print(f"    answered {answered}, failed {failed}, logged {versions.total()} ({shares}): {verdict}", flush=True)


def print_run(name: str, run: Run) -> None:
    """Print one run."""
    print(
        f"  {name:<9}{run.rate:>9.0f}/s  p50 {run.p50_ms:.2f} ms  p99 {run.p99_ms:.2f} ms  "
        f"server {run.server_us:.2f} us CPU per request, {run.server_share:.0%} of its CPU",
        flush=True,
    )


def print_ratio(name: str, ours: Sequence[Run], theirs: Sequence[Run], aim: str = "-") -> None:
    """Print the ratio of the medians of the rates, and that of each round."""
    each = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    value = statistics.median(run.rate for run in ours) / statistics.median(run.rate for run in theirs)
    print(f"  {name} by round: {', '.join(f'{one:.3f}' for one in each)}")
    if aim != "-":
        print(f"  target: {name} {aim}")
    print(f"ratio: {name} {value:.3f}", flush=True)


def print_spread(name: str, values: Sequence[float], form: str) -> None:
    """Print median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"  {name}: median {middle:{form}}, range {low:{form}} to {high:{form}}", flush=True)


def print_figure(name: str, value: float, form: str, aim: str) -> None:
    """Print one figure that others may read."""
    print(f"  target: {name} {aim}")
    print(f"ratio: {name} {value:{form}}", flush=True)
