"""The reader as a parser: grammar, framing, smuggling vectors and limits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.serving.http import Limits, Request
from falaj.serving.http.reader import Refusal, RequestReader
from support.serving_http import chunked, get, post

HOST = b"Host: a\r\n"


class Reading:
    """A reader and all it delivered."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.requests: list[Request] = []
        self.framing: list[tuple[bool, bool, bytes]] = []
        self.continues = 0
        self.refusal: Refusal | None = None
        self.reader = RequestReader(limits or Limits(), self._deliver, self._continue)

    def _deliver(self, request: Request, last: bool, without_body: bool, connection_header: bytes) -> None:
        self.requests.append(request)
        self.framing.append((last, without_body, connection_header))

    def _continue(self) -> None:
        self.continues += 1

    def feed(self, *parts: bytes) -> "Reading":
        for part in parts:
            if self.refusal is None:
                self.refusal = self.reader.feed(part)
        return self

    @property
    def outcome(self) -> tuple[object, ...]:
        return (self.requests, self.framing, self.continues, self.refusal and (self.refusal.status, self.refusal.code))


def feed(*parts: bytes, limits: Limits | None = None) -> Reading:
    return Reading(limits).feed(*parts)


def status(*parts: bytes, limits: Limits | None = None) -> int:
    refusal = feed(*parts, limits=limits).refusal
    return refusal.status if refusal else 200


def test_a_request_arrives_whole() -> None:
    reading = feed(post(b"hello", b"X-Two: a ", b"x-two:b", b"Empty:", path=b"/a%20b?c=d?e"))
    (request,) = reading.requests
    assert (request.method, request.path, request.query) == (b"POST", b"/a%20b", b"c=d?e")
    assert request.headers == {b"host": b"a", b"content-length": b"5", b"x-two": b"a, b", b"empty": b""}
    assert request.body == b"hello"
    assert reading.framing == [(False, False, b"")]


def test_chunks_are_joined_and_trailers_dropped() -> None:
    reading = feed(chunked(b"ab", b"c" * 300, tail=b"Date: 9\r\nX: y\r\n\r\n"), get(b"/next"))
    assert [r.body for r in reading.requests] == [b"ab" + b"c" * 300, b""]
    assert b"x" not in reading.requests[0].headers
    assert reading.requests[1].headers == {b"host": b"a"}


