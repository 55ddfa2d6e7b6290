"""A feed of files that grow: each file is a partition, each whole line a payload, its position the byte it begins at.

A file is known by its first line, not by its name: one that is renamed, moved or restored is the same partition, and
goes on where it was. New content under an old name is a new partition.
"""

import hashlib
import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from falaj.storage.feeds.port import Batch, Payload

CHUNK_BYTES = 4 << 20
"""So much of one file is read at once. Of a line that is longer, this is the payload."""

_FIRST_LINE_BYTES = 4096
_LOOK_EVERY_S = 0.05
_MARK_DIGITS = 16
_Signature = tuple[int, int, int]


@dataclass
class _Known:
    """A file as it was last seen: where it lay, how long it was, and up to where it was given."""

    partition: str
    place: str
    size: int = 0
    given: int = 0
    problem: str = ""
    cut: bool = False


class FileFeed:
    """The lines of all files that match a pattern.

    Args:
        pattern: An absolute path or glob pattern.
        folder: Paths in it are named relative to it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.jsonl"
        ...     written = path.write_bytes(b"one\\ntwo\\nthr")
        ...     feed = FileFeed(Path(folder) / "*.jsonl", Path(folder))
        ...     [(payload.position, payload.data) for batch in feed.poll(10, 0) for payload in batch.payloads]
        [(0, b'one'), (4, b'two')]
    """

    def __init__(self, pattern: Path, folder: Path) -> None:
        self._pattern = pattern
        self._folder = folder
        self._files: dict[str, _Known] = {}
        self._signatures: dict[Path, tuple[_Signature, str]] = {}
        self._present: dict[str, Path] = {}
        self._unreadable: dict[str, str] = {}
        self._last = ""
        self._closed = threading.Event()

    def seek(self, positions: Mapping[str, int]) -> None:
        """Go on at these bytes of the files."""
        self._files, self._signatures = {}, {}
        for partition, position in positions.items():
            place, _, mark = partition.rpartition("#")
            self._files[mark] = _Known(partition, place, 0, position)

    def poll(self, limit: int, timeout_s: float) -> list[Batch]:
        """Return the whole lines that come next."""
        for _ in range(math.ceil(timeout_s / _LOOK_EVERY_S)):
            if self._closed.is_set() or (batches := self._take(limit)):
                break
            self._closed.wait(_LOOK_EVERY_S)
        else:
            batches = self._take(limit)
        return [] if self._closed.is_set() else batches

    def ends(self) -> dict[str, int]:
        """Return how many bytes each file has that is there."""
        self._look()
        return {self._files[mark].partition: self._files[mark].size for mark in self._present}

    def problems(self) -> dict[str, str]:
        """Return what is wrong with files, as of the last look."""
        found = dict(self._unreadable)
        for mark, file in self._files.items():
            if file.problem:
                found[file.place] = file.problem
            elif mark not in self._present and file.size > file.given:
                found[file.place] = f"was removed or written anew when {file.given} of its {file.size} bytes were taken"
        return found

    def close(self) -> None:
        """End a poll that waits; no file is held open."""
        self._closed.set()

    def _take(self, limit: int) -> list[Batch]:
        """Read on in the files that have more, beginning behind the one that was read last."""
        self._look()
        waiting = sorted(mark for mark in self._present if self._files[mark].size > self._files[mark].given)
        batches, room = [], CHUNK_BYTES
        for mark in sorted(waiting, key=lambda mark: (mark <= self._last, mark)):
            if limit <= 0 or room <= 0:
                break
            file = self._files[mark]
            with self._naming(self._present[mark]), self._present[mark].open("rb") as opened:
                if _mark(opened.fileno()) != mark:
                    continue  # another file took its name just now; the next look knows
                before = file.given
                payloads = self._read(opened.fileno(), file, limit)
                room -= file.given - before
                limit -= len(payloads)
                self._last = mark
                if payloads:
                    batches.append(Batch(file.partition, file.place, payloads))
        return batches

    def _read(self, fd: int, file: _Known, limit: int) -> list[Payload]:
        """Return whole lines from where the file was given up to; blank ones are passed over."""
        if not self._whole(fd, file):
            return []
        payloads: list[Payload] = []
        while not payloads:
            chunk = os.pread(fd, CHUNK_BYTES, file.given)
            end = chunk.rfind(b"\n") + 1
            if end == 0 and len(chunk) == CHUNK_BYTES:
                following = _line_end(fd, file.given + len(chunk))
                if following is None:
                    return []
                payloads.append(Payload(file.given, following, chunk))
                file.given = following
                return payloads
            if end == 0:
                return []
            start = 0
            while start < end and len(payloads) < limit:
                stop = chunk.index(b"\n", start) + 1
                line = chunk[start:stop].strip()
                if line:
                    payloads.append(Payload(file.given + start, file.given + stop, line))
                start = stop
            file.given += start
        return payloads

    def _whole(self, fd: int, file: _Known) -> bool:
        """Return whether what was given before still lies before; if not, say so and read no further."""
        size = os.fstat(fd).st_size
        if size < file.given:
            self._cut(file, f"has {size} bytes, and {file.given} were taken: it was cut")
        elif file.given and os.pread(fd, 1, file.given - 1) != b"\n":
            self._cut(file, f"no longer has the end of a line at byte {file.given}, up to which it was taken")
        return not file.cut

    def _cut(self, file: _Known, problem: str) -> None:
        file.cut, file.problem = True, f"{problem}; nothing more of it is taken: put new lines into a new file"

    def _look(self) -> None:
        """See which files there are, and how long they are."""
        self._present, self._unreadable = {}, {}
        relative = self._pattern.relative_to(self._pattern.anchor)
        found: dict[str, list[tuple[Path, os.stat_result]]] = {}
        signatures = {}
        for path in sorted(Path(self._pattern.anchor).glob(str(relative))):
            with self._naming(path):
                stat = path.stat()
                signature = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                mark = self._mark_of(path, signature)
                if mark:
                    signatures[path] = (signature, mark)
                    found.setdefault(mark, []).append((path, stat))
        self._signatures = signatures
        for mark, alike in found.items():
            self._see(mark, alike)

    def _see(self, mark: str, alike: list[tuple[Path, os.stat_result]]) -> None:
        """Follow one of the files that begin with the same line, the one followed before if it is there."""
        file = self._files.get(mark)
        path, stat = next(((p, s) for p, s in alike if file is not None and self._shown(p) == file.place), alike[0])
        shown = self._shown(path)
        for other, its in alike:
            if its.st_ino != stat.st_ino:
                self._unreadable[self._shown(other)] = f"begins with the same line as {shown}: it is taken for a copy"
        file = self._files.setdefault(mark, _Known(f"{shown}#{mark}", shown))
        file.place, file.size = shown, stat.st_size
        self._present[mark] = path
        if file.size < file.given and not file.cut:
            self._cut(file, f"has {file.size} bytes, and {file.given} were taken: it was cut")

    def _mark_of(self, path: Path, signature: _Signature) -> str:
        known = self._signatures.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        if not path.is_file():  # a folder or a pipe, at which a read might wait for ever
            return ""
        with path.open("rb") as opened:
            return _mark(opened.fileno())

    def _shown(self, path: Path) -> str:
        # A name may be no text, and positions are kept by it.
        shown = path.relative_to(self._folder) if path.is_relative_to(self._folder) else path
        return os.fsencode(shown).decode(errors="backslashreplace")

    @contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """Note a file that cannot be read; the others are not held back by it."""
        try:
            yield
        except FileNotFoundError:
            return  # renamed or removed since it was listed
        except OSError as error:
            self._unreadable[self._shown(path)] = f"cannot be read: {error.strerror}"


def _mark(fd: int) -> str:
    """Return what tells a file's first line from others; empty while it is not whole."""
    head = os.pread(fd, _FIRST_LINE_BYTES, 0)
    end = head.find(b"\n")
    if end < 0 and len(head) < _FIRST_LINE_BYTES:
        return ""
    return hashlib.sha256(head if end < 0 else head[:end]).hexdigest()[:_MARK_DIGITS]


def _line_end(fd: int, position: int) -> int | None:
    """Return where the line after the one at a position begins; None while that line is not whole."""
    while chunk := os.pread(fd, CHUNK_BYTES, position):
        end = chunk.find(b"\n")
        if end >= 0:
            return position + end + 1
        position += len(chunk)
    return None
