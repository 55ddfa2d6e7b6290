"""Routes: what the settings name, as senders and as which messages each is told."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from falaj.kernel.alert_settings import RouteSettings
from falaj.monitoring.alert_message import AlertMessage
from falaj.monitoring.delivery import Send
from falaj.monitoring.incidents import SEVERITIES
from falaj.monitoring.mail import to_mail
from falaj.monitoring.pagerduty import EVENTS_URL, to_pagerduty
from falaj.monitoring.slack import to_slack
from falaj.monitoring.webhook import to_webhook

APPROVAL = "approval"
"""The rule of alerts that are questions: a version waits for a person."""

LOG = "log"
"""The route that is always there: the alert log, which is told everything."""


def sender_of(route: RouteSettings) -> Send:
    """Return what delivers messages to a route; to one that lacks its url or secret nothing is delivered."""
    if route.lacks:
        return lambda _: route.lacks
    secret = partial(_secret, route)
    makers: dict[str, Callable[[], Send]] = {
        "webhook": lambda: to_webhook(route.url, route.timeout_s, secret),
        "slack": lambda: to_slack(route.url, route.timeout_s),
        "pagerduty": lambda: to_pagerduty(secret, route.timeout_s, route.url or EVENTS_URL),
        "email": lambda: to_mail(route, secret),
    }
    return makers[route.kind]()


def concerns(route: RouteSettings, message: AlertMessage) -> bool:
    """Return whether a route is told a message: it is severe enough, and of the route's rules and subjects.

    A message has the greatest severity that its incident reached, and all its alerts, so that who was told of an
    incident is also told that it is over.

    Example:
        >>> message = AlertMessage(1, "k", "opened", 1, "warning", "fraud", "drift", "", "2026-01-05T00:00:00Z", ())
        >>> route = RouteSettings("webhook", severity="critical", url="http://localhost/")
        >>> concerns(route, message)
        False
    """
    if SEVERITIES.index(message.severity) < SEVERITIES.index(route.severity):
        return False
    wanted = [one for one in message.alerts if _covers(route, one.rule)]
    if message.alerts and not wanted:
        return False
    subjects = {alert.subject for alert in wanted} or {message.cause}
    return any(fnmatchcase(subject, pattern) for subject in subjects for pattern in route.subjects)


def _covers(route: RouteSettings, rule: str) -> bool:
    if rule == APPROVAL and route.kind == "pagerduty":  # nobody is woken by a question unless they say so
        return any(pattern.startswith(APPROVAL) for pattern in route.rules)
    return any(fnmatchcase(rule, pattern) for pattern in route.rules)


def _secret(route: RouteSettings) -> str:
    """Return the route's secret, as its file has it now."""
    if route.secret_file:
        return Path(route.secret_file).read_text(encoding="utf-8").strip()
    return route.secret.strip()
