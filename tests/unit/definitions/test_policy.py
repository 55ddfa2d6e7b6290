"""Policies: which one is for a model, and what makes no sense."""

from typing import Any

import pytest

import falaj as fj
from falaj.definitions.project import collect
from falaj.kernel.errors import FalajError


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"approvals": 0}, "below 1"),
        ({"approvers": ["aprover"]}, "is no role that may approve"),
        ({"approvers": ["viewer"]}, "is no role that may approve"),
        ({"approvers": ["actor:eve"], "approvals": 2}, "names 1 of the 2 people"),
        ({"approvers": ["actor:eve", "actor:eve"], "approvals": 2}, "names 1 of the 2 people"),
        ({"soak": "a while"}, "soak"),
        ({"expires": "0s"}, "expires at once"),
        ({"models": ["no model"]}, "model"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(FalajError, match=told):
        fj.Policy(**fields)


def test_the_policy_of_a_model_is_the_one_that_names_it() -> None:
    cards, rest = fj.Policy("cards", models=["fraud", "limits"], approvals=2), fj.Policy("rest", approvals=3)
    found = collect([("a.py", cards), ("b.py", rest)])
    assert [found.policy_of(name) for name in ("fraud", "limits", "other")] == [cards, cards, rest]
    assert collect([("a.py", cards)]).policy_of("other") == fj.Policy()


@pytest.mark.parametrize("models", [[], ["fraud"]])
def test_two_policies_for_one_model_are_refused(models: list[str]) -> None:
    twice = [("a.py", fj.Policy(name, models=models)) for name in ("one", "two")]
    with pytest.raises(FalajError, match="'one' and 'two' are both for"):
        collect(twice)
