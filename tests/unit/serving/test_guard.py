"""The guard lets nobody in but those whom the snapshot names, for what it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.kernel.errors import AccessDenied, FalajError, Unauthenticated
from falaj.serving.guard import Guard
from support.serving_world import NOW_US, TOKEN, tokens

GUARD = Guard(tokens())


def admit(header: bytes | None, action: str = "endpoint.predict", resource: str = "fraud", now_us: int = NOW_US) -> str:
    return GUARD.admit(header, action, resource, now_us).name


def test_a_token_in_force_is_admitted() -> None:
    assert admit(b"Bearer flj_app") == "app"
    assert admit(b"bearer  flj_app ") == "app"
    assert admit(b"Bearer flj_narrow", resource="other") == "narrow"


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", b"Bearer flj_unknown", b"Basic flj_app", b"flj_app", b"Bearer \xff\xfe"],
)
def test_anything_else_is_refused(header: bytes | None) -> None:
    with pytest.raises(Unauthenticated):
        admit(header)


def test_a_token_expires_also_after_it_was_admitted() -> None:
    assert admit(b"Bearer flj_old", now_us=NOW_US - 1) == "old"
    with pytest.raises(Unauthenticated, match="expired"):
        admit(b"Bearer flj_old", now_us=NOW_US)


def test_scopes_and_roles_narrow() -> None:
    assert admit(b"Bearer flj_app") == "app"
    with pytest.raises(AccessDenied):
        admit(b"Bearer flj_app", "endpoint.predict_at")
    with pytest.raises(AccessDenied):
        admit(b"Bearer flj_narrow", resource="fraud")
    with pytest.raises(AccessDenied):
        admit(b"Bearer flj_app", "")


def test_without_a_snapshot_nobody_is_admitted() -> None:
    with pytest.raises(Unauthenticated):
        Guard().admit(f"Bearer {TOKEN}".encode(), "endpoint.predict", "fraud", NOW_US)


@given(st.binary(max_size=60))
def test_no_header_breaks_the_guard(header: bytes) -> None:
    with pytest.raises(FalajError):
        admit(header)
