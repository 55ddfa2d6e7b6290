"""The header that names a variant: for tests, by permission, and never counted for anything."""

from collections.abc import Mapping, Sequence
from typing import Any

from falaj.definitions.routing_table import EndpointRoute
from falaj.governance.access import Role
from falaj.governance.tokens import TokenEntry, TokenSnapshot, hash_token
from falaj.serving.variant_router import Outcome
from falaj.serving.variants import LoadedVariant
from support.serving_world import BARE, OWNER, TOKEN, World, ask, route, variant

CANARY = (variant("champion", 1, 9_000), variant("candidate", 2, 1_000))
PATH = "/v1/endpoints/fraud/predict"
HEADER = "falaj-variant: candidate\r\n"


def test_a_tester_chooses_the_variant_and_the_record_says_so() -> None:
    world = World(route(*CANARY))
    for _ in range(3):
        status, answer = world.call("POST", PATH, ask("c1"), OWNER, HEADER)
        assert (status, answer["variant"], answer["model_version"]) == (200, "candidate", 2)
    assert {(r.role, r.variant, r.version, r.actor) for r in world.sink.records} == {("test", "candidate", 2, "ada")}


def test_what_was_asked_for_by_name_is_no_evidence() -> None:
    world = World(route(*CANARY))
    world.call("POST", PATH, ask("c1"), OWNER, HEADER)
    assert [(s.role, s.requests) for s in world.stats.series] == [("test", 1)]


def test_the_open_inference_protocol_knows_the_header_too() -> None:
    world = World(route(*CANARY))
    tensors = [{"name": "card_id", "datatype": "BYTES", "shape": [1], "data": ["c1"]}]
    tensors += [{"name": "amount", "datatype": "FP64", "shape": [1], "data": [3.0]}]
    answers = [
        world.call("POST", "/v2/models/fraud/infer", {"inputs": tensors}, token, HEADER) for token in (OWNER, TOKEN)
    ]
    assert [status for status, _ in answers] == [200, 403]
    assert (answers[0][1]["model_version"], answers[0][1]["parameters"]["variant"]) == ("2", "candidate")
    raw = [{"name": i.name, "datatype": "FP64", "shape": [1], "data": [1.0]} for i in BARE.inputs]
    bare = (variant("champion", 4, 9_000, signature=BARE, service=None),
            variant("candidate", 5, 1_000, signature=BARE, service=None))  # fmt: skip
    world.publish(route(*bare, endpoint="bare"))
    status, answer = world.call("POST", "/v2/models/bare/infer", {"inputs": raw}, OWNER, HEADER)
    assert (status, answer["model_version"]) == (200, "5")
    assert [record.role for record in world.sink.records] == ["test", "test"]


def test_an_application_may_not_choose() -> None:
    world = World(route(*CANARY))
    status, answer = world.call("POST", PATH, ask("c1"), TOKEN, HEADER)
    assert (status, answer["code"]) == (403, "access_denied")
    scoped = TokenEntry("tok_9", "tester", Role.ENGINEER, ("endpoint.predict",))
    world.publish(route(*CANARY), snapshot=TokenSnapshot({hash_token("flj_scoped"): scoped}))
    assert world.call("POST", PATH, ask("c1"), "flj_scoped")[0] == 200
    assert world.call("POST", PATH, ask("c1"), "flj_scoped", HEADER)[0] == 403
    assert [record.role for record in world.sink.records] == ["live"]


def test_a_variant_that_is_not_there_is_named() -> None:
    world = World(route(*CANARY))
    status, answer = world.call("POST", PATH, ask("c1"), OWNER, "falaj-variant: challenger\r\n")
    assert (status, answer["error"]) == (404, "endpoint 'fraud' has no live variant 'challenger'")
    assert answer["hint"] == "its variants: champion, candidate"


def test_a_tested_variant_has_no_shadow() -> None:
    world = World(route(*CANARY, variant("next", 3, 10_000, role="shadow")))
    world.call("POST", PATH, ask("c1"), OWNER, HEADER)
    assert [record.role for record in world.sink.records] == ["test"]


class Learner:
    """Chooses by the context, and remembers outcomes."""

    def __init__(self, route: EndpointRoute, choices: Sequence[LoadedVariant]) -> None:
        del route
        self.choices = choices
        self.told: list[Outcome] = []

    def live(self, unit: str, context: Mapping[str, Any], /) -> LoadedVariant:
        del unit
        return self.choices[int(context["amount"] > 100)]

    def shadows(self, unit: str) -> list[LoadedVariant]:
        del unit
        return []

    def tell(self, outcomes: Sequence[Outcome], /) -> None:
        self.told += outcomes


def test_another_router_chooses_by_the_context_and_is_told_outcomes() -> None:
    world = World(route(*CANARY), make_router=Learner)
    assert [world.predict(ask("c1", amount))[1]["model_version"] for amount in (10.0, 500.0)] == [1, 2]
    outcome = {"request_id": world.sink.records[0].request_id, "outcome": 1}
    assert world.call("POST", "/v1/feedback", outcome)[0] == 200
    (learner,) = world.snapshots.serving.learners
    assert isinstance(learner, Learner)
    assert [(told.request_id, told.outcome) for told in learner.told] == [(outcome["request_id"], 1.0)]


def test_the_hash_is_told_nothing() -> None:
    assert World(route(*CANARY)).snapshots.serving.learners == []
