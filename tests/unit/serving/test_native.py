"""The native form, from the request's bytes to the record and the answer."""

from typing import Any

import pytest

from falaj.definitions.prediction_record import FeedbackRecord, PredictionRecord
from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.errors import DiskFull, StorageError
from falaj.serving.native import CLOCKS_DIFFER_US
from support.serving_world import NOW_US, OWNER, SIGNATURE, World, ask, bare_route, route, variant

EVENTS = (("c1", 30, 8.0, "OM"), ("c1", 2, 4.0, "AE"), ("c2", 3, 100.0, "OM"))


@pytest.fixture
def world() -> World:
    world = World()
    world.ingest(*EVENTS)
    return world


def test_a_decision_is_made_from_features_of_now(world: World) -> None:
    status, answer = world.predict(ask("c1", 10.0, id="mine"))
    assert status == 200
    # velocity 0, mean 4, country AE = 0, ratio 10 / 4, amount 10, and 1000 for version 1
    assert answer["prediction"] == 0 + 4 + 0 + 2.5 + 10 + 1000
    assert (answer["model"], answer["model_version"], answer["variant"]) == ("fraud_model", 1, "champion")
    assert answer["id"] == "mine"
    assert answer["statuses"] == dict.fromkeys(
        ["activity__velocity", "activity__amount_mean", "activity__country"], "PRESENT"
    )
    assert answer["defaulted"] is False
    (record,) = world.sink.records
    assert isinstance(record, PredictionRecord)
    assert record.features == [0, 4.0, "AE", 2.5, 10.0]
    assert record.request_id == answer["request_id"]
    assert (record.unit, record.client_id, record.actor, record.epoch) == ("c1", "mine", "app", 1)
    assert (record.at_us, record.received_us) == (NOW_US, NOW_US)
    assert record.applied_seq == {"activity": 3}
    assert (record.entities, record.request) == ({"card_id": "c1"}, {"amount": 10.0})
    assert record.score == answer["prediction"]


def test_a_list_is_answered_as_a_list_in_its_order(world: World) -> None:
    status, answers = world.predict([ask("c2", 1.0), ask("c1", 2.0), ask("nobody", 3.0)])
    assert status == 200
    assert [answer["prediction"] for answer in answers] == pytest.approx([1102.01, 1006.5, 1006.0])
    assert answers[2]["statuses"]["activity__country"] == "NOT_FOUND"
    assert len({answer["request_id"] for answer in answers}) == 3
    assert [record.statuses for record in world.sink.records][2] == {"*": "NOT_FOUND"}


