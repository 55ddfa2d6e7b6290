"""Ensembles: what the gateway answers is the naive definition's answer, and every member stands in the record."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.definitions.ensemble_spec import EnsembleSpec, naive_score
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.prediction_record import EnsembleRecord
from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, Variant
from falaj.definitions.service_spec import RequestSpec, ServiceSpec
from falaj.definitions.signature import InputSpec, Signature
from falaj.kernel.errors import StorageError
from support.serving_world import NOW_US, OWNER, World, ask, route, variant

NUMBERS = Signature((InputSpec("activity__amount_mean", "float64"), InputSpec("amount", "float64")))
AMOUNT = ServiceSpec("amount", "ab" * 32, (), (), (RequestSpec("amount", "float64"),), (("amount", "float64"),))
SCORES = ServiceSpec(
    "scores", "cd" * 32, (), (), tuple(RequestSpec(name, "float64") for name in ("wide", "narrow", "amount")),
    (("wide", "float64"), ("narrow", "float64"), ("amount", "float64")),
)  # fmt: skip
PATH = "/v1/endpoints/a_blend/predict"


def models() -> list[EndpointRoute]:
    """Three endpoints of the same features or fewer, one with a canary, and one that combines."""
    narrow = Signature((InputSpec("amount", "float64"),))
    blend = Signature(tuple(InputSpec(name, "float64") for name, _ in SCORES.outputs))
    pair = (
        variant("champion", 2, 6_000, signature=NUMBERS),
        variant("candidate", 3, 4_000, signature=NUMBERS),
    )
    return [
        route(variant("champion", 1), endpoint="wide"),
        route(*pair, endpoint="numbers"),
        route(variant("champion", 4, signature=narrow, service=AMOUNT), endpoint="narrow"),
        route(variant("champion", 5, signature=blend, service=SCORES), endpoint="blender"),
    ]


def ensemble(spec: EnsembleSpec, name: str = "a_blend") -> EndpointRoute:
    ref = ArtifactRef("", "ensemble")
    return route(Variant("champion", name, 1, 10_000, "live", ref, Signature(()), ensemble=spec), endpoint=name)


def world(spec: EnsembleSpec) -> World:
    # The ensemble's name comes before those of its members: it is loaded after them all the same.
    made = World(ensemble(spec), *models())
    made.ingest(("c1", 1, 50.0, "AE"), ("c2", 2, 70.0, "OM"))
    return made


ALL = ("wide", "numbers", "narrow")
SPECS = st.one_of(
    st.builds(EnsembleSpec, st.just("mean"), st.just(ALL), st.just(()) | st.tuples(*[st.floats(0.125, 8)] * 3)),
    st.builds(
        EnsembleSpec, st.just("vote"), st.just(ALL), threshold=st.sampled_from([0, 2100, 4050]),
        at_least=st.integers(1, 3),
    ),
    st.builds(
        EnsembleSpec, st.just("stack"), st.just(("narrow", "numbers")), st.tuples(*[st.floats(-0.01, 0.01)] * 2),
        st.floats(-1, 1), st.sampled_from(["identity", "logistic"]),
    ),
    st.just(EnsembleSpec("stack", ("wide", "narrow"), by="blender")),
    st.builds(
        EnsembleSpec, st.just("cascade"),
        st.sampled_from([("narrow", "wide"), ("wide", "narrow"), ("numbers", "wide")]),
        low=st.sampled_from([0.0, 4020.0]), high=st.sampled_from([4030.0, 4060.0, 1e9]),
    ),
)  # fmt: skip
ROWS = st.lists(st.tuples(st.sampled_from(["c1", "c2", "nobody", "c3"]), st.integers(20, 60)), min_size=1, max_size=12)


@given(SPECS, ROWS)
@settings(max_examples=60, deadline=None)
def test_the_gateway_answers_as_the_naive_definition(spec: EnsembleSpec, rows: list[tuple[str, int]]) -> None:
    gateway, single = world(spec), world(spec)
    asks = [ask(card, float(amount), unit=card) for card, amount in rows]
    answers = gateway.call_all([("POST", PATH, one) for one in asks])
    for one, (status, answer) in zip(asks, answers, strict=True):
        assert status == 200, answer
        single.sink.records.clear()
        expected = naive_score(spec, Alone(single, one).score, Alone(single, one).combined)
        assert math.isclose(answer["prediction"], expected, rel_tol=1e-12, abs_tol=1e-15)
        members = record_of(gateway, answer["request_id"]).members
        assert [seen(member) for member in members] == [seen(record) for record in single.sink.records]


class Alone:
    """Asks endpoints one by one for the same instance."""

    def __init__(self, world: World, instance: dict[str, Any]) -> None:
        self._world = world
        self._instance = instance

    def score(self, name: str) -> float:
        entities = {} if name == "narrow" else self._instance["entities"]
        return self._ask(name, {**self._instance, "entities": entities})

    def combined(self, scores: dict[str, float]) -> float:
        request = {**self._instance["request"], **scores}
        return self._ask("blender", {"request": request, "unit": self._instance["unit"]})

    def _ask(self, name: str, body: dict[str, Any]) -> float:
        status, answer = self._world.predict(body, endpoint=name)
        assert status == 200, answer
        return float(answer["prediction"])


def seen(one: Any) -> tuple[Any, ...]:
    """What a member's decision rests on."""
    return one.endpoint, one.variant, one.version, one.score, one.features, one.statuses, one.applied_seq, one.role


