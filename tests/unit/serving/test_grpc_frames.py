"""Frames of HTTP/2: nothing is lost or moved however the bytes come, and later streams are left out whole."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from falaj.serving.grpc.frames import PREFACE_BYTES, Frames, goaway

HEADERS, DATA, CONTINUATION = 1, 0, 9


def frame(kind: int, stream: int, payload: bytes, flags: int = 4) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


FRAMES = st.lists(
    st.tuples(st.sampled_from([HEADERS, DATA, 3, 4, 8]), st.integers(0, 9), st.binary(max_size=20)), max_size=8
)


def chunks(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[a:b] for a, b in pairwise(places)]


@given(FRAMES, st.lists(st.integers(0, 300), max_size=9))
def test_all_bytes_pass_in_whatever_pieces_they_come(sent: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    raw = bytes(PREFACE_BYTES) + b"".join(frame(*one) for one in sent)
    frames = Frames(PREFACE_BYTES)
    assert b"".join(frames.take(chunk) for chunk in chunks(raw, cuts)) == raw
    assert frames.last_stream == max((stream for kind, stream, _ in sent if kind == HEADERS), default=0)
    assert frames.between


@given(FRAMES, FRAMES, st.lists(st.integers(0, 600), max_size=9), st.integers(0, 300))
def test_streams_that_begin_after_the_last_one_are_left_out(
    before: list[tuple[int, int, bytes]], after: list[tuple[int, int, bytes]], cuts: list[int], late: int
) -> None:
    first, rest = (b"".join(frame(*one) for one in part) for part in (before, after))
    late %= len(first) + 1
    frames = Frames()
    passed = b"".join(frames.take(chunk) for chunk in chunks(first[:late], cuts))
    newest = frames.newest = frames.last_stream
    passed += b"".join(frames.take(chunk) for chunk in chunks(first[late:] + rest, cuts))
    at, expected = 0, b""
    for kind, stream, payload in [*before, *after]:
        one = frame(kind, stream, payload)
        if stream <= newest or at + 9 <= late:  # what had come so far that its stream was known was passed on
            expected += one
        at += len(one)
    assert passed == expected


def test_a_block_of_headers_is_not_interrupted() -> None:
    frames = Frames()
    between = []
    for part in (
        frame(HEADERS, 1, b"a", flags=0),
        frame(CONTINUATION, 1, b"b", flags=4),
        frame(DATA, 1, b"abc")[:-1],
    ):
        frames.take(part)
        between.append(frames.between)
    assert between == [False, True, False]
    assert goaway(7)[-8:] == bytes([0, 0, 0, 7, 0, 0, 0, 0])
