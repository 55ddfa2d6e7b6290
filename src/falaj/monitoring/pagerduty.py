"""PagerDuty: a message as an event of its Events API v2; the incident's key ties trigger, acknowledge and resolve.

The form is that of https://developer.pagerduty.com/docs/events-api-v2/trigger-events/: the summary has at most 1,024
characters, the key 255, and an event of the same key changes the alert that the first one made.
"""

from typing import Any

from falaj.monitoring.alert_message import AlertMessage
from falaj.monitoring.delivery import Send
from falaj.monitoring.webhook import Secret, post

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"

_ACTIONS = {
    "opened": "trigger",
    "changed": "trigger",
    "escalated": "trigger",
    "acknowledged": "acknowledge",
    "resolved": "resolve",
}
_MOST_SUMMARY = 1_024
_MOST_KEY = 255


def to_pagerduty(secret: Secret, timeout_s: float, url: str = EVENTS_URL) -> Send:
    """Return a route that sends each message as an event.

    Args:
        secret: Gives the routing key of the service's integration.
        timeout_s: How long connecting, and each wait for bytes, may take.
        url: Where events go.
    """

    def send(message: AlertMessage) -> str:
        try:
            key = secret()
        except OSError as error:
            return f"the secret's file: {error.strerror}"
        return post("PagerDuty", url, pagerduty_payload(message, key), timeout_s)

    return send


def pagerduty_payload(message: AlertMessage, routing_key: str) -> dict[str, Any]:
    """Return the body for PagerDuty's Events API v2."""
    action = _ACTIONS[message.event]
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": message.key[-_MOST_KEY:],
    }
    if action != "trigger":
        return event
    return event | {
        "client": "Falaj",
        "payload": {
            "summary": message.summary[:_MOST_SUMMARY],
            "source": message.cause,
            "severity": message.severity,
            "timestamp": message.at,
            "component": message.alerts[-1].subject if message.alerts else message.cause,
            "group": message.cause,
            "class": ", ".join(dict.fromkeys(alert.rule for alert in message.alerts)),
            "custom_details": {
                "incident": message.incident,
                "message": message.id,
                "alerts": [
                    {"rule": one.rule, "subject": one.subject, "message": one.message, "open": one.open}
                    for one in message.alerts
                ],
            },
        },
    }