def record_of(gateway: World, request_id: str) -> EnsembleRecord:
    found = [r for r in gateway.sink.records if r.decision.request_id == request_id]
    assert len(found) == 1
    assert isinstance(found[0], EnsembleRecord)
    return found[0]


MEAN = EnsembleSpec("mean", ("wide", "numbers"))
CASCADE = EnsembleSpec("cascade", ("narrow", "wide"), low=4040.0, high=4060.0)


class Counting:
    def __init__(self, runtime: Any, version: int, batches: list[tuple[int, int]]) -> None:
        self.features, self._runtime, self._version, self._batches = runtime.features, runtime, version, batches

    def predict(self, matrix: Any) -> Any:
        self._batches.append((self._version, len(matrix)))
        return self._runtime.predict(matrix)


def test_the_costly_member_is_asked_in_one_batch_for_the_rows_that_need_it() -> None:
    gateway = world(CASCADE)
    batches: list[tuple[int, int]] = []
    for loaded in gateway.snapshots.serving.routes.values():
        for one in loaded.variants:
            if one.ensemble is None:
                one.runtime = Counting(one.runtime, one.spec.version, batches)
    gateway.call_all([("POST", PATH, ask("c1", amount)) for amount in (10.0, 50.0, 20.0, 55.0, 30.0)])
    assert batches == [(4, 5), (1, 2)], "version and rows of each call of a model"


def test_members_of_the_same_features_read_them_once() -> None:
    gateway = world(MEAN)
    reads: list[Any] = []
    read = gateway.reader.read
    gateway.reader.read = lambda *given: reads.append(given) or read(*given)  # type: ignore[method-assign,func-returns-value]
    assert gateway.predict([ask("c1"), ask("c2")], endpoint="a_blend")[0] == 200
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("wide_ms", "numbers_ms", "reads"),
    [(None, None, 1), (0.0, 50.0, 1), (50.0, 50.0, 1), (20.0, 50.0, 1),
     (50.0, 0.0, 2), (50.0, 20.0, 2), (50.0, None, 2), (None, 50.0, 2)],
)  # fmt: skip
def test_features_are_not_taken_over_from_who_may_have_older_ones(
    wide_ms: float | None, numbers_ms: float | None, reads: int
) -> None:
    gateway = world(MEAN)
    ages = {"wide": wide_ms, "numbers": numbers_ms}
    aged = [
        msgspec.structs.replace(one, options=EndpointOptions(features_max_age_ms=ages.get(one.endpoint)))
        for one in models()
    ]
    gateway.publish(*aged, ensemble(MEAN))
    done: list[Any] = []
    fetch = gateway.predictor._fetch
    gateway.predictor._fetch = lambda *given: done.append(given) or fetch(*given)  # type: ignore[method-assign,func-returns-value]
    assert gateway.predict(ask("c1"), endpoint="a_blend")[0] == 200
    assert len(done) == reads


