"""Ensembles as they are declared: in Python, in YAML, and what is wrong with them."""

from collections.abc import Callable
from typing import Any

import pytest

import falaj as fj
from falaj.definitions.combination import Combination
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.project import collect, describe
from falaj.definitions.yaml.files import YamlFiles
from falaj.kernel.errors import DefinitionError
from support.rooms_world import endpoint, model

ONE, OTHER, THIRD = (endpoint(name, model(name)) for name in ("one", "other", "third"))
NARROW = endpoint(
    "narrow",
    model("narrow", features=fj.FeatureService("narrow_features", [fj.request("amount", "float64")])),
)
BY = endpoint(
    "by",
    model("by", features=fj.FeatureService("scores", [fj.request("one"), fj.request("other")])),
)  # fmt: skip
BOTH: Any = fj.Ensemble("both", fj.mean_of([ONE, OTHER]))
OWN = endpoint("own", model("own", trainer=fj.python("net:Net", folder="net")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fj.mean_of([ONE]), "one member is no ensemble"),
        (lambda: fj.mean_of([ONE, ONE]), "'one' stands twice"),
        (lambda: fj.mean_of([ONE, OTHER], weights=[1]), "1 weights for 2 members"),
        (lambda: fj.mean_of([ONE, OTHER], weights=[1, -1]), "are no shares"),
        (lambda: fj.mean_of([ONE, OTHER], weights=[0, 0]), "are no shares"),
        (lambda: fj.mean_of([ONE, OTHER], weights=[1, float("nan")]), "holds what is no number"),
        (lambda: fj.vote_of([ONE, OTHER], at_least=3), "at_least 3 is not between 1 and 2"),
        (lambda: fj.stack_of([ONE, OTHER]), "either weights combine them or another endpoint"),
        (lambda: fj.stack_of([ONE, OTHER], weights=[1, 2], by=BY), "either weights combine them or another endpoint"),
        (lambda: fj.stack_of([ONE, THIRD], by=BY), "its features have no request field 'third'"),
        (lambda: fj.stack_of([ONE, OTHER], by=ONE), "'one' cannot combine them"),
        (lambda: fj.cascade_of(ONE, OTHER, low=0.8, high=0.2), "low 0.8 is above high 0.2"),
        (lambda: fj.mean_of([ONE, BOTH]), "'both' is no endpoint"),
        (lambda: fj.mean_of([ONE, OWN]), "'own' is a Python class"),
        (lambda: endpoint("own", OWN.model, cache=fj.Cache("10s", 1)), "answers of a Python class are not cached"),
    ],
)
def test_what_is_wrong_is_named(make: Callable[[], Combination], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()


def test_one_member_s_features_must_hold_those_of_all() -> None:
    assert fj.Ensemble("blend", fj.mean_of([NARROW, ONE])).endpoints == (NARROW, ONE)
    other = endpoint("far", model("far", features=fj.FeatureService("far_features", [fj.request("distance")])))
    with pytest.raises(DefinitionError, match="'far' needs 'distance', which feature service 'one_features'"):
        fj.Ensemble("blend", fj.mean_of([ONE, other]))
    with pytest.raises(DefinitionError, match="bears the name of a member"):
        fj.Ensemble("one", fj.mean_of([ONE, OTHER]))


def test_who_combines_may_read_what_members_read_too() -> None:
    features = fj.FeatureService("scores", [fj.request("one"), fj.request("other"), fj.request("amount", "float64")])
    by = endpoint("by", model("by", features=features))
    assert fj.Ensemble("blend", fj.stack_of([ONE, OTHER], by=by)).to_spec().endpoints == ("one", "other", "by")


def test_an_ensemble_brings_its_members_and_names_them() -> None:
    blend = fj.Ensemble("blend", fj.mean_of([ONE, OTHER]))
    found = collect([("a.py: blend", blend)])
    assert set(found.endpoints) == {"one", "other"}
    assert describe(blend)["combine"]["members"] == ["endpoint:one", "endpoint:other"]


def test_most_votes_are_more_than_half() -> None:
    assert [fj.vote_of(members).at_least for members in ([ONE, OTHER], [ONE, OTHER, THIRD])] == [2, 2]


YAML = b"""falaj: 1
ensembles:
  - name: blend
    combine: {mean_of: [one, other]}
  - name: weighted
    combine:
      mean_of: {members: [one, other], weights: [2, 1]}
  - name: careful
    combine:
      cascade_of: {cheap: one, costly: other, low: 0.2, high: 0.8}
"""


def from_yaml(raw: bytes, *endpoints: Endpoint) -> dict[str, fj.Ensemble]:
    python = collect(("a.py: x", one) for one in endpoints)

    def find_module(name: str) -> None:
        raise AssertionError(name)

    files = YamlFiles([("a.yaml", raw)], find_module)  # type: ignore[arg-type]
    return {one.name: one for _, one in files.definitions(python) if isinstance(one, fj.Ensemble)}


def test_yaml_says_the_same_as_python() -> None:
    assert from_yaml(YAML, ONE, OTHER) == {
        "blend": fj.Ensemble("blend", fj.mean_of([ONE, OTHER])),
        "weighted": fj.Ensemble("weighted", fj.mean_of([ONE, OTHER], weights=[2, 1])),
        "careful": fj.Ensemble("careful", fj.cascade_of(ONE, OTHER, low=0.2, high=0.8)),
    }


def test_an_ensemble_is_no_member_and_so_there_are_no_circles() -> None:
    raw = b"falaj: 1\nensembles:\n"
    raw += b"  - {name: a, combine: {mean_of: [b, one]}}\n  - {name: b, combine: {mean_of: [a, one]}}\n"
    with pytest.raises(DefinitionError, match="endpoint 'b' does not exist"):
        from_yaml(raw, ONE)
