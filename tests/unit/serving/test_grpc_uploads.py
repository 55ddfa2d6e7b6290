"""What clients have begun to send over gRPC: followed exactly however it is cut, and bounded in time."""

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from falaj.serving.grpc.frames import Frames
from falaj.serving.grpc.uploads import Uploads
from falaj.serving.http import Limits

HEADERS, DATA, RESET = 1, 0, 3
LIMITS = Limits(request_timeout_s=10.0, idle_timeout_s=75.0, min_body_rate=1000.0)


def frame(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def message(size: int) -> bytes:
    return b"\0" + size.to_bytes(4) + bytes(size)


def padded(content: bytes, padding: int | None) -> tuple[bytes, int]:
    """A payload and its flags."""
    return (content, 0) if padding is None else (bytes([padding]) + content + bytes(padding), 8)


PIECES = st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(0, 12), st.none() | st.integers(0, 4)), max_size=30)


@given(st.lists(st.integers(0, 30), max_size=8), PIECES, st.lists(st.integers(0, 500), max_size=12))
def test_messages_are_followed_however_frames_and_bytes_are_cut(
    sizes: list[int], pieces: list[tuple[int, int, int | None]], cuts: list[int]
) -> None:
    contents = {stream: b"".join(message(size) for size in sizes[number::3]) for number, stream in enumerate((1, 3, 5))}
    raw, at = b"", dict.fromkeys(contents, 0)
    spans: list[tuple[int, int, bytes]] = []  # where the content of each frame stands
    for stream, size, padding in pieces:
        content = contents[stream][at[stream] : at[stream] + size]
        at[stream] += len(content)
        payload, flags = padded(content, padding)
        spans.append((stream, len(raw) + 9 + bool(flags), content))
        raw += frame(DATA, stream, payload, flags)
    uploads = Uploads()
    frames = Frames(0, uploads)
    for stream in contents:
        frames.take(frame(HEADERS, stream, b"", 4))
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    for begin, end in pairwise(places):
        frames.take(raw[begin:end])
        for stream in contents:
            come = b"".join(content[: max(0, end - start)] for one, start, content in spans if one == stream)
            assert seen(uploads, stream) == naive(come)


def seen(uploads: Uploads, stream: int) -> tuple[int, int]:
    upload = uploads._open[stream]
    return upload.messages, upload.received


def naive(content: bytes) -> tuple[int, int]:
    """How many whole messages there are, and how many bytes of the next."""
    messages = 0
    while len(content) >= 5 and len(content) >= (size := 5 + int.from_bytes(content[1:5])):
        content, messages = content[size:], messages + 1
    return messages, len(content)


class Sent:
    """One connection whose bytes come when a test says."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.asked = Frames(0, self.uploads)
        self.answered = Frames(0, self.uploads, answers=True)

    def slow_at(self, *times_s: float) -> list[bool]:
        return [self.uploads.is_slow(time_s, LIMITS) for time_s in times_s]


def test_a_message_must_come_at_a_rate() -> None:
    sent = Sent()
    sent.asked.take(frame(HEADERS, 1, b"", 4))
    sent.asked.take(frame(DATA, 1, message(50_000)[:2000]))
    assert sent.slow_at(0.0, 11.9, 12.1) == [False, False, True]
    sent.asked.take(frame(DATA, 1, bytes(8000)))
    assert sent.slow_at(12.2, 19.9, 20.1) == [False, False, True]
    sent.asked.take(frame(DATA, 1, bytes(50_005 - 10_000)))
    assert sent.slow_at(20.2, 1e6) == [
        False,
        False,
    ]  # it is whole; how long the next may be waited for is not said here


def test_each_message_has_its_own_time() -> None:
    sent = Sent()
    sent.asked.take(frame(HEADERS, 1, b"", 4) + frame(DATA, 1, message(10) + message(10)[:3]))
    assert sent.slow_at(0.0, 9.0) == [False, False]
    sent.asked.take(frame(DATA, 1, message(10)[3:] + message(10)[:3]))
    assert sent.slow_at(9.5, 19.0, 19.6) == [False, False, True]


def test_a_stream_on_which_nothing_ever_comes_is_ended_late() -> None:
    sent = Sent()
    sent.asked.take(frame(HEADERS, 1, b"", 4))
    assert sent.slow_at(0.0, 84.0, 85.1) == [False, False, True]


def test_what_either_side_has_ended_is_forgotten() -> None:
    endings: list[Callable[[Sent], bytes]] = [
        lambda sent: sent.asked.take(frame(DATA, 1, b"\0", 1)),
        lambda sent: sent.asked.take(frame(DATA, 1, b"", 1)),
        lambda sent: sent.asked.take(frame(DATA, 1, b"\2\0\0\0", 9)),
        lambda sent: sent.asked.take(frame(RESET, 1, b"1234")),
        lambda sent: sent.answered.take(frame(RESET, 1, b"1234")),
        lambda sent: sent.answered.take(frame(HEADERS, 1, b"refused", 5)),
    ]
    for ended in endings:
        sent = Sent()
        sent.asked.take(frame(HEADERS, 1, b"", 4) + frame(DATA, 1, message(10)[:3]))
        assert sent.slow_at(0.0) == [False]
        ended(sent)
        assert sent.slow_at(1e6) == [False]
        sent.asked.take(frame(DATA, 1, b"more of it"))
        assert sent.slow_at(2e6, 3e6) == [False, False]
    whole = Sent()
    whole.asked.take(frame(HEADERS, 1, b"", 5))
    assert whole.slow_at(0.0, 1e6) == [False, False]


def test_a_last_frame_is_followed_to_its_end() -> None:
    sent = Sent()
    sent.asked.take(frame(HEADERS, 1, b"", 4) + frame(DATA, 1, message(100), 1)[:-1])
    assert sent.slow_at(0.0, 10.2) == [False, True]
    sent.asked.take(b"\0")
    assert sent.slow_at(11.0, 1e6) == [False, False]


def test_frames_that_stand_half_sent_are_told_apart() -> None:
    frames = Frames(0, Uploads())
    seen = []
    for piece in (
        frame(HEADERS, 1, b"a", 0),  # a block that goes on
        frame(9, 1, b"b", 0),
        frame(9, 1, b"c", 4),
        frame(HEADERS, 3, b"abc", 4)[:-1],
        b"c",
        frame(DATA, 3, b"abc")[:4],
        frame(DATA, 3, b"abc")[4:-1],
        b"c",
    ):
        frames.take(piece)
        seen.append(frames.unfinished)
    assert [bool(one) for one in seen] == [True, True, False, True, False, True, False, False]
    assert seen[0] == seen[1] != seen[3]
