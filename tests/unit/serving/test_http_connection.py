"""Connections: answers in order, deadlines on a clock that only moves when told to, and drain."""

import pytest

from falaj.serving.http import Exchange, Limits, Request
from support.serving_http import Client, Recorder, chunked, get, post, read_answers


def test_pipelined_requests_are_answered_in_order_however_they_finish() -> None:
    client = Client(Recorder(later=True)).send(b"".join(get(b"/%d" % i) for i in range(4)))
    exchanges = client.app.exchanges
    for i in (2, 1, 3):
        exchanges[i].respond(200, b"%d" % i)
        assert client.transport.written == b""
    exchanges[0].respond(401, b"0")
    assert client.answers == [(401, b"0"), (200, b"1"), (200, b"2"), (200, b"3")]


def test_a_refusal_waits_for_the_answers_before_it() -> None:
    client = Client(Recorder(later=True)).send(get(b"/1") + b"nonsense\r\n\r\n" + get(b"/2"))
    assert client.transport.written == b""
    client.app.exchanges[0].respond(200, b"first")
    assert client.statuses == [200, 400]
    assert client.answers[1][1].startswith(b'{"error":"malformed HTTP:')
    assert b'"code":"input_invalid"}' in client.transport.written
    assert b"connection: close" in client.transport.written
    assert len(client.app.requests) == 1
    assert client.transport.eof


def test_an_exchange_is_answered_once() -> None:
    client = Client(Recorder(later=True)).send(get())
    exchange = client.app.exchanges[0]
    exchange.respond(200, b"a")
    exchange.respond(500, b"b")
    assert exchange.open is False
    assert client.answers == [(200, b"a")]


def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    client = Client(Recorder(later=True)).send(get() + get())
    client.connection.connection_lost(None)
    assert not client.server.connections
    for exchange in client.app.exchanges:
        exchange.respond(200, b"too late")
    still_closing = Client(Recorder(later=True)).send(get())
    still_closing.transport.close()
    still_closing.app.exchanges[0].respond(200, b"too late")
    assert client.transport.written == still_closing.transport.written == b""


def test_answers_carry_their_own_headers() -> None:
    client = Client(Recorder(later=True)).send(get() + get() + get())
    first, second, third = client.app.exchanges
    first.respond(200, b"x", b"text/plain", ((b"x-a", b"1"), (b"x-b", b"2")))
    second.fail(503, "full", "overloaded")
    with pytest.raises(ValueError, match="line break"):
        third.respond(200, b"x", b"text/plain", ((b"x-a", b"1\r\nx-b: 2"),))
    assert client.transport.written.startswith(
        b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: text/plain\r\n"
        b"content-length: 1\r\nx-a: 1\r\nx-b: 2\r\n\r\nx"
    )
    assert b"retry-after: 1\r\n" in client.transport.written


