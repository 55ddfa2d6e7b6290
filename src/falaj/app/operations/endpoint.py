"""Operations on endpoints: deploy, roll back, stop."""

import msgspec

from falaj.app.values.endpoint import Deploy, Rollback, RolledBack, Undeploy, Undeployed
from falaj.governance.access import Actor
from falaj.kernel.errors import InputError
from falaj.lifecycle.adoption import wait_adopted
from falaj.lifecycle.bare_models import deploy_bare
from falaj.lifecycle.ensembles import deploy_ensemble
from falaj.lifecycle.promoted import Promoted
from falaj.lifecycle.promotion import deploy_version, roll_back_endpoint, withdraw_endpoint
from falaj.lifecycle.rooms import Rooms

_LOADED_WITHIN_S = 10.0
"""How long a deployment waits for the gateways: they load the model and time its runtimes first."""


def deploy(rooms: Rooms, actor: Actor, params: Deploy) -> Promoted:
    """Roll a version out, or note that it is wanted once it is approved; returns when gateways go by it."""
    began = rooms.clock.monotonic()
    done = _deployed(rooms, actor, params)
    if done.waits or not wait_adopted(rooms, timeout_s=_LOADED_WITHIN_S):
        return done
    return msgspec.structs.replace(done, in_force_s=rooms.clock.monotonic() - began)


def _deployed(rooms: Rooms, actor: Actor, params: Deploy) -> Promoted:
    if params.version is not None and params.version < 1:
        raise InputError(f"version {params.version} does not exist", hint="versions begin at 1")
    if params.endpoint in rooms.definitions.ensembles:
        if params.version is not None:
            raise InputError(
                f"ensemble {params.endpoint!r} has no versions to choose from", hint="leave the version out"
            )
        return deploy_ensemble(rooms, actor, rooms.definitions.ensembles[params.endpoint])
    if params.endpoint not in rooms.definitions.endpoints and params.endpoint in rooms.registry.bare_models():
        return deploy_bare(rooms, actor, params.endpoint, params.version)
    return deploy_version(rooms, rooms.definitions.endpoint(params.endpoint), params.version, actor)


def rollback(rooms: Rooms, actor: Actor, params: Rollback) -> RolledBack:
    """Return to what served before, now."""
    began = rooms.clock.monotonic()
    undone = roll_back_endpoint(rooms, params.endpoint, actor, params.reason)
    in_force_s = rooms.clock.monotonic() - began if wait_adopted(rooms) else None
    serves = tuple(variant.version for variant in undone.previous)
    return RolledBack(params.endpoint, undone.candidate.version, serves, in_force_s)


def undeploy(rooms: Rooms, actor: Actor, params: Undeploy) -> Undeployed:
    """Stop serving."""
    withdraw_endpoint(rooms, params.endpoint, actor)
    return Undeployed(params.endpoint)
