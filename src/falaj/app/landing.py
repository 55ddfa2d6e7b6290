"""Landing: what waits in the logs, into the tables, by commands that work where no control does it."""

from falaj.app.running import find_control
from falaj.lifecycle.catch_up import land_events
from falaj.lifecycle.rooms import Rooms


def land_alone(rooms: Rooms) -> None:
    """Land what waits of every source, unless a control runs: it does so by itself, many pushes in one commit."""
    if find_control(rooms.state.path) is None:
        land_events(rooms)