def test_a_member_that_fails_fails_its_row_alone() -> None:
    gateway = world(MEAN)
    answers = gateway.call_all([("POST", PATH, ask("c1", amount)) for amount in (5.0, 13.0, 666.0, 6.0)])
    assert [status for status, _ in answers] == [200, 500, 500, 200]
    errors = [[member.error for member in r.members] for r in gateway.sink.records]
    assert errors == [["", ""], ["internal", "internal"], ["internal", "internal"], ["", ""]]
    assert [r.decision.error for r in gateway.sink.records] == ["", "internal", "internal", ""]
    assert gateway.stats.find("a_blend", "champion", 1).errors == 2


def test_members_count_for_their_own_endpoints() -> None:
    """A canary on a member is judged by what it decided here too: it may have no other traffic."""
    gateway = world(MEAN)
    for number in range(200):
        gateway.predict(ask(f"c{number}"), endpoint="a_blend")
    counts = {(s.endpoint, s.variant): (s.requests, s.role) for s in gateway.stats.series}
    assert counts["a_blend", "champion"] == (200, "live")
    assert counts["wide", "champion"] == (200, "live")
    champion, candidate = counts["numbers", "champion"][0], counts["numbers", "candidate"][0]
    assert champion + candidate == 200
    assert 40 < candidate < 120


def test_a_promotion_and_a_rollback_of_a_member_are_seen_at_once() -> None:
    gateway = world(MEAN)
    rest = [one for one in models() if one.endpoint != "wide"]
    for version in (7, 1):
        changed = route(variant("champion", version), endpoint="wide", epoch=version)
        gateway.publish(*rest, changed, ensemble(MEAN))
        gateway.predict(ask("c1"), endpoint="a_blend")
        assert gateway.sink.records[-1].members[0].version == version


def test_defaults_of_members_stand_in_and_are_told() -> None:
    gateway = world(MEAN)
    gateway.reader.error = StorageError("the store is away")
    status, answer = gateway.predict(ask("c1"), endpoint="a_blend")
    assert (status, answer["defaulted"]) == (200, True)
    assert set(answer["statuses"].values()) == {"STORE_FAILED"}


@pytest.mark.parametrize("card", ["c1", "faded", "stranger", "nobody"])
def test_a_member_that_takes_features_over_tells_of_its_own_only(card: str) -> None:
    """Cards with all values, with old ones only, with a country that training never saw, and without any event."""
    gateway = world(MEAN)
    gateway.ingest(("faded", 30, 50.0, "AE"), ("stranger", 1, 50.0, "XX"))
    alone = {}
    for endpoint in MEAN.members:
        gateway.predict(ask(card), endpoint=endpoint)
        alone[endpoint] = gateway.sink.records[-1]
    gateway.predict(ask(card), endpoint="a_blend")
    together = {member.endpoint: member for member in gateway.sink.records[-1].members}
    for endpoint, record in together.items():
        assert record.statuses == alone[endpoint].statuses
        assert record.applied_seq == alone[endpoint].applied_seq


def test_fields_are_those_of_all_members_and_checked_before_any_is_asked() -> None:
    gateway = world(EnsembleSpec("stack", ("wide", "narrow"), by="blender"))
    status, answer = gateway.predict({"entities": {"card_id": "c1"}, "request": {}}, endpoint="a_blend")
    assert (status, answer["error"]) == (400, "request field 'amount' (float64) is missing")
    status, answer = gateway.call("GET", "/v2/models/a_blend")
    assert [one["name"] for one in answer["inputs"]] == ["card_id", "amount"]
    assert answer["platform"] == "falaj_ensemble"
    tensor = {"name": "amount", "datatype": "FP64", "shape": [1], "data": [1.0]}
    assert gateway.call("POST", "/v2/models/a_blend:raw/infer", {"inputs": [tensor]})[0] == 501


def test_the_open_inference_protocol_asks_ensembles_too() -> None:
    gateway = world(MEAN)
    tensors = [
        {"name": "card_id", "datatype": "BYTES", "shape": [2], "data": ["c1", "c2"]},
        {"name": "amount", "datatype": "FP64", "shape": [2], "data": [3.0, 4.0]},
    ]
    status, answer = gateway.call("POST", "/v2/models/a_blend/infer", {"inputs": tensors})
    native = gateway.predict([ask("c1", 3.0), ask("c2", 4.0)], endpoint="a_blend")[1]
    assert (status, answer["outputs"][0]["data"]) == (200, [one["prediction"] for one in native])


