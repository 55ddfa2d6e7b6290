"""Frames: where HTTP/2's frames begin and end in a stream of bytes, and which streams they belong to."""

_HEAD = 9
_HEADERS, _CONTINUATION = 1, 9
_END_HEADERS = 4
PREFACE_BYTES = 24
"""What a client sends before its first frame."""


def goaway(last_stream: int) -> bytes:
    """Return the frame that tells a client to ask elsewhere.

    Args:
        last_stream: What came later was not looked at, so that the client asks it again by itself.

    Example:
        >>> goaway(5).hex()
        '0000080700000000000000000500000000'
    """
    return b"\0\0\x08\x07\0\0\0\0\0" + last_stream.to_bytes(4) + b"\0\0\0\0"


class Frames:
    """One direction of a connection.

    The few bytes of a frame's head that has not arrived whole are held back, so that what was passed on always ends
    within or behind a frame whose stream is known.

    Args:
        preface_bytes: What comes before the first frame.

    Attributes:
        last_stream: The highest stream that began.
        newest: Frames of later streams are left out; None for none.

    Example:
        >>> frames, first, third = Frames(), b"\\0\\0\\1\\1\\4\\0\\0\\0\\1a", b"\\0\\0\\1\\1\\4\\0\\0\\0\\3b"
        >>> frames.take(first[:4]) + frames.take(first[4:]) == first
        True
        >>> frames.newest = frames.last_stream
        >>> frames.take(third), frames.last_stream
        (b'', 1)
    """

    def __init__(self, preface_bytes: int = 0) -> None:
        self.last_stream = 0
        self.newest: int | None = None
        self._left = preface_bytes
        self._held = b""
        self._within_headers = False
        self._dropping = False

    @property
    def between(self) -> bool:
        """Whether another frame may be put in here."""
        return self._left == 0 and not self._within_headers

    def take(self, data: bytes) -> bytes:
        """Return what is to be passed on of the bytes that came."""
        if self._held:
            data, self._held = self._held + data, b""
        if self.newest is not None:
            return self._sift(data, self.newest)
        at, end = self._left, len(data)
        while at + _HEAD <= end:
            at += _HEAD + self._head(data, at)
        if at >= end:
            self._left = at - end
            return data
        self._left, self._held = 0, data[at:]
        return data[:at]

    def _head(self, data: bytes, at: int) -> int:
        """Note a frame's head and return the bytes that follow it."""
        kind = data[at + 3]
        if kind in (_HEADERS, _CONTINUATION):
            self._within_headers = not data[at + 4] & _END_HEADERS
            self.last_stream = max(self.last_stream, int.from_bytes(data[at + 5 : at + _HEAD]) & 0x7FFFFFFF)
        return int.from_bytes(data[at : at + 3])

    def _sift(self, data: bytes, newest: int) -> bytes:
        parts = []
        at, end = 0, len(data)
        while at < end:
            if self._left == 0:
                if end - at < _HEAD:
                    self._held = data[at:]
                    break
                self._dropping = int.from_bytes(data[at + 5 : at + _HEAD]) & 0x7FFFFFFF > newest
                self._left = _HEAD + int.from_bytes(data[at : at + 3])
            passed = data[at : at + self._left]
            at += len(passed)
            self._left -= len(passed)
            if not self._dropping:
                parts.append(passed)
        return b"".join(parts)
