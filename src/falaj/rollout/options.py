"""Options: how an endpoint's requests are treated, brought to what serves without a new version."""

from collections.abc import Mapping

import msgspec

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.governance.access import Actor
from falaj.governance.audit import audited
from falaj.kernel.clock import Clock, to_us
from falaj.rollout import table
from falaj.storage.metadata.database import Database


def put_options(db: Database, clock: Clock, actor: Actor, wanted: Mapping[str, EndpointOptions]) -> list[str]:
    """Put options in force on the endpoints that serve with others, and return which these are.

    Args:
        db: The metadata database.
        clock: The time.
        actor: Who wants it; already authorised.
        wanted: By endpoint; one that does not serve gets them when it does.
    """
    with db.read() as connection:
        routes = table.current_routes(connection)
    changed = [name for name, route in routes.items() if route.options != wanted.get(name, route.options)]
    for name in changed:
        with audited(db, clock, actor, "endpoint.options", name, msgspec.to_builtins(wanted[name])) as connection:
            route = table.current_route(connection, name)
            if route is not None:
                route = msgspec.structs.replace(route, options=wanted[name])
                table.write_route(connection, route, actor.name, to_us(clock.now()))
    return changed
