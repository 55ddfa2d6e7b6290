"""Every action that somebody may be allowed: what a token's scope can name."""

from fnmatch import fnmatchcase

from falaj.app.operation import OPERATIONS
from falaj.governance.access import Actor, Role, is_allowed
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean

_BESIDES = frozenset(
    [
        "actor.create",
        "approval.decide",
        "approval.read",
        "approval.request",
        "audit.read",
        "cost.read",
        "dataset.create",
        "endpoint.approve",
        "endpoint.explain",
        "endpoint.options",
        "endpoint.predict",
        "endpoint.predict_at",
        "endpoint.predict_variant",
        "endpoint.read",
        "feedback.push",
        "features.online",
        "features.online_at",
        "mlflow.read",
        "mlflow.write",
        "model.archive",
        "model.promote",
        "model.rollback",
        "monitor.read",
    ]
)
"""What gateways and rooms ask for, which no operation does."""


def known_actions() -> frozenset[str]:
    """Return all actions."""
    return _BESIDES | {operation.action for operation in OPERATIONS.values()}


def check_meant(scopes: tuple[str, ...], role: str) -> None:
    """Return if each scope allows something: a misspelt one would be found only when the token is turned away.

    Args:
        scopes: Patterns, `ACTION` or `ACTION@RESOURCE`.
        role: What the token's actor is for.

    Raises:
        InputError: A scope names no action, or none that the role may do.

    Example:
        >>> check_meant(("endpoint.predict@fraud", "source.*"), "service")
        >>> try:
        ...     check_meant(("endpoint.predct@fraud",), "service")
        ... except InputError as error:
        ...     print(error)
        scope 'endpoint.predct@fraud' names no action
    """
    for scope in scopes:
        action = scope.partition("@")[0]
        meant = [known for known in known_actions() if fnmatchcase(known, action)]
        if not meant:
            raise InputError(f"scope {scope!r} names no action", hint=did_you_mean(action, sorted(known_actions())))
        actor = Actor("anybody", Role(role))
        if not any(is_allowed(actor, known, "anything") for known in meant):
            raise InputError(
                f"scope {scope!r} allows a token of role {role} nothing",
                hint="narrow what the role may do, or use another",
            )
