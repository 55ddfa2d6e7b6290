"""Values of the operations on alerts."""

from typing import Annotated

import msgspec

from falaj.app.values.bounds import Limit

Comment = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
"""Why, in somebody's words."""


class AlertsQuery(msgspec.Struct, frozen=True):
    """Which alerts to list.

    Attributes:
        only_open: Leave out those that are over.
        limit: Most alerts.
    """

    only_open: bool = False
    limit: Limit = 50


class SilenceAlerts(msgspec.Struct, frozen=True):
    """Tell nobody of some alerts for a while.

    Attributes:
        subject: Pattern of what they are about, such as an endpoint; `*` for all.
        lasts: How long, such as "2h"; at most a year.
        comment: Why.
        rule: Pattern of what was broken, such as `drift`; `*` for all.
    """

    subject: str
    lasts: str
    comment: Comment
    rule: str = "*"


class SilencesQuery(msgspec.Struct, frozen=True):
    """Which silences to list.

    Attributes:
        only_in_force: Leave out those that are over.
        limit: Most silences.
    """

    only_in_force: bool = True
    limit: Limit = 50


class EndSilence(msgspec.Struct, frozen=True):
    """Which silence to end now.

    Attributes:
        silence: Its number.
    """

    silence: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class RoutesQuery(msgspec.Struct, frozen=True):
    """Ask how each way to tell people fares."""


class RouteStatus(msgspec.Struct, frozen=True):
    """How one way to tell people fares.

    Attributes:
        route: Its name.
        kind: log, webhook, slack, pagerduty or email.
        severity: The least that it is told.
        subjects: Patterns of the subjects that it is told of.
        waiting: Messages that have not arrived yet.
        failures: Attempts in a row that failed.
        error: Why the last of them did; empty where none did.
        not_before_us: When it is tried again, in microseconds; 0 where nothing keeps it.
        rules: Patterns of the rules that it is told of.
    """

    route: str
    kind: str
    severity: str = "info"
    subjects: tuple[str, ...] = ("*",)
    waiting: int = 0
    failures: int = 0
    error: str = ""
    not_before_us: int = 0
    rules: tuple[str, ...] = ("*",)