def test_head_answers_have_the_length_and_no_body() -> None:
    client = Client(Recorder()).send(b"HEAD /four HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"content-length: 5\r\n" in client.transport.written
    assert list(read_answers(client.transport.written, heads_only=True)) == [(200, b"")]


def test_the_last_request_closes_the_connection() -> None:
    client = Client(Recorder()).send(get(b"/1", b"Connection: close") + get(b"/2"))
    assert client.answers == [(200, b"/1")]
    assert b"connection: close\r\n" in client.transport.written
    assert client.transport.eof


class Failing(Recorder):
    def handle(self, request: Request, exchange: Exchange) -> None:
        super().handle(request, exchange)
        if request.path == b"/bad":
            raise ZeroDivisionError("a fault of our own")


def test_a_fault_answers_500_and_the_connection_goes_on() -> None:
    client = Client(Failing(later=True)).send(get(b"/bad") + get(b"/good"))
    client.app.exchanges[1].respond(200, b"good")
    assert client.statuses == [500, 200]
    assert b"ZeroDivision" not in client.transport.written


def test_leave_to_send_a_body_waits_for_earlier_answers() -> None:
    client = Client(Recorder(later=True))
    client.send(get(b"/1") + b"POST /2 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert client.transport.written == b""
    client.app.exchanges[0].respond(200, b"one")
    assert client.transport.written.endswith(b"oneHTTP/1.1 100 Continue\r\n\r\n")
    client.send(b"x")
    client.app.exchanges[1].respond(200, b"two")
    assert client.answers == [(200, b"one"), (100, b""), (200, b"two")]


def test_a_client_may_shut_its_side_and_still_get_its_answers() -> None:
    client = Client(Recorder(later=True)).send(get(b"/1") + get(b"/2"))
    assert client.connection.eof_received()
    for exchange in client.app.exchanges:
        exchange.respond(200, b"x")
    assert client.statuses == [200, 200]
    assert client.transport.eof
    assert not Client(Recorder()).connection.eof_received()


LIMITS = Limits(idle_timeout_s=30, request_timeout_s=5, min_body_rate=100, linger_s=2, max_body_bytes=100_000)


def test_silent_connections_are_closed_without_a_word() -> None:
    client = Client(Recorder(), LIMITS)
    assert client.wait(29).transport.closed is False
    assert client.send(get(), b"\r\n\r\n").wait(29.5).transport.closed is False
    assert client.wait(1).transport.closed
    assert client.statuses == [200]


def test_a_head_that_trickles_is_refused() -> None:
    trickle = Client(Recorder(), LIMITS).send(b"GET / HTTP/1.1\r\n")
    for _ in range(6):
        trickle.send(b"x").wait(1)
    assert trickle.statuses == [408]
    assert b'"code":"timeout"' in trickle.transport.written


def test_a_body_may_be_slow_but_not_stop_nor_crawl() -> None:
    stopped = Client(Recorder(), LIMITS).send(post(b"x" * 1000)[:-500]).wait(6)
    assert stopped.statuses == [408]
    slow = Client(Recorder(), LIMITS)
    slow.send(post(b"x" * 3000)[:-3000])
    for _ in range(10):
        slow.wait(2).send(b"x" * 300)
    assert slow.statuses == [200]
    crawling = Client(Recorder(), LIMITS).send(post(b"x" * 3000)[:-3000])
    for _ in range(8):
        crawling.wait(1).send(b"x")
    assert crawling.statuses == [408]


def test_waiting_for_the_application_is_not_the_clients_fault() -> None:
    client = Client(Recorder(later=True), LIMITS).send(get()).wait(100)
    client.app.exchanges[0].respond(200, b"at last")
    assert client.statuses == [200]
    assert not client.transport.closed


def test_a_client_that_does_not_read_is_dropped() -> None:
    client = Client(Recorder(), LIMITS).send(get())
    client.connection.pause_writing()
    assert not client.transport.is_reading()
    client.wait(4)
    client.connection.resume_writing()
    assert client.transport.is_reading()
    client.connection.pause_writing()
    client.wait(6)
    assert client.transport.aborted


def test_a_refused_client_may_finish_sending_for_a_while() -> None:
    client = Client(Recorder(), LIMITS).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n")
    assert client.statuses == [413]
    client.send(b"x" * 50_000).wait(1)
    assert not client.transport.closed
    assert client.transport.is_reading()
    client.wait(2)
    assert client.transport.aborted
    endless = Client(Recorder(), LIMITS).send(chunked(b"x" * 200_000))
    for _ in range(200):
        endless.send(b"x" * 100_000)
    assert endless.statuses == [413]
    assert endless.transport.aborted


def test_a_last_answer_is_not_cut_off_while_its_client_reads() -> None:
    client = Client(Recorder(), LIMITS).send(get(b"/", b"Connection: close"))
    client.transport.unsent_bytes = 1000
    assert client.wait(4).transport.aborted is False
    client.transport.unsent_bytes = 0
    assert client.wait(1).transport.aborted


def test_a_flood_of_pipelined_requests_is_not_read_until_answers_leave() -> None:
    client = Client(Recorder(later=True), Limits(max_pipelined=4)).send(get() * 6)
    assert not client.transport.is_reading()
    for exchange in client.app.exchanges[:3]:
        exchange.respond(200)
    assert not client.transport.is_reading()
    client.app.exchanges[3].respond(200)
    assert client.transport.is_reading()


def test_drain_finishes_what_is_in_flight_and_says_goodbye() -> None:
    app = Recorder(later=True)
    client = Client(app).send(get(b"/1") + get(b"/2"))
    half = Client(app, server=client.server).send(get(b"/half")[:-2])
    idle = Client(app, server=client.server)
    client.server.begin_drain()
    for exchange in app.exchanges:
        exchange.respond(200, b"x")
    assert client.statuses == [200, 200]
    assert client.transport.written.count(b"connection: close") == 1
    assert client.transport.eof
    half.send(b"\r\n" + get(b"/not read"))
    app.exchanges[2].respond(200, b"half")
    assert half.answers == [(200, b"half")]
    assert b"connection: close" in half.transport.written
    assert not idle.transport.closed
    idle.send(get(b"/late"))
    app.exchanges[3].respond(200, b"late")
    assert idle.answers == [(200, b"late")]
    silent = Client(app, server=client.server)
    client.wait(1)
    assert silent.transport.closed


def test_unfinished_bodies_are_bounded_together_and_let_go() -> None:
    limits = Limits(max_reading_bytes=1000)
    first = Client(Recorder(), limits)
    second, third = (Client(first.app, server=first.server) for _ in range(2))
    head = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 800\r\n\r\n"
    first.send(head, b"x" * 300, b"x" * 300)
    second.send(head, b"x" * 400)
    assert first.server.reading_bytes == 1000
    second.send(b"x")
    assert second.statuses == [503]
    assert b"retry-after: 1" in second.transport.written
    assert first.server.reading_bytes == 600
    third.send(b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"c8\r\n" + b"y" * 200 + b"\r\n")
    assert first.server.reading_bytes == 800
    third.send(b"0\r\n\r\n")
    first.send(b"x" * 200)
    assert (first.statuses, third.statuses, first.server.reading_bytes) == ([200], [200], 0)
    first.send(head, b"x" * 700)
    first.connection.connection_lost(None)
    assert first.server.reading_bytes == 0


def test_above_the_cap_a_connection_is_answered_and_closed() -> None:
    first = Client(Recorder(), Limits(max_connections=1))
    second = Client(first.app, server=first.server)
    assert second.statuses == [503]
    assert second.transport.closed
    second.send(get(b"/late"))
    second.connection.connection_lost(None)
    assert first.send(get(b"/a")).statuses == [200]
    assert [request.path for request in first.app.requests] == [b"/a"]
    assert first.server.responses == {503: 1, 200: 1}
    first.connection.connection_lost(None)
    assert Client(first.app, server=first.server).send(get()).statuses == [200]
