"""kill -9 while a feed is taken: no line is lost and none comes twice, though none has an id."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from falaj.storage.eventlog.reader import list_segments, segment_path
from support.data_room import EVENT_SCHEMA, append_lines, event, followed_source
from support.killed_data import PROGRAMS, environment, lives, reopened

TX = followed_source()
A: list[dict[str, Any] | str] = [event("a1", 1), event("a2", 2), "no JSON", event("a3", 3), event("dear", 4, 1e9)]
B: list[dict[str, Any] | str] = [event("b1", 1), "[]", event("b2", 2)]
GOOD = ["a1", "a2", "a3", "b1", "b2"]


def prepare(folder: Path) -> None:
    room = reopened(folder)
    append_lines(folder / "outside" / "a.jsonl", *A)
    append_lines(folder / "outside" / "b.jsonl", *B)
    append_lines(folder / "outside" / "b.jsonl", '{"id": "b3", "at"', end="")
    room.close()


def complete(folder: Path) -> None:
    """Let the next process take the rest, and hold what came against what was written."""
    room = reopened(folder)
    with (folder / "outside" / "b.jsonl").open("a") as file:
        file.write(': "1970-01-01T00:00:09Z", "amount": 1}\n')
    append_lines(folder / "outside" / "c.jsonl", event("c1", 5))
    room.take(TX, limit=3)
    room.events.land_all("tx", EVENT_SCHEMA)
    assert sorted(row["id"] for row in room.table("tx")) == [*GOOD, "b3", "c1"]
    assert sorted(row["id"] for row in room.read_all("tx", EVENT_SCHEMA)) == [*GOOD, "b3", "c1"]
    assert sorted(row["_reasons"][-1] for row in room.quarantine("tx")) == sorted(
        f"taken from outside/{name}.jsonl at {(folder / 'outside' / f'{name}.jsonl').read_text().index(line)}"
        for name, line in (("a", '{"id": "dear"'), ("a", "no JSON"), ("b", "[]"))
    )
    state = room.feeds.state(TX)
    assert {one.taken == one.end for one in state.partitions} == {True}
    assert state.problems == {}
    assert room.take(TX) == 0
    room.close()


def test_taking_and_landing(tmp_path: Path) -> None:
    for folder in lives("take", tmp_path, 19, prepare):
        complete(folder)


def test_an_append_of_which_a_crash_left_the_beginning(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    prepare(first)
    room = reopened(first)
    log = first / ".falaj" / "log" / "tx"
    room.feeds.take(TX, EVENT_SCHEMA, limit=2, timeout_s=0)
    (number,) = list_segments(log)
    before = Path(shutil.copytree(first, tmp_path / "before"))
    size = segment_path(log, number).stat().st_size
    assert room.feeds.take(TX, EVENT_SCHEMA, limit=100, timeout_s=0).count == 6
    written = segment_path(log, number).read_bytes()
    room.close()
    left = set()
    for cut in [*range(size, len(written), 61), len(written)]:
        folder = Path(shutil.copytree(before, tmp_path / str(cut)))
        segment_path(folder / ".falaj" / "log" / "tx", number).write_bytes(written[:cut])
        room = reopened(folder)
        left.add(room.reader.head("tx"))
        room.close()
        complete(folder)
    assert left == set(range(2, 9))  # every beginning of the append was tried


def test_a_process_that_is_killed_again_and_again_while_lines_are_written(tmp_path: Path) -> None:
    written = 0
    for _ in range(4):
        command = [sys.executable, "-W", "error", str(PROGRAMS / "following.py"), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for _ in range(3):
                for number in range(20):
                    append_lines(tmp_path / "outside" / f"{number % 3}.jsonl", event(f"e{written}", written))
                    written += 1
                assert process.stdout.readline() == "took\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
    room = reopened(tmp_path)
    room.take(TX)
    room.events.land_all("tx", EVENT_SCHEMA)
    assert sorted(int(row["id"][1:]) for row in room.table("tx")) == list(range(written))
    room.close()
