"""How far the log was flushed, remembered beside it."""

import os
import struct
import zlib
from pathlib import Path

_PLACE = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


class Watermark:
    """The last flushed place: bytes before it were acknowledged, so a bad frame there is damage and never a torn write.

    It is written without a flush of its own. It survives the death of the process; after a power cut it may be older
    than the log, and then says less than it could.

    Args:
        path: Its file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def write(self, first_seq: int, offset: int) -> None:
        """Remember that the segment is flushed up to the offset."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        place = _PLACE.pack(first_seq, offset)
        os.pwrite(self._fd, place + _CRC.pack(zlib.crc32(place)), 0)

    def read(self) -> tuple[int, int] | None:
        """Return the segment's first number and the offset, or None when nothing trustworthy is remembered."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if (
            len(raw) != _PLACE.size + _CRC.size
            or zlib.crc32(raw[: _PLACE.size]) != _CRC.unpack_from(raw, _PLACE.size)[0]
        ):
            return None
        first_seq, offset = _PLACE.unpack_from(raw)
        return first_seq, offset

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
