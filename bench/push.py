"""Measures the way of an event: pushed over HTTP to a running control until the online read shows it.

`python bench/push.py` makes a project in a temporary folder, on free ports, and removes it. Producers push on a fixed
schedule, whatever the answers do (an open loop), in batches as real producers do. An event's delay begins at the
instant at which its batch was due, not when it was sent, so a stall counts for everybody it holds up.

- `applied`: the delay until the answer to a push with `wait=applied` is there: the next read sees the events.
- `read`: the delay until another process, which reads the store as a gateway does, has seen the events of a push that
  waited for nothing. It looks every half millisecond at a card that each batch touches once: its count says how many
  batches a read sees.

Prints `ratio: push_fresh_p99_ms VALUE` (the greater of the two), and the rate at which pushes saturate.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from load import cpu_s, python
from project import Commands, free_port

DEFINITIONS = """\
import falaj as fj

card = fj.Entity("card", key="card_id", dtype="string")
transactions = fj.Source(
    "transactions", stream=fj.Push(), id="transaction_id", timestamp="event_time", created="ingested_at",
    schema={"transaction_id": "string", "event_time": "timestamp", "ingested_at": "timestamp", "card_id": "string",
            "amount": "float64", "country": "string"},
    checks=[fj.check.not_null("card_id"), fj.check.between("amount", 0, 1_000_000)],
)
activity = fj.FeatureView(
    "activity", entity=card, source=transactions,
    features={
        "count_1h": fj.count(window="1h"), "count_24h": fj.count(window="24h"),
        "amount_mean_7d": fj.mean("amount", window="7d"), "amount_std_7d": fj.std("amount", window="7d"),
        "amount_sum_30d": fj.sum("amount", window="30d"), "last_country": fj.last("country"),
    },
)
service = fj.FeatureService("cards", [activity])
"""
_MARKER = "marker"


class Ready(NamedTuple):
    """A project whose control runs.

    Attributes:
        folder: The project.
        port: Control's.
        pid: Control's process.
        token: May push.
    """

    folder: Path
    port: int
    pid: int
    token: str


class Delays(NamedTuple):
    """What a run saw.

    Attributes:
        sent: Batches.
        refused: Of these, without the status 202.
        rate: Events acknowledged per second.
        all_ms: The delay of each batch, in milliseconds, ascending.
    """

    sent: int
    refused: int
    rate: float
    all_ms: list[float]

    def at(self, quantile: float) -> float:
        """Return the delay that the share of batches does not exceed."""
        return self.all_ms[min(int(quantile * len(self.all_ms)), len(self.all_ms) - 1)]


def main() -> None:
    """Measure and print."""
    options = _options()
    print(f"{platform.python_version()}, {os.cpu_count()} CPUs, batches of {options.batch} events", flush=True)
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name, running(Path(name)) as ready:
        rounds = [measure(ready, options, n) for n in range(options.rounds)]
        worst = [max(pair) for pair in rounds]
        print(f"ratio: push_fresh_p99_ms {statistics.median(worst):.1f}", flush=True)
        saturate(ready, options)


def measure(ready: Ready, options: argparse.Namespace, number: int) -> tuple[float, float]:
    """Print one round at the rate, and return the 99th percentiles of `applied` and `read`."""
    found = []
    for wait in ("applied", "logged"):
        done, seen = push_and_watch(ready, options, options.rate, wait, f"{wait}{number}")
        shown = done if wait == "applied" else seen
        word = "applied" if wait == "applied" else "read"
        print(
            f"round {number + 1} {word}: {done.rate:,.0f} events/s, {done.refused} of {done.sent} batches refused, "
            f"p50 {shown.at(0.5):.1f} ms, p99 {shown.at(0.99):.1f} ms, most {shown.all_ms[-1]:.1f} ms",
            flush=True,
        )
        found.append(shown.at(0.99))
    return found[0], found[1]


def saturate(ready: Ready, options: argparse.Namespace) -> None:
    """Raise the rate until pushes are no longer acknowledged as fast as they are due, and print the last that were."""
    best = 0.0
    for rate in (7_500, 10_000, 15_000, 20_000, 30_000):
        done, _ = push_and_watch(ready, options, rate, "applied", f"sat{rate}", seconds=min(options.seconds, 5.0))
        print(f"at {rate:,}/s: {done.rate:,.0f} events/s acknowledged, p99 {done.at(0.99):.0f} ms", flush=True)
        best = max(best, done.rate)
        if done.at(0.99) > 1_000:
            break
    print(f"ratio: push_saturation_events_per_s {best:.0f}", flush=True)


def push_and_watch(
    ready: Ready, options: argparse.Namespace, rate: int, wait: str, prefix: str, seconds: float = 0.0
) -> tuple[Delays, Delays]:
    """Push on a schedule while a reader looks; return the delays of the answers and those of the reader."""
    marker = f"{_MARKER}-{prefix}"
    batches = int((seconds or options.seconds) * rate / options.batch)
    words = python(__file__, "--watch", str(ready.folder), "--marker", marker, "--batches", str(batches))
    before = cpu_s(ready.pid)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watcher:
        done, due = asyncio.run(_push(ready, options, (rate, wait, prefix), batches))
        assert watcher.stdout is not None
        seen_at: list[float] = json.loads(watcher.stdout.read() or "[]")
    seen = sorted((at - when) * 1000 for at, when in zip(seen_at, sorted(due), strict=False))
    spent_us = 1e6 * (cpu_s(ready.pid) - before) / (batches * options.batch)
    print(f"  control spent {spent_us:.0f} us of CPU per event", flush=True)
    return done, Delays(batches, done.refused, done.rate, seen or [float("inf")])


async def _push(
    ready: Ready, options: argparse.Namespace, how: tuple[int, str, str], batches: int
) -> tuple[Delays, list[float]]:
    rate, wait, prefix = how
    queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    delays: list[float] = []
    refused, last = 0, 0.0

    async def send() -> None:
        nonlocal refused, last
        reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
        head = (
            f"POST /v1/events/transactions?wait={wait} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {ready.token}"
        )
        while (job := await queue.get()) is not None:
            due, body = job
            writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            status = await _answer(reader)
            last = time.monotonic()
            delays.append((last - due) * 1000)
            refused += status != 202
        writer.close()

    senders = [asyncio.create_task(send()) for _ in range(options.connections)]
    bodies = [_batch(options, prefix, number) for number in range(batches)]  # before the clock runs
    begin = time.monotonic() + 0.2
    due_at = [begin + number * options.batch / rate for number in range(batches)]
    for due, body in zip(due_at, bodies, strict=True):
        await asyncio.sleep(max(due - time.monotonic(), 0))
        queue.put_nowait((due, body))
    for _ in senders:
        queue.put_nowait(None)
    await asyncio.gather(*senders)
    took = max(last - begin, 1e-9)
    return Delays(batches, refused, batches * options.batch / took, sorted(delays)), due_at


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


def _batch(options: argparse.Namespace, prefix: str, number: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    lines = []
    for place in range(options.batch):
        event = number * options.batch + place
        card = f"{_MARKER}-{prefix}" if place == 0 else f"card-{(event * 7919) % options.cards:06d}"
        lines.append(
            f'{{"transaction_id":"{prefix}-{event}","event_time":"{now}","ingested_at":"{now}","card_id":"{card}",'
            f'"amount":{event % 500}.25,"country":"AE"}}'
        )
    return "\n".join(lines).encode()


def watch(folder: Path, marker: str, batches: int) -> None:
    """Read the marker as a gateway would, and print when each batch was seen first (monotonic seconds)."""
    from falaj.features.online import OnlineReader
    from falaj.lifecycle.applied import read_applied
    from falaj.storage.keyvalue.lmdb import LmdbStore
    from falaj.storage.metadata.database import Database

    database = Database.sqlite(folder / ".falaj" / "falaj.db")
    whole = read_applied(database).document.services["cards"]
    database.close()
    place = [name for name, _ in whole.outputs].index("activity__count_24h")
    store = LmdbStore.open(folder / ".falaj" / "online", readonly=True)
    reader = OnlineReader(store)
    seen: list[float] = []
    deadline = time.monotonic() + 120
    while len(seen) < batches and time.monotonic() < deadline:
        ahead_us = time.time_ns() // 1000 + 60_000_000
        count = reader.read(whole, [{"card_id": marker}], [ahead_us]).values[0][place] or 0
        now = time.monotonic()
        seen += [now] * (count - len(seen))
        time.sleep(0.0005)
    store.close()
    print(json.dumps(seen))


@contextmanager
def running(folder: Path) -> Iterator[Ready]:
    """Make the project and run its control."""
    port = free_port()
    ports = f"[gateway]\nport = {free_port()}\n\n[control]\nport = {port}\n"
    (folder / "falaj.toml").write_text(f'[project]\nname = "bench"\nfiles = ["cards.py"]\n\n{ports}')
    (folder / "cards.py").write_text(DEFINITIONS)
    falaj = Commands(folder)
    falaj.run("apply")
    made = falaj.run("token", "create", "--actor", "producer", "--role", "service", "--scope", "source.push")
    falaj.run("up", "--detach")
    try:
        yield Ready(folder, port, _control(folder), made["token"])
    finally:
        falaj.run("down")


def _control(folder: Path) -> int:
    """Return control's process id, which it announces a moment after it answers."""
    path = folder / ".falaj" / "run" / "control.json"
    while not path.exists():
        time.sleep(0.05)
    return int(json.loads(path.read_text())["pid"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000, help="events per second")
    parser.add_argument("--batch", type=int, default=50, help="events per push")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cards", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--marker", help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = _options()
    if given.watch is not None:
        watch(given.watch, given.marker, given.batches)
    else:
        main()
