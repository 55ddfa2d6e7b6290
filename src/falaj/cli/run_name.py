"""How people name a run: by its identifier, or as the newest one that somebody or something of theirs started."""

from falaj.app.client import Client
from falaj.app.values.run import RunsQuery
from falaj.app.values.status import RunStatus
from falaj.kernel.errors import NotFound

LAST = "last"


def run_named(client: Client, name: str) -> str:
    """Return a run's identifier; `last` names the newest run that is none of Falaj's own housekeeping.

    Raises:
        NotFound: There is no run yet.
    """
    if name != LAST:
        return name
    found = client.perform("run.list", RunsQuery(limit=1, housekeeping=False), list[RunStatus])
    if not found:
        raise NotFound("there is no run yet", hint="start one: falaj runs start PIPELINE")
    return found[0].id
