"""Reading the segments of a local log, from the process that writes it or from any other."""

import bisect
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from falaj.kernel.errors import CorruptionError
from falaj.storage.eventlog.frames import BadFrame, walk
from falaj.storage.watermark import Watermark

SUFFIX = ".log"
_CHUNK_BYTES = 256 << 10
_PLACE_EVERY_BYTES = 64 << 10
_NEVER = 1 << 63


def segment_path(folder: Path, first_seq: int) -> Path:
    """Return the file of the segment that begins with the number."""
    return folder / f"{first_seq:020d}{SUFFIX}"


def list_segments(folder: Path) -> list[int]:
    """Return the first numbers of all segments, ascending."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def damaged(path: Path, offset: int, reason: str) -> CorruptionError:
    """Return the error that names a segment and an offset in it."""
    return CorruptionError(
        f"event log segment {path} is damaged at byte {offset}: {reason}",
        hint="restore the segment from a backup; it is not used as it is",
    )


class SegmentReader:
    """Finds numbers in segments; remembers places, so that reading on does not begin at a segment's first byte.

    Args:
        folder: The log's folder.
        watermark: Tells, for a segment that another process writes, what is certainly whole.
    """

    def __init__(self, folder: Path, watermark: Watermark) -> None:
        self._folder = folder
        self._watermark = watermark
        self._places: dict[int, list[tuple[int, int]]] = {}
        self._cursor = (0, 0, 0)
        self._turn = threading.Lock()

    def read(self, segments: list[int], from_seq: int, limit: int, end: int | None) -> list[tuple[int, bytes]]:
        """Return at most `limit` payloads from the number on.

        Args:
            segments: The first numbers of the segments, ascending.
            from_seq: The first number wanted.
            limit: The most payloads.
            end: Where the durable bytes of the last segment end; None when another process writes it.
        """
        found: list[tuple[int, bytes]] = []
        start = max(bisect.bisect_right(segments, from_seq) - 1, 0)
        for first, following in zip(segments[start:], [*segments[start + 1 :], None], strict=True):
            reached = first
            for offset, seq, payload in self._frames(first, from_seq, end if following is None else None, following):
                reached = seq + 1
                if payload is not None and seq >= from_seq and limit > 0:
                    found.append((seq, payload))
                if len(found) >= limit:
                    self._cursor = (first, reached, offset)
                    return found
            if following is not None and reached != following:
                path = segment_path(self._folder, first)
                raise damaged(path, path.stat().st_size, f"numbers {reached} to {following - 1} are missing")
        return found

    def end_of(self, first: int) -> int:
        """Return the number after the last readable frame of a segment that another process writes."""
        reached = self._place(first, _NEVER)[0]
        for _, seq, _ in self._frames(first, _NEVER, None, None):
            reached = seq + 1
        return reached

    def forget(self, first: int) -> None:
        """Drop what is remembered of a segment."""
        with self._turn:
            self._places.pop(first, None)

    def _frames(
        self, first: int, from_seq: int, end: int | None, following: int | None
    ) -> Iterator[tuple[int, int, bytes | None]]:
        path = segment_path(self._folder, first)
        expected, offset = self._place(first, from_seq)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size if end is None else end
            want = _CHUNK_BYTES
            while offset < size:
                data = os.pread(file.fileno(), min(want, size - offset), offset)
                used = 0
                try:
                    for used, seq, payload in walk(data, 0, expected):
                        expected = seq + 1
                        yield offset + used, seq, payload
                except BadFrame as bad:
                    if not bad.cut_off or offset + len(data) >= size or not data:
                        if end is None and following is None and self._in_flight(first, offset + used):
                            return
                        raise damaged(path, offset + bad.offset, bad.reason) from None
                    want = _CHUNK_BYTES if used else want * 4  # one frame can be longer than a chunk
                offset += used
                self._remember(first, expected, offset)

    def _in_flight(self, first: int, offset: int) -> bool:
        place = self._watermark.read()
        return place is None or (first, offset) >= place

    def _place(self, first: int, from_seq: int) -> tuple[int, int]:
        with self._turn:
            segment, seq, offset = self._cursor
            places = self._places.get(first, [])
            best = (
                places[position]
                if (position := bisect.bisect_right(places, (from_seq, _NEVER)) - 1) >= 0
                else (first, 0)
            )
            return max(best, (seq, offset)) if segment == first and seq <= from_seq else best

    def _remember(self, first: int, seq: int, offset: int) -> None:
        with self._turn:
            places = self._places.setdefault(first, [])
            if offset >= (places[-1][1] if places else 0) + _PLACE_EVERY_BYTES:
                places.append((seq, offset))
