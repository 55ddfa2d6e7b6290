"""W3C trace context: what the specification calls valid is kept, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.serving.trace_context import begin, parse

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEX = st.text("0123456789abcdef", min_size=1)


@pytest.mark.parametrize(
    "header",
    [
        b"", b"00", f"00-{TRACE}-{PARENT}".encode(), f"00-{TRACE}-{PARENT}-01-".encode(),
        f"00-{TRACE}-{PARENT}-01-more".encode(), f"ff-{TRACE}-{PARENT}-01".encode(),
        f"00-{TRACE.upper()}-{PARENT}-01".encode(), f"00-{'0' * 32}-{PARENT}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(), f"00-{TRACE}-{PARENT}-0x".encode(),
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01".encode(), f"cc-{TRACE}-{PARENT}-01more".encode(),
        f"00-{TRACE[:-1]}g-{PARENT}-01".encode(), f" 00-{TRACE}-{PARENT}-01".encode(),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_as_if_it_had_not_been_sent(header: bytes) -> None:
    assert parse(header) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = parse(f"cc-{TRACE}-{PARENT}-01-what-comes".encode())
    assert found is not None
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, PARENT, True)
    assert found.traceparent.startswith(b"00-")


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_what_is_sent_is_what_is_kept(trace: int, parent: int, flags: int) -> None:
    found = parse(b"00-%032x-%016x-%02x" % (trace, parent, flags), b"vendor=x")
    assert found is not None
    assert (int(found.trace_id, 16), int(found.parent_id, 16), found.sampled) == (trace, parent, bool(flags & 1))
    assert found.state == b"vendor=x"
    again = parse(found.traceparent)
    assert again is not None
    assert (again.trace_id, again.parent_id, again.sampled) == (found.trace_id, found.span_id, found.sampled)


@given(st.binary(max_size=80))
def test_anything_may_be_sent(header: bytes) -> None:
    found = parse(header)
    assert found is None or header[3:35] == found.trace_id.encode()


def test_a_state_that_is_too_long_is_left_out_whole() -> None:
    found = parse(f"00-{TRACE}-{PARENT}-01".encode(), b"a=" + b"b" * 511)
    assert found is not None
    assert found.state == b""


def test_a_trace_that_begins_here_is_valid() -> None:
    begun = begin()
    assert parse(begun.traceparent) is not None
    assert begun.sampled
    assert begin().trace_id != begun.trace_id
