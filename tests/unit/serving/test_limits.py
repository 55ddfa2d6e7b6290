"""Limits of tokens and tenants, of rows and of time; neighbours never notice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.governance.access import Role
from falaj.governance.tokens import TokenEntry, TokenSnapshot, hash_token
from falaj.kernel.rate import Rate
from falaj.serving.buckets import Buckets
from support.serving_http import MemoryTransport
from support.serving_world import TOKEN, World, _request, ask, bare_route, route, tokens, variant

PREDICT = "/v1/endpoints/fraud/predict"
SECOND_US = 1_000_000


def snapshot() -> TokenSnapshot:
    def entry(name: str, tenant: str, rate: Rate | None) -> TokenEntry:
        return TokenEntry(f"tok_{name}", name, Role.SERVICE, ("*",), None, tenant, rate)

    more = {
        "flj_five": entry("five", "", Rate(1, SECOND_US, 5)),
        "flj_a": entry("a", "shop", None),
        "flj_b": entry("b", "shop", Rate(100, SECOND_US, 100)),
        "flj_c": entry("c", "unlimited", None),
    }
    entries = tokens().tokens | {hash_token(text): each for text, each in more.items()}
    return TokenSnapshot(entries, {"shop": Rate(10, SECOND_US, 8), "other": Rate(1, SECOND_US, 1)})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    buckets = Buckets(tmp_path / "rates")
    made = World(publish=False, buckets=buckets)
    made.publish(route(), bare_route(), snapshot=snapshot())
    yield made
    buckets.close()


def test_a_token_may_ask_so_often_and_is_told_when_again(world: World) -> None:
    assert [world.predict(ask(), token="flj_five")[0] for _ in range(7)] == [200] * 5 + [429] * 2
    assert world.predict(ask(), token=TOKEN)[0] == 200
    assert world.stats.rate_limited == 2
    world.now_us += SECOND_US
    assert [world.predict(ask(), token="flj_five")[0] for _ in range(2)] == [200, 429]
    assert len(world.sink.records) == 7


def test_the_refusal_says_whose_limit_and_when_it_ends(world: World) -> None:
    world.predict([ask()] * 5, token="flj_five")
    connection, transport = world.server.connect(), MemoryTransport()
    connection.connection_made(transport)
    connection.data_received(_request("POST", PREDICT, [ask()] * 3, "flj_five", ""))
    assert transport.written.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert transport.written.count(b"retry-after: ") == 1
    status, answer = world.predict([ask()] * 3, token="flj_five")
    assert (status, answer["code"]) == (429, "rate_limited")
    assert "token 'tok_five'" in answer["error"]
    assert "1/s burst 5" in answer["error"]


def test_retry_after_is_the_time_until_all_rows_have_come(world: World) -> None:
    assert world.predict([ask()] * 5, token="flj_five")[0] == 200
    world.now_us += SECOND_US
    status, answer = world.predict([ask()] * 4, token="flj_five")
    assert (status, answer["hint"][:15]) == (429, "try again in 3 ")
    world.now_us += 3 * SECOND_US
    assert world.predict([ask()] * 4, token="flj_five")[0] == 200


def test_rows_count_and_a_refused_request_takes_none(world: World) -> None:
    assert world.predict([ask()] * 3, token="flj_five")[0] == 200
    for _ in range(3):
        assert world.predict([ask()] * 3, token="flj_five")[0] == 429
    assert world.predict([ask()] * 2, token="flj_five")[0] == 200
    assert len(world.sink.records) == 5


def test_rows_count_in_the_open_inference_protocol_too(world: World) -> None:
    def tensors(rows: int) -> Any:
        return {"inputs": [{"name": "in", "datatype": "FP32", "shape": [rows, 2], "data": [1.0] * (2 * rows)}]}

    path = "/v2/models/bare/infer"
    assert world.call("POST", path, tensors(4), "flj_five")[0] == 200
    assert world.call("POST", path, tensors(2), "flj_five")[0] == 429
    assert world.call("POST", path, tensors(1), "flj_five")[0] == 200


def test_more_rows_than_can_ever_come_at_once_are_bad_input(world: World) -> None:
    status, answer = world.predict([ask()] * 6, token="flj_five")
    assert status == 400
    assert "may ask for 5 at once" in answer["error"]
    assert world.predict([ask()] * 4, token="flj_five")[0] == 200


def test_what_cannot_be_read_counts_as_one(world: World) -> None:
    assert [world.call("POST", PREDICT, b"{", "flj_five")[0] for _ in range(6)] == [400] * 5 + [429]


def test_outcomes_and_entities_count(world: World) -> None:
    outcomes = [{"request_id": f"req_{number}", "outcome": 1} for number in range(3)]
    assert [world.call("POST", "/v1/feedback", outcomes, "flj_five")[0] for _ in range(2)] == [200, 429]
    path = "/v1/features/online?service=fraud&card_id=a"
    assert world.call("GET", f"{path}&card_id=b&card_id=c", None, "flj_five")[0] == 429
    assert world.call("GET", f"{path}&card_id=b", None, "flj_five")[0] == 200
    assert len(world.sink.records) == 3


def test_every_route_counts(world: World) -> None:
    assert [world.call("GET", "/v2/models/fraud", None, "flj_five")[0] for _ in range(6)] == [200] * 5 + [429]


def test_the_tokens_of_a_tenant_share_its_limit(world: World) -> None:
    assert [world.predict(ask(), token=token)[0] for token in ("flj_a", "flj_b") * 4] == [200] * 8
    for token in ("flj_a", "flj_b"):
        status, answer = world.predict(ask(), token=token)
        assert (status, "tenant 'shop'" in answer["error"]) == (429, True)
    assert [world.predict(ask(), token="flj_c")[0] for _ in range(20)] == [200] * 20


def test_what_the_tenants_limit_refuses_is_not_taken_from_the_token(world: World) -> None:
    bucket = world.snapshots.guard.allowances["tok_b"]._limits[0][1]
    assert world.predict([ask()] * 8, token="flj_a")[0] == 200
    for _ in range(150):
        assert world.predict(ask(), token="flj_b")[0] == 429
    assert bucket.take(100, world.now_us) == 0


def test_a_changed_limit_holds_for_the_next_request(world: World) -> None:
    assert world.predict([ask()] * 5, token="flj_five")[0] == 200
    entries = snapshot().tokens | {
        hash_token("flj_five"): TokenEntry("tok_five", "five", Role.SERVICE, ("*",), None, "", Rate(1, SECOND_US, 2))
    }
    world.publish(route(), snapshot=TokenSnapshot(entries))
    assert [world.predict(ask(), token="flj_five")[0] for _ in range(3)] == [200, 200, 429]


def test_an_endpoint_may_take_fewer_rows_than_the_gateway(world: World) -> None:
    world.publish(route(options=EndpointOptions(max_rows=2)), snapshot=snapshot())
    assert world.predict([ask()] * 2)[0] == 200
    status, answer = world.predict([ask()] * 3)
    assert (status, "send 2 at most" in answer["hint"]) == (400, True)


def test_what_waits_past_its_deadline_is_not_computed_and_its_batch_mates_are() -> None:
    world = World(route(), route(endpoint="slow", options=EndpointOptions(deadline_ms=80.0)), bare_route())
    transports = []
    body = {"inputs": [{"name": "in", "datatype": "FP32", "shape": [2, 2], "data": [1.0] * 4}]}
    asked = [
        ("POST", PREDICT, ask(), "falaj-deadline-ms: 50\r\n", 504),
        ("POST", PREDICT, ask(), "", 200),
        ("POST", PREDICT, [ask(), ask()], "Falaj-Deadline-Ms: 99\r\n", 504),
        ("POST", PREDICT, ask(), "falaj-deadline-ms: 101\r\n", 200),
        ("POST", "/v1/endpoints/slow/predict", ask(), "", 504),
        ("POST", "/v1/endpoints/slow/predict", ask(), "falaj-deadline-ms: 1000\r\n", 200),
        ("POST", "/v2/models/bare/infer", body, "falaj-deadline-ms: 60\r\n", 504),
        ("POST", "/v2/models/bare/infer", body, "", 200),
    ]
    for method, path, sent, headers, _ in asked:
        connection, transport = world.server.connect(), MemoryTransport()
        connection.connection_made(transport)
        connection.data_received(_request(method, path, sent, TOKEN, headers))
        transports.append(transport)
    world.clock.advance(0.1)
    world.turn()
    assert [int(transport.written.split(b" ")[1]) for transport in transports] == [each[-1] for each in asked]
    assert b'"code":"timeout"' in transports[0].written
    assert world.stats.late == 6
    rows = [getattr(record, "rows", 1) for record in world.sink.records]
    assert sum(rows) == 5


@pytest.mark.parametrize("sent", ["0", "-1", "soon", "1.5", "3600001", "99999999999999", "", "5 0", "²"])
def test_a_deadline_that_is_none_is_refused(sent: str) -> None:
    world = World()
    status, answer = world.call("POST", PREDICT, ask(), headers=f"falaj-deadline-ms: {sent}\r\n")
    assert (status, answer["code"]) == (400, "input_invalid")


def test_a_late_request_is_not_decided_by_shadows_either() -> None:
    world = World(route(variant(), variant("challenger", 2, 0, role="shadow")))
    connection, transport = world.server.connect(), MemoryTransport()
    connection.connection_made(transport)
    connection.data_received(_request("POST", PREDICT, ask(), TOKEN, "falaj-deadline-ms: 5\r\n"))
    world.clock.advance(1.0)
    world.turn()
    assert transport.written.startswith(b"HTTP/1.1 504 ")
    assert world.sink.records == []
