"""SIGKILL at any moment: everything acknowledged is there, nothing torn is returned, and work goes on."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import text

from falaj.kernel.digest import digest_bytes
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.eventlog.segments import finish_abandoned, read_segment
from falaj.storage.keyvalue.lmdb import LmdbStore
from falaj.storage.metadata.database import Database
from falaj.storage.tables.delta import DeltaTables

LOG = """
import threading
from falaj.storage.eventlog.local import LocalLog
log = LocalLog.open(path, segment_bytes=20_000)
turn = threading.Lock()
def work(worker):
    while True:
        payload = b"%d" % worker + bytes(300)
        first = log.append([payload] * 3)
        with turn:
            print(first, worker, flush=True)
        log.reserve(2)
for worker in range(3):
    threading.Thread(target=work, args=(worker,), daemon=True).start()
threading.Event().wait()
"""

SEGMENTS = """
import itertools
from falaj.storage.eventlog.segments import SegmentWriter
writer = SegmentWriter(path, "worker", max_bytes=50_000, fsync_ms=2)
for number in itertools.count():
    writer.write([b"%d/%d" % (number, part) + bytes(200) for part in range(7)])
    print(number, flush=True)
"""

LMDB = """
import itertools
from falaj.storage.keyvalue.lmdb import LmdbStore
store = LmdbStore.open(path, map_gib=0.0625)
last = store.get_many([b"last"])[0]
for number in itertools.count(0 if last is None else int(last) + 1):
    value = b"%d" % number
    store.write([(b"last", value)] + [(b"%d" % part, value * 200) for part in range(5)])
    print(number, flush=True)
"""

SQLITE = """
import itertools
from sqlalchemy import text
from falaj.storage.metadata.database import Database
database = Database.sqlite(path / "falaj.db")
with database.write() as connection:
    connection.execute(text("create table if not exists one (n integer)"))
    connection.execute(text("create table if not exists two (n integer)"))
    last = connection.execute(text("select coalesce(max(n), -1) from one")).scalar_one()
for number in itertools.count(last + 1):
    with database.write() as connection:
        connection.execute(text("insert into one values (:n)"), {"n": number})
        connection.execute(text("insert into two values (:n)"), {"n": number})
    print(number, flush=True)
"""

DELTA = """
import itertools
import pyarrow as pa
from falaj.storage.tables.delta import DeltaTables
tables = DeltaTables(path)
start = 0 if tables.version("t") is None else tables.read("t").count_rows() // 10
for number in itertools.count(start):
    tables.append("t", pa.table({"n": [number] * 10}), app=("test", number))
    print(number, flush=True)
    if number % 5 == 4:
        tables.compact("t")
"""

BLOBS = """
import itertools
from falaj.storage.blobs.local import LocalBlobs
blobs = LocalBlobs(path)
for number in itertools.count():
    print(blobs.put(b"%d" % number * 20_000), flush=True)
"""


def run_and_kill(script: str, path: Path, acknowledgements: int) -> list[str]:
    """Run the script until it has acknowledged so much, kill it wherever it is then, and return all it acknowledged."""
    program = f"from pathlib import Path\npath = Path({str(path)!r})\n{script}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) == acknowledgements:
                process.kill()
        process.wait()
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


def rounds(seed: int, count: int, most: int) -> Sequence[int]:
    """Return how many acknowledgements to wait for in each round."""
    return random.Random(seed).sample(range(1, most), count)


def test_the_event_log(tmp_path: Path) -> None:
    acknowledged: dict[int, bytes] = {}
    for wanted in rounds(1, 5, 120):
        for line in run_and_kill(LOG, tmp_path, wanted):
            first, worker = line.split()
            acknowledged |= {int(first) + part: worker.encode() + bytes(300) for part in range(3)}
        log = LocalLog.open(tmp_path)
        events = log.read(1, 1_000_000)
        log.close()
        found = dict(events)
        assert len(found) == len(events)
        assert acknowledged.items() <= found.items()
        assert all(len(payload) == 301 for payload in found.values())


def test_prediction_segments(tmp_path: Path) -> None:
    for number, wanted in enumerate(rounds(2, 4, 300)):
        folder = tmp_path / str(number)
        acknowledged = int(run_and_kill(SEGMENTS, folder, wanted)[-1]) + 1
        assert finish_abandoned(folder) is True
        records = [record for path in sorted(folder.glob("*.seg")) for record in read_segment(path)[0]]
        assert len(records) >= acknowledged * 7
        expected = [b"%d/%d" % (index // 7, index % 7) + bytes(200) for index in range(len(records))]
        assert records == expected
        assert not list(folder.glob("*.open"))


def test_the_online_store(tmp_path: Path) -> None:
    for wanted in rounds(3, 5, 80):
        acknowledged = int(run_and_kill(LMDB, tmp_path, wanted)[-1])
        store = LmdbStore.open(tmp_path, map_gib=0.0625)
        last, *parts = store.get_many([b"last", *[b"%d" % part for part in range(5)]])
        store.close()
        assert last is not None
        assert int(last) >= acknowledged
        assert parts == [last * 200] * 5


def test_the_database(tmp_path: Path) -> None:
    for wanted in rounds(4, 3, 80):
        acknowledged = int(run_and_kill(SQLITE, tmp_path, wanted)[-1])
        database = Database.sqlite(tmp_path / "falaj.db")
        database.check()
        with database.read() as connection:
            one, two = (
                connection.execute(text(f"select n from {table} order by n")).scalars().all()  # noqa: S608
                for table in ("one", "two")
            )
        database.close()
        assert one == two == list(range(len(one)))
        assert len(one) > acknowledged


def test_tables(tmp_path: Path) -> None:
    for wanted in rounds(5, 4, 15):
        acknowledged = int(run_and_kill(DELTA, tmp_path, wanted)[-1])
        rows = DeltaTables(tmp_path).read("t").to_table()["n"]
        assert rows.type == pa.int64()
        values = rows.to_pylist()
        assert values == [number for number in range(len(values) // 10) for _ in range(10)]
        assert len(values) >= (acknowledged + 1) * 10


def test_blobs(tmp_path: Path) -> None:
    for wanted in rounds(6, 3, 40):
        digests = run_and_kill(BLOBS, tmp_path, wanted)
        blobs = LocalBlobs(tmp_path)
        for digest in digests:
            assert digest_bytes(blobs.get(digest)) == digest
        for path in tmp_path.glob("??/*"):
            blobs.path(path.name)


@pytest.mark.parametrize("script", [LOG, LMDB], ids=["log", "lmdb"])
def test_a_killed_writer_holds_no_lock(tmp_path: Path, script: str) -> None:
    for _ in range(2):
        assert run_and_kill(script, tmp_path, 1)
