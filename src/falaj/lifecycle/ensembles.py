"""Ensembles: from an applied definition to what answers, once every member serves."""

from falaj.definitions.ensemble import Ensemble
from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, Variant
from falaj.definitions.signature import Signature
from falaj.governance.access import Actor, authorise
from falaj.kernel.errors import Conflict
from falaj.lifecycle.promoted import Promoted
from falaj.lifecycle.publication import publish_snapshots
from falaj.lifecycle.rooms import Rooms
from falaj.rollout import table
from falaj.rollout.deploy import CANDIDATE, replace


def deploy_ensemble(rooms: Rooms, actor: Actor, ensemble: Ensemble) -> Promoted:
    """Let an ensemble answer as it is defined now, in place of what it was.

    It waits for no approval and passes no gate: every version that decides in it did, on its own endpoint.

    Args:
        rooms: The project.
        actor: Who wants it.
        ensemble: Its definition, applied.

    Returns:
        That it serves, with a number that grows with each definition deployed.

    Raises:
        AccessDenied: The actor may not do `endpoint.deploy` there.
        Conflict: A member does not serve, its members take a field as different types, it serves so already, or a
            model bears its name.
    """
    authorise(actor, "endpoint.deploy", ensemble.name)
    spec = ensemble.to_spec()
    with rooms.promoting:
        if ensemble.name in (*rooms.registry.models(), *rooms.registry.bare_models()):
            raise Conflict(f"a model bears the name of ensemble {ensemble.name!r}", hint="rename the ensemble")
        with rooms.db.read() as connection:
            routes = table.current_routes(connection)
            past = table.route_history(connection, ensemble.name)
        _check_members(ensemble, routes)
        serving = routes.get(ensemble.name)
        if serving is not None and any(variant.ensemble == spec for variant in serving.variants):
            raise Conflict(f"ensemble {ensemble.name!r} serves so already", hint="change it and apply first")
        number = 1 + max((variant.version for change in past for variant in change.route.variants), default=0)
        winner = Variant(
            CANDIDATE, ensemble.name, number, 0, "live", ArtifactRef("", "ensemble"), Signature(()), ensemble=spec
        )
        rollout = replace(
            rooms.db, rooms.clock, rooms.new_id, actor, ensemble.name, winner,
            publish=lambda: publish_snapshots(rooms),
        )  # fmt: skip
    return Promoted(ensemble.name, number, "serves", rollout.reason)


def _check_members(ensemble: Ensemble, routes: dict[str, EndpointRoute]) -> None:
    dtypes: dict[str, tuple[str, str]] = {}
    scores = {member.name for member in ensemble.combine.members} if ensemble.combine.by is not None else set()
    for endpoint in ensemble.endpoints:
        route = routes.get(endpoint.name)
        if route is None:
            raise Conflict(
                f"member {endpoint.name!r} of ensemble {ensemble.name!r} does not serve",
                hint=f"first: falaj deploy {endpoint.name}",
            )
        live = [variant for variant in route.variants if variant.role == "live"]
        if any(variant.artifact.runtime == "python" for variant in live):
            raise Conflict(
                f"member {endpoint.name!r} of ensemble {ensemble.name!r} is a Python model",
                hint="it computes in a process of its own, for which a batch of others cannot wait",
            )
        for service in (variant.service for variant in live if variant.service is not None):
            fields = [*service.entity_keys, *((field.name, field.dtype) for field in service.request)]
            for name, dtype in fields:
                known = dtypes.setdefault(name, (dtype, endpoint.name))
                if known[0] != dtype and name not in scores:
                    raise Conflict(
                        f"{known[1]!r} takes {name!r} as {known[0]}, and {endpoint.name!r} as {dtype}",
                        hint="train one of them on the other's type",
                    )
