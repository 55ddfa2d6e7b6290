"""Frames: where HTTP/2's frames begin and end in a stream of bytes, and which streams they belong to."""

from falaj.serving.grpc.uploads import Uploads

_HEAD = 9
_DATA, _HEADERS, _RESET, _CONTINUATION = 0, 1, 3, 9
_END_STREAM, _END_HEADERS = 1, 4
CALM = 11
"""HTTP/2's code of a connection that is ended because its client does what it should not."""

PREFACE_BYTES = 24
"""What a client sends before its first frame."""


def goaway(last_stream: int, code: int = 0, says: bytes = b"") -> bytes:
    """Return the frame that tells a client to ask elsewhere.

    Args:
        last_stream: What came later was not looked at, so that the client asks it again by itself.
        code: HTTP/2's, of why; 0 for no error.
        says: For people.

    Example:
        >>> goaway(5).hex()
        '0000080700000000000000000500000000'
    """
    head = (8 + len(says)).to_bytes(3) + b"\x07\0\0\0\0\0"
    return head + last_stream.to_bytes(4) + code.to_bytes(4) + says


class Frames:
    """One direction of a connection.

    The few bytes of a frame's head that has not arrived whole are held back, so that what was passed on always ends
    within or behind a frame whose stream is known.

    Args:
        preface_bytes: What comes before the first frame.
        uploads: Is told of the streams and messages; None where nobody wants to know.
        answers: Whether these are the frames of the server, which end streams and begin none.

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

    def __init__(self, preface_bytes: int = 0, uploads: Uploads | None = None, *, answers: bool = False) -> None:
        self._uploads = uploads
        self._answers = answers
        self._following: Uploads | None = None  # while the frame is a part of a message
        self._begun = 0
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

    @property
    def unfinished(self) -> int:
        """Which frame, or block of headers, has begun to come and is not whole; 0 for none, or one of a message."""
        return self._begun if self._held or self._within_headers or (self._left and self._following is None) else 0

    def take(self, data: bytes) -> bytes:
        """Return what is to be passed on of the bytes that came."""
        if self._held:
            data, self._held = self._held + data, b""
        if self.newest is not None:
            return self._sift(data, self.newest)
        at, end = self._left, len(data)
        if self._following is not None and at and end:
            self._following.take(data, 0, min(at, end))
        while at + _HEAD <= end:
            size = self._head(data, at)
            at += _HEAD
            if self._following is not None and size and at < end:
                self._following.take(data, at, min(at + size, end))
            at += size
        if at >= end:
            self._left = at - end
            return data
        self._left, self._held = 0, data[at:]
        return data[:at]

    def _head(self, data: bytes, at: int) -> int:
        """Note a frame's head and return the bytes that follow it."""
        kind, flags, size = data[at + 3], data[at + 4], int.from_bytes(data[at : at + 3])
        stream = int.from_bytes(data[at + 5 : at + _HEAD]) & 0x7FFFFFFF
        if kind in (_HEADERS, _CONTINUATION):
            self._within_headers = not flags & _END_HEADERS
            self.last_stream = max(self.last_stream, stream)
        self._begun += kind != _CONTINUATION
        if self._uploads is not None:
            self._note(self._uploads, kind, flags, stream, size)
        return size

    def _note(self, uploads: Uploads, kind: int, flags: int, stream: int, size: int) -> None:
        self._following = None
        if kind == _DATA and not self._answers:
            self._following = uploads
            uploads.frame(stream, flags, size)
        elif kind == _RESET or (flags & _END_STREAM and kind in (_HEADERS, _DATA)):
            uploads.end(stream)
        elif kind == _HEADERS and not self._answers:
            uploads.begin(stream)

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
