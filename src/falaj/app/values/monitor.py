"""Values of the operations on monitor."""

import msgspec

from falaj.app.values.bounds import Limit


class MonitorQuery(msgspec.Struct, frozen=True):
    """Which endpoint's monitor."""

    endpoint: str


class AlertsQuery(msgspec.Struct, frozen=True):
    """Which alerts to list.

    Attributes:
        only_open: Leave out those that are over.
        limit: Most alerts.
    """

    only_open: bool = False
    limit: Limit = 50
