"""One frame of the local log: checksum, length, number, kind, payload."""

import struct
import zlib
from collections.abc import Iterator

MAX_PAYLOAD_BYTES = 64 << 20
EVENT = 0
RESERVE = 1
FIRST_OF_GROUP = 0x80
"""Set on the first frame of each flush: where one stands, everything before it had been flushed."""

_CRC = struct.Struct("<I")
_REST = struct.Struct("<IQB")
_COUNT = struct.Struct("<Q")
HEADER_BYTES = _CRC.size + _REST.size


class BadFrame(Exception):
    """The bytes at an offset are not a whole frame; whether that is a torn write or damage is for the caller to say."""

    def __init__(self, offset: int, reason: str, *, cut_off: bool = False) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason
        self.cut_off = cut_off


def encode(seq: int, kind: int, payload: bytes) -> bytes:
    """Return the bytes of one frame.

    Example:
        >>> list(walk(encode(7, EVENT, b"x"), 0, 7))
        [(18, 7, b'x')]
    """
    rest = _REST.pack(len(payload), seq, kind)
    return _CRC.pack(zlib.crc32(payload, zlib.crc32(rest))) + rest + payload


def encode_reserve(seq: int, count: int, group: int = 0) -> bytes:
    """Return the frame that takes `count` numbers."""
    return encode(seq, RESERVE | group, _COUNT.pack(count))


def walk(data: bytes, offset: int, expected: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Give the frames that follow each other from an offset on.

    Args:
        data: Bytes of a segment.
        offset: Where the first frame begins in them.
        expected: The number that frame must have.

    Yields:
        End offset, number, payload; for a reservation, the last number it takes and None.

    Raises:
        BadFrame: The bytes from an offset on are not a whole frame, or not the one with the next number.
    """
    size = len(data)
    while offset < size:
        if size - offset < HEADER_BYTES:
            raise BadFrame(offset, "the frame is cut off", cut_off=True)
        crc = _CRC.unpack_from(data, offset)[0]
        length, seq, kind = _REST.unpack_from(data, offset + _CRC.size)
        end = offset + HEADER_BYTES + length
        if length > MAX_PAYLOAD_BYTES:
            raise BadFrame(offset, f"the frame claims {length} bytes")
        if end > size:
            raise BadFrame(offset, "the frame is cut off or its length is wrong", cut_off=True)
        if zlib.crc32(memoryview(data)[offset + _CRC.size : end]) != crc:
            raise BadFrame(offset, "the frame does not have its checksum")
        if seq != expected:
            raise BadFrame(offset, f"the frame has number {seq} where {expected} belongs")
        if kind & ~FIRST_OF_GROUP == EVENT:
            yield end, seq, data[end - length : end]
            expected = seq + 1
        else:
            expected = seq + _COUNT.unpack_from(data, end - length)[0]
            yield end, expected - 1, None
        offset = end


def later_group(data: bytes, offset: int, after: int) -> int | None:
    """Return where a whole frame begins that was written after a flush of the bytes at `offset`, or None.

    Such a frame proves that the bytes at `offset` were durable once: they are damaged, not torn.
    """
    for kind in (bytes([FIRST_OF_GROUP | EVENT]), bytes([FIRST_OF_GROUP | RESERVE])):
        at = data.find(kind, offset + HEADER_BYTES)
        while at >= 0:
            start = at + 1 - HEADER_BYTES
            length, seq, _ = _REST.unpack_from(data, start + _CRC.size)
            end = start + HEADER_BYTES + length
            plausible = after < seq < after + (1 << 48) and length <= MAX_PAYLOAD_BYTES and end <= len(data)
            if plausible and zlib.crc32(memoryview(data)[start + _CRC.size : end]) == _CRC.unpack_from(data, start)[0]:
                return start
            at = data.find(kind, at + 1)
    return None
