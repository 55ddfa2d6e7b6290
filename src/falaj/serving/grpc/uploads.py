"""Uploads: what a client has begun to send and not finished, by stream, and whether it comes too slowly."""

from falaj.serving.http import Limits

_PREFIX = 5
"""Each message begins with a byte that says whether it is compressed, and its length."""

_PADDED = 8


class Upload:
    """One stream's messages, of which one at a time is under way.

    Attributes:
        received: Bytes of that message that have come; 0 while none is under way.
        left: How many of its bytes are to come, once its prefix is there.
        prefix: What has come of its prefix.
        messages: How many came whole.
    """

    __slots__ = ("left", "messages", "prefix", "received", "seen", "since_s")

    def __init__(self) -> None:
        self.received = self.left = self.messages = 0
        self.prefix = b""
        self.seen = -1
        self.since_s = 0.0

    def take(self, data: bytes, at: int, end: int) -> None:
        """Follow the bytes from `at` to `end`."""
        while at < end:
            if self.left == 0:
                piece = data[at : min(end, at + _PREFIX - len(self.prefix))]
                self.prefix += piece
                passed = len(piece)
                self.received += passed
                if len(self.prefix) == _PREFIX:
                    self.left = int.from_bytes(self.prefix[1:])
                    self.prefix = b""
                    if self.left == 0:
                        self._finish()
            else:
                passed = min(self.left, end - at)
                self.received += passed
                self.left -= passed
                if self.left == 0:
                    self._finish()
            at += passed

    def _finish(self) -> None:
        self.messages += 1
        self.received = 0


class Uploads:
    """The streams of one connection that its client may still send on.

    Example:
        >>> uploads = Uploads()
        >>> uploads.begin(1)
        >>> uploads.frame(1, flags=0, size=7)
        >>> uploads.take(b"\\0\\0\\0\\0\\4ab", 0, 7)
        >>> limits = Limits(request_timeout_s=10.0)
        >>> uploads.is_slow(0.0, limits), uploads.is_slow(9.0, limits), uploads.is_slow(10.1, limits)
        (False, False, True)
    """

    def __init__(self) -> None:
        self._open: dict[int, Upload] = {}
        self._current: Upload | None = None
        self._stream = self._content = 0
        self._padded = self._last = False

    def begin(self, stream: int) -> None:
        """Note a stream whose client has not said that it is done."""
        if stream not in self._open:
            self._open[stream] = Upload()

    def end(self, stream: int) -> None:
        """Forget a stream: one of both sides has ended it."""
        self._open.pop(stream, None)

    def frame(self, stream: int, flags: int, size: int) -> None:
        """Note the head of a frame with a part of a message.

        Args:
            stream: Its stream.
            flags: As they stand in the head.
            size: Of what follows the head.
        """
        self._stream, self._content = stream, size
        self._padded, self._last = bool(flags & _PADDED), bool(flags & 1)
        self._current = self._open.get(stream)
        if self._last and not size:
            self.end(stream)

    def take(self, data: bytes, at: int, end: int) -> None:
        """Follow the bytes of that frame from `at` to `end`, of which there is at least one."""
        if self._padded:
            self._padded = False
            self._content -= 1 + data[at]
            at += 1
        end = min(end, at + max(self._content, 0))
        self._content -= max(end - at, 0)
        if self._current is not None:
            self._current.take(data, at, end)
        if self._last and self._content <= 0:
            self.end(self._stream)

    def is_slow(self, now_s: float, limits: Limits) -> bool:
        """Whether a message has been under way for longer than its bytes allow, or none came at all.

        What is under way is looked at now and then, so that a message costs no look at a clock.

        Args:
            now_s: The present instant.
            limits: A message has `request_timeout_s`, and a second more for each `min_body_rate` bytes that came.
                A stream whose first message never begins has `idle_timeout_s` besides.
        """
        for upload in self._open.values():
            if upload.received == 0 and upload.messages:
                upload.seen = -1
                continue
            if upload.seen != upload.messages:
                upload.seen, upload.since_s = upload.messages, now_s
            allowed_s = limits.request_timeout_s + upload.received / limits.min_body_rate
            if upload.received == 0:
                allowed_s += limits.idle_timeout_s
            if now_s - upload.since_s > allowed_s:
                return True
        return False