def test_a_test_of_an_ensemble_is_no_traffic_of_its_members() -> None:
    gateway = world(MEAN)
    assert gateway.call("POST", PATH, ask("c1"), OWNER, "falaj-variant: champion\r\n")[0] == 200
    assert {series.role for series in gateway.stats.series} == {"test"}
    assert {one.role for one in gateway.sink.records[0].members} == {"test"}


@pytest.mark.parametrize(
    ("more", "name", "reason"),
    [
        ([], "a_blend", "its member 'wide' does not serve"),
        ([*models(), ensemble(EnsembleSpec("mean", ("a_blend", "wide")), "b")], "b", "'a_blend' is an ensemble itself"),
    ],
)
def test_an_ensemble_that_cannot_be_put_together_is_told_and_harms_nobody(
    more: list[EndpointRoute], name: str, reason: str
) -> None:
    gateway = World(ensemble(MEAN), *more)
    status, answer = gateway.predict(ask("c1"), endpoint=name)
    assert status == 503
    assert reason in answer["error"]


def test_members_of_other_types_for_one_field_do_not_load() -> None:
    text = ServiceSpec("t", "ef" * 32, (), (), (RequestSpec("amount", "string"),), (("amount", "string"),))
    words = variant("champion", 9, signature=Signature((InputSpec("amount", "string"),)), service=text)
    spec = EnsembleSpec("mean", ("wide", "words"))
    gateway = World(route(endpoint="wide"), route(words, endpoint="words"), ensemble(spec))
    assert "'amount' as float64 and as string" in gateway.predict(ask("c1"), endpoint="a_blend")[1]["error"]
    assert gateway.predict(ask("c1"), endpoint="wide")[0] == 200


def test_one_record_has_the_decision_and_its_members_under_one_id_and_instant() -> None:
    gateway = world(MEAN)
    answer = gateway.predict(ask("c1"), endpoint="a_blend")[1]
    record = record_of(gateway, answer["request_id"])
    assert {record.decision.at_us, *(one.at_us for one in record.members)} == {NOW_US}
    assert {one.request_id for one in record.members} == {answer["request_id"]}
    assert (answer["model"], answer["model_version"], answer["variant"]) == ("a_blend", 1, "champion")


def test_the_record_leaves_out_what_any_member_s_endpoint_does() -> None:
    hashed = PredictionPolicy(redact={"card_id": "hash"})
    dropped = PredictionPolicy(redact={"amount": "drop", "card_id": "hash"})
    policies = {"wide": hashed, "numbers": dropped}
    members = [
        msgspec.structs.replace(one, prediction_log=policies.get(one.endpoint, PredictionPolicy())) for one in models()
    ]
    gateway = World(*members, ensemble(MEAN))
    assert gateway.predict(ask("c1", 77.0, unit="c1"), endpoint="a_blend")[0] == 200
    (record,) = gateway.sink.records
    for one in (record.decision, *record.members):
        assert one.entities["card_id"]["redacted"].startswith("hash:")
        assert one.unit.startswith("hash:")
        assert one.request == {"amount": {"redacted": "drop"}}
    assert [one.features[-1] for one in record.members] == [{"redacted": "drop"}] * 2
    rare = [
        msgspec.structs.replace(one, prediction_log=PredictionPolicy(1e-9 if one.endpoint == "numbers" else 1.0))
        for one in models()
    ]
    gateway.publish(*rare, ensemble(MEAN))
    gateway.predict(ask("c1"), endpoint="a_blend")
    assert (len(gateway.sink.records), gateway.stats.log_unsampled) == (1, 3)


def test_a_stricter_policy_holds_for_an_ensemble_that_keeps_its_old_route() -> None:
    gateway = world(MEAN)
    strict = PredictionPolicy(redact={"card_id": "drop"})
    left = [msgspec.structs.replace(one, prediction_log=strict) for one in models() if one.endpoint == "wide"]
    gateway.publish(*left, ensemble(MEAN))  # 'numbers' serves no more, so that the ensemble cannot be loaded anew
    assert gateway.predict(ask("c1"), endpoint="a_blend")[0] == 200
    record = gateway.sink.records[-1]
    assert {str(one.entities["card_id"]) for one in (record.decision, *record.members)} == {"{'redacted': 'drop'}"}
