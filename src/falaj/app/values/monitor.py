"""Values of the operations on monitor."""

import msgspec


class MonitorQuery(msgspec.Struct, frozen=True):
    """Which endpoint's monitor."""

    endpoint: str
