"""How far a store was flushed, remembered beside it."""

import os
import struct
import zlib
from pathlib import Path

_MARK = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


class Watermark:
    """The last acknowledged place of a store, so that what is missing or bad before it is damage and not a torn write.

    It is written without a flush of its own. It survives the death of the process; after a power cut it may be older
    than the store, and then says less than it could, but never something wrong.

    Args:
        path: Its file.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> mark = Watermark(Path(folder.name) / "flushed")
        >>> mark.write(1, 400)
        >>> mark.read()
        (1, 400)
        >>> mark.close()
        >>> folder.cleanup()
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def write(self, unit: int, place: int) -> None:
        """Remember two numbers, such as a segment and an offset in it."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        mark = _MARK.pack(unit, place)
        os.pwrite(self._fd, mark + _CRC.pack(zlib.crc32(mark)), 0)

    def read(self) -> tuple[int, int] | None:
        """Return the two numbers, or None when nothing trustworthy is remembered."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if len(raw) != _MARK.size + _CRC.size or zlib.crc32(raw[: _MARK.size]) != _CRC.unpack_from(raw, _MARK.size)[0]:
            return None
        unit, place = _MARK.unpack_from(raw)
        return unit, place

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