def test_history_is_replayed_by_those_who_may(world: World) -> None:
    then = ask("c1", 10.0, at="1970-02-11T14:00:01Z")  # a second after the event of two hours ago
    assert world.predict(then)[0] == 403
    assert world.predict(then, token=OWNER)[0] == 200
    assert world.sink.records[0].at_us == NOW_US - 7_199_000_000
    assert world.sink.records[0].features[0] == 1
    assert world.predict(ask("c1", at="yesterday"), token=OWNER)[0] == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "body: "),
        (b"[]", "the request has no instances"),
        (b'"x"', "body: "),
        (b"", "body: "),
        (b"[" * 100_000, "body: "),
        (ask("c1", "12"), "request field 'amount' must be float64, got '12' (text)"),
        (ask("c1", [1]), "request field 'amount' must be float64, got [1] (a list)"),
        (ask("c1", True), "request field 'amount' must be float64, got True (true or false)"),
        (ask("c1", 10**400), "request field 'amount' must be float64"),
        ({"entities": {"card_id": 1}, "request": {"amount": 1}}, "entities field 'card_id' must be string, got 1"),
        ({"entities": {}, "request": {"amount": 1}}, "entities field 'card_id' (string) is missing"),
        ({"entities": {"card_id": "c"}, "request": {}}, "request field 'amount' (float64) is missing"),
        ({"entities": {"card_id": "c"}, "request": {"amount": 1, "b": 2}}, "request field 'b' does not exist"),
        ({"entities": {"card_id": "c"}, "request": {"amonut": 1, "amount": 1}}, "'amonut' does not exist"),
        ({"entity": {}}, "unknown field `entity`"),
        ([ask(), ask("c1", "x")], "instance 1: request field 'amount' must be float64"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_is_logged(world: World, body: Any, said: str) -> None:
    status, answer = world.predict(body)
    assert status == 400
    assert said in answer["error"]
    assert answer["code"] == "input_invalid"
    assert world.sink.records == []


def test_null_stands_for_what_is_not_known(world: World) -> None:
    status, answer = world.predict(ask(None, None))
    assert (status, answer["prediction"]) == (200, 1000.0)
    assert world.sink.records[0].unit == answer["request_id"]
    assert world.sink.records[0].features[-1] is None


def test_one_bad_row_never_touches_its_batch_mates(world: World, caplog: pytest.LogCaptureFixture) -> None:
    calls = [("POST", "/v1/endpoints/fraud/predict", ask("c1", amount)) for amount in (1.0, 666.0, 13.0, 14.0, 2.0)]
    answers = world.call_all([*calls, ("POST", "/v1/endpoints/fraud/predict", ask("c1", "bad"))])
    assert [status for status, _ in answers] == [200, 500, 500, 500, 200, 400]
    assert "the number of the beast" in answers[1][1]["error"]
    assert answers[2][1] == {"error": "the gateway failed on this request", "code": "internal"}
    assert "answered nan" in answers[3][1]["error"]
    assert answers[0][1]["prediction"] == 1005.25
    assert [record.error for record in world.sink.records] == ["", "internal", "internal", "internal", ""]
    series = world.stats.find("fraud", "champion", 1)
    assert (series.requests, series.errors) == (5, 3)
    assert "superstitious" in caplog.text


def test_defaults_stand_in_for_a_store_that_fails(world: World) -> None:
    world.reader.error = StorageError("the disk is gone")
    world.publish(route(defaults={"activity__amount_mean": 50.0}))
    status, answer = world.predict(ask("c1", 100.0))
    assert (status, answer["defaulted"]) == (200, True)
    assert answer["prediction"] == 7 + 50 + 2 + 100 + 1000
    assert set(answer["statuses"].values()) == {"STORE_FAILED"}
    (record,) = world.sink.records
    assert (record.defaulted, record.features) == (True, [7.0, 50.0, None, 2.0, 100.0])
    assert world.stats.store_failures == 1
    assert world.stats.find("fraud", "champion", 1).defaulted == 1


def test_a_text_that_training_never_saw_is_said() -> None:
    """Of a stored feature and of a request field; whoever sends what is known sees no change."""
    known = Signature((InputSpec("activity__country", "string", ("AE",)), InputSpec("amount", "float64")))
    colour = Signature((InputSpec("colour", "string", ("red",)), InputSpec("x", "float64")))
    world = World()
    world.publish(
        route(variant(signature=Signature((*SIGNATURE.inputs[:2], known.inputs[0], *SIGNATURE.inputs[3:])))),
        route(variant("champion", 4, signature=colour, service=None), endpoint="bare"),
    )
    world.ingest(("c1", 1, 5.0, "AE"), ("c2", 1, 5.0, "OM"))
    answers = [world.predict(ask(card, 1.0))[1]["statuses"]["activity__country"] for card in ("c1", "c2", None)]
    assert sorted(answers) == ["NOT_FOUND", "PRESENT", "UNSEEN_VALUE"]
    for value, statuses in (("red", {}), (None, {}), ("blue", {"colour": "UNSEEN_VALUE"})):
        status, answer = world.predict({"request": {"colour": value, "x": 1.0}}, "bare")
        assert (status, answer["statuses"]) == (200, statuses)
    assert world.sink.records[-1].statuses == {"colour": "UNSEEN_VALUE"}
    assert world.stats.find("bare", "champion", 4).status_counts()["colour"] == {"UNSEEN_VALUE": 1}
    assert world.stats.find("fraud", "champion", 1).status_counts()["activity__country"]["UNSEEN_VALUE"] == 1


def test_a_damaged_record_is_defaulted_alone(world: World) -> None:
    world.reader.damaged = {"c2"}
    calls = [("POST", "/v1/endpoints/fraud/predict", ask(card)) for card in ("c1", "c2", "c1")]
    answers = [answer for _, answer in world.call_all(calls)]
    assert [answer["defaulted"] for answer in answers] == [False, True, False]
    assert world.stats.find("fraud", "champion", 1).errors == 0


def test_a_full_disk_stops_no_decision_but_refuses_feedback(world: World) -> None:
    world.sink.error = DiskFull("no space left")
    assert world.predict(ask())[0] == 200
    assert world.log.dropped == 1
    status, answer = world.call("POST", "/v1/feedback", {"request_id": "req_1", "outcome": 1})
    assert (status, answer["code"]) == (503, "unavailable")


@pytest.mark.parametrize(("ahead_us", "status"), [(0, 200), (CLOCKS_DIFFER_US, 200), (CLOCKS_DIFFER_US + 1, 400)])
def test_an_outcome_cannot_be_known_before_it_is(world: World, ahead_us: int, status: int) -> None:
    at = rfc3339(from_us(NOW_US + ahead_us))
    answered, answer = world.call("POST", "/v1/feedback", {"request_id": "req_1", "outcome": 1, "at": at})
    assert answered == status, answer
    assert len(world.sink.records) == (status == 200)


def test_outcomes_are_acknowledged_when_logged(world: World) -> None:
    items = [
        {"request_id": "req_1", "outcome": 1, "at": "1970-01-01T00:00:01Z"},
        {"request_id": "req_2", "outcome": False, "at": None},
    ]
    assert world.call("POST", "/v1/feedback", items) == (200, {"accepted": 2})
    assert world.sink.records == [
        FeedbackRecord("req_1", 1.0, 1_000_000, NOW_US, "app"),
        FeedbackRecord("req_2", 0.0, NOW_US, NOW_US, "app"),
    ]
    for bad in ({"request_id": "r", "outcome": 2}, {"request_id": "", "outcome": 1}, {"outcome": 1}, {"request_id": 1}):
        assert world.call("POST", "/v1/feedback", bad)[0] == 400


@pytest.mark.parametrize("outcome", [0, 1, True, -3, 212.5, 1e300])
def test_outcomes_of_a_project_with_a_regression_are_any_numbers(world: World, outcome: float) -> None:
    refused, _ = world.call("POST", "/v1/feedback", {"request_id": "req_1", "outcome": outcome})
    assert refused == (200 if outcome in (0, 1) else 400)
    world.publish(route(), numbers=True)
    assert world.call("POST", "/v1/feedback", {"request_id": "req_1", "outcome": outcome})[0] == 200
    assert world.sink.records[-1] == FeedbackRecord("req_1", float(outcome), NOW_US, NOW_US, "app")
    for bad in (b'{"request_id": "r", "outcome": 1e999}', b'{"request_id": "r", "outcome": null}'):
        assert world.call("POST", "/v1/feedback", bad)[0] == 400


def test_features_can_be_read(world: World) -> None:
    path = "/v1/features/online?service=fraud&card_id=c1&card_id=nobody"
    status, answer = world.call("GET", path)
    assert status == 200
    assert answer["columns"] == ["activity__velocity", "activity__amount_mean", "activity__country"]
    assert answer["values"] == [[0, 4.0, "AE"], [0, None, None]]
    assert answer["applied_seq"] == [{"activity": 3}, {"activity": 0}]
    assert world.call("GET", path + "&at=1970-01-02T00:00:00Z")[0] == 403
    assert world.call("GET", path + "&at=1970-02-11T14:00:00.000001Z", token=OWNER)[1]["values"][0][0] == 1
    assert world.call("GET", "/v1/features/online?service=frod&card_id=1")[0] == 404
    assert world.call("GET", "/v1/features/online?service=fraud&crad_id=1")[0] == 400
    assert world.call("GET", "/v1/features/online?service=fraud")[0] == 400
    world.reader.error = StorageError("gone")
    assert world.call("GET", path)[0] == 503


def test_a_bare_model_takes_its_features_as_the_request() -> None:
    world = World(bare_route())
    assert world.predict({"request": {"x": 1.5, "y": None}}, "bare")[1]["prediction"] == 4001.5
    assert world.sink.records[0].features == [1.5, None]
    status, answer = world.predict({"request": {"x": 1.5}}, "bare")
    assert (status, answer["error"]) == (400, "request field 'y' (float64) is missing")


def test_too_many_rows_are_refused_with_a_word() -> None:
    world = World(max_rows=3, max_queue=5)
    assert world.predict([ask()] * 4)[0] == 400
    calls = [("POST", "/v1/endpoints/fraud/predict", [ask()] * 3)] * 3
    assert [status for status, _ in world.call_all(calls)] == [200, 503, 503]
    assert world.stats.rejected == 2


def test_an_unknown_endpoint_is_named(world: World) -> None:
    status, answer = world.predict(ask(), "frod")
    assert status == 404
    assert answer == {"error": "endpoint 'frod' does not exist", "code": "not_found", "hint": "did you mean 'fraud'?"}


def test_shadows_are_logged_and_never_answer() -> None:
    world = World(route(variant(), variant("candidate", 2, 5_000, role="shadow")))
    for number in range(200):
        assert world.predict(ask(f"c{number}"))[1]["model_version"] == 1
    roles = [(record.role, record.version, record.request_id) for record in world.sink.records]
    shadows = [request_id for role, version, request_id in roles if (role, version) == ("shadow", 2)]
    assert 60 < len(shadows) < 140
    assert set(shadows) <= {request_id for role, _, request_id in roles if role == "live"}
    assert world.stats.find("fraud", "candidate", 2, "shadow").requests == len(shadows)


def test_a_signature_of_another_order_gets_its_columns() -> None:
    inputs = variant().signature.inputs
    reordered = variant().signature.__class__((inputs[4], inputs[0]))
    world = World(route(variant(signature=reordered)))
    world.predict(ask("c1", 3.0))
    assert world.sink.records[0].features == [3.0, 0]
    single = World(route(variant(signature=variant().signature.__class__((inputs[3],)))))
    single.predict(ask("c1", 3.0))
    assert single.sink.records[0].features == [3.0]


def test_thresholds_of_the_route_are_counted(world: World) -> None:
    world.publish(route(epoch=2, thresholds_ms=(10.0,)))
    world.predict(ask())
    assert world.stats.find("fraud", "champion", 1).over(10.0) == (1, 0)


def test_a_number_too_long_for_any_log_is_refused(world: World) -> None:
    assert world.predict(b'{"entities":{"card_id":"c1"},"request":{"amount":100000000000000000000}}')[0] == 400
    assert world.predict(b'{"entities":{"card_id":"c1"},"request":{"amount":1e20}}')[0] == 200