def test_head_is_a_get_without_a_body_in_the_answer() -> None:
    reading = feed(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert reading.requests[0].method == b"GET"
    assert reading.framing == [(False, True, b"")]


def test_absolute_targets_lose_their_authority() -> None:
    paths = [b"http://a/b?c", b"http://a", b"*"]
    reading = feed(*(b"OPTIONS " + p + b" HTTP/1.1\r\nHost: a\r\n\r\n" for p in paths))
    assert [(r.path, r.query) for r in reading.requests] == [(b"/b", b"c"), (b"/", b""), (b"*", b"")]


def test_http_1_0_closes_unless_asked_to_stay() -> None:
    assert feed(b"GET / HTTP/1.0\r\n\r\n").framing == [(True, False, b"connection: close\r\n")]
    kept = feed(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n")
    assert [f[0] for f in kept.framing] == [False, True]
    assert kept.framing[0][2] == b"connection: keep-alive\r\n"


def test_nothing_is_read_behind_the_last_request() -> None:
    reading = feed(get(b"/1", b"Connection: close") + get(b"/2") + b"garbage", get(b"/3"))
    assert [r.path for r in reading.requests] == [b"/1"]
    assert reading.refusal is None


def test_an_offer_of_another_protocol_is_passed_over_with_its_body_read() -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAM")
    whole = post(b"abc", *offer) + get(b"/2", *offer) + get(b"/3")
    for parts in ([whole], [bytes([b]) for b in whole]):
        reading = feed(*parts)
        assert [(r.method, r.path, r.body) for r in reading.requests] == [
            (b"POST", b"/p", b"abc"),
            (b"GET", b"/2", b""),
            (b"GET", b"/3", b""),
        ]
        assert reading.requests[0].headers[b"upgrade"] == b"h2c"
        assert reading.refusal is None
    smuggled = chunked(b"GET /evil HTTP/1.1\r\n\r\n").replace(b"Host", b"Connection: upgrade\r\nUpgrade: x\r\nHost")
    assert [r.path for r in feed(smuggled).requests] == [b"/c"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n\tfolded\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x01b\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_a_malformed_head_is_refused(head: bytes) -> None:
    assert status(head) == 400
    reading = feed(*(bytes([byte]) for byte in head))
    assert reading.refusal
    assert reading.refusal.status == 400
    assert reading.requests == []


LENGTHS = [b"+1", b"-1", b"1 1", b"1,1", b"1, 1", b"0x1", b"", b" ", b"1e0", b"99999999999999999999999", b"\xb2"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_could_be_read_in_two_ways_is_refused(length: bytes) -> None:
    assert status(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\na") == 400


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Transfer-Encoding: identity\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 501),
        (b'Transfer-Encoding: "chunked"\r\n', 501),
        (b"Transfer-Encoding:\x0bchunked\r\n", 400),
        (b"Transfer-Encoding : chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding:\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length : 5\r\n", 400),
    ],
)
def test_ambiguous_framing_is_refused(framing: bytes, expected: int) -> None:
    raw = b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    for parts in ([raw], [bytes([b]) for b in raw]):
        reading = feed(*parts)
        assert reading.requests == []
        assert reading.refusal
        assert reading.refusal.status == expected


def test_http_1_0_may_not_send_chunks() -> None:
    assert status(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "chunks",
    [
        b"1\na\r\n0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"1 \r\na\r\n0\r\n\r\n",
        b"g\r\n",
        b"fffffffffffffffff\r\n",
        b"-1\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"1;\na\r\n0\r\n\r\n",
        b"1;a\nb\r\na\r\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"1\ra\r\n0\r\n\r\n",
        b"0\r\nX: a\n\r\n",
        b"0\r\n\n",
    ],
)
def test_a_bad_chunk_is_refused(chunks: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(head, chunks) == 400
    assert status(head + chunks) == 400
    assert status(head, *(bytes([b]) for b in chunks)) == 400


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
def test_other_versions_are_refused(version: bytes) -> None:
    assert status(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n") == 505


@pytest.mark.parametrize("line", [b"CONNECT a:1", b"PROPFIND /", b"TRACE /"])
def test_other_methods_are_refused(line: bytes) -> None:
    assert status(line + b" HTTP/1.1\r\nHost: a\r\n\r\n") == 501


def test_expect_is_met_only_for_a_body() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: "
    reading = feed(head + b"3\r\n\r\n")
    assert (reading.continues, reading.requests) == (1, [])
    assert reading.feed(b"abc").requests[0].body == b"abc"
    assert feed(head + b"0\r\n\r\n").continues == 0
    assert feed(head.replace(b"1.1", b"1.0") + b"3\r\n\r\n").continues == 0
    assert status(head.replace(b"100-Continue", b"200-ok") + b"3\r\n\r\n") == 417
    assert feed(head + b"9999999999\r\n\r\n").outcome[2:] == (0, (413, "input_invalid"))


def splits(raw: bytes, size: int) -> list[bytes]:
    return [raw[i : i + size] for i in range(0, len(raw), size)]


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_limits_hold_to_the_byte_however_the_bytes_arrive(size: int) -> None:
    request = get(b"/abc", b"X: " + b"y" * 500)
    limits = Limits(max_head_bytes=len(request))
    assert status(*splits(request, size), limits=limits) == 200
    assert status(*splits(request * 9, size), limits=limits) == 200
    assert status(*splits(get(b"/abc", b"X: " + b"y" * 501), size), limits=limits) == 431
    assert status(*splits(get(b"/abcd", b"X: " + b"y" * 500), size), limits=limits) == 431
    body = Limits(max_body_bytes=100)
    assert status(*splits(post(b"b" * 100) + chunked(b"b" * 60, b"b" * 40), size), limits=body) == 200
    assert status(*splits(post(b"b" * 101), size), limits=body) == 413
    assert status(*splits(chunked(b"b" * 60, b"b" * 41), size), limits=body) == 413
    many = [b"h%d: 1" % i for i in range(98)]
    assert status(*splits(get(b"/", *many), size), limits=Limits(max_headers=99)) == 200
    assert status(*splits(get(b"/", *many), size), limits=Limits(max_headers=98)) == 431


def test_endless_pieces_of_one_message_are_bounded() -> None:
    limits = Limits(max_head_bytes=1000, max_headers=50)
    piece = b"x" * 100
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(b"GET / HTTP/1.1\r\nHost: a\r\n", *[piece] * 20, limits=limits) == 431
    assert status(b"GET /", *[piece] * 20, limits=limits) == 431
    assert status(head, b"1;", *[piece] * 20, limits=limits) == 431
    assert status(head, b"0\r\n", *[piece] * 20, limits=limits) == 431
    assert status(head, b"0\r\n" + b"a: b\r\n" * 60, limits=limits) == 431
    assert status(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 10_000, limits=limits) == 431
    assert status(post(b"z" * 5000) + b"GET / HTTP/1.1\r\nX: ", *[piece] * 20, limits=limits) == 431


good_requests = st.lists(
    st.one_of(
        st.builds(get, st.from_regex(rb"/[a-z0-9?=&%]{0,12}", fullmatch=True), st.just(b"X-A: \t b c ")),
        st.builds(post, st.binary(max_size=40)),
        st.lists(st.binary(min_size=1, max_size=20), max_size=4).map(lambda chunks: chunked(*chunks)),
        st.just(b"\r\n"),
    ),
    max_size=5,
).map(b"".join)

mangled = st.tuples(
    good_requests, st.integers(0, 400), st.sampled_from([b"\n", b"\r", b"\0", b" ", b":", b"0", b""])
).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + 1 :])


@given(st.one_of(good_requests, mangled, st.binary(max_size=60)), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_reads_the_same(raw: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(raw), *(c for c in cuts if c < len(raw))})
    parts = [raw[a:b] for a, b in pairwise(edges)]
    whole = feed(raw).outcome
    assert feed(*parts).outcome == whole
    assert feed(*(bytes([b]) for b in raw)).outcome == whole


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_no_bytes_break_the_reader(parts: list[bytes]) -> None:
    reading = feed(*parts)
    assert reading.refusal is None or reading.refusal.status in (400, 413, 417, 431, 501, 505)
