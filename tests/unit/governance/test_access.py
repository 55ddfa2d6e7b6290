"""The table of roles: deny by default, and say which role would do."""

import pytest

from falaj.governance.access import ALLOWED, Actor, Role, authorise, is_allowed, roles_allowing
from falaj.kernel.errors import AccessDenied

ADA = Actor("ada", Role.ENGINEER)


def test_every_role_is_in_the_table() -> None:
    assert set(ALLOWED) == set(Role)


def test_an_unknown_action_is_denied_to_all_but_the_owner() -> None:
    assert roles_allowing("galaxy.destroy") == [Role.OWNER]


@pytest.mark.parametrize("action", ["actor.create", "token.create", "token.revoke"])
def test_only_an_owner_makes_actors_and_tokens(action: str) -> None:
    assert roles_allowing(action) == [Role.OWNER]


def test_denial_names_actor_action_resource_and_the_roles_that_may() -> None:
    with pytest.raises(AccessDenied) as denied:
        authorise(Actor("eve", Role.VIEWER), "model.approve", "fraud/3")
    assert str(denied.value) == "actor 'eve' (role viewer) may not do model.approve on 'fraud/3'"
    assert denied.value.hint == "roles that may: owner, engineer, approver"


def test_a_service_predicts_and_reports_back_but_trains_nothing() -> None:
    app = Actor("app", Role.SERVICE)
    assert all(is_allowed(app, action, "x") for action in ("endpoint.predict", "feedback.push", "source.push"))
    assert not any(is_allowed(app, action, "x") for action in ("model.train", "source.ingest", "audit.read"))


def test_an_approver_approves_and_deploys_nothing() -> None:
    lin = Actor("lin", Role.APPROVER)
    assert is_allowed(lin, "model.approve", "fraud/3")
    assert not is_allowed(lin, "endpoint.deploy", "fraud")


def test_scopes_narrow_the_role_to_actions_and_resources() -> None:
    token = Actor("ada", Role.ENGINEER, scopes=("model.*", "endpoint.predict@fraud"))
    assert is_allowed(token, "model.train", "churn")
    assert is_allowed(token, "endpoint.predict", "fraud")
    assert not is_allowed(token, "endpoint.predict", "churn")


def test_scopes_never_widen_the_role() -> None:
    assert not is_allowed(Actor("eve", Role.VIEWER, scopes=("*",)), "model.train", "fraud")


def test_a_token_without_scopes_may_do_nothing() -> None:
    with pytest.raises(AccessDenied, match="does not cover"):
        authorise(Actor("ada", Role.ENGINEER, scopes=()), "model.train", "fraud")
