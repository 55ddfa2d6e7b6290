"""Slack: a message as the blocks of an incoming webhook.

The form is that of https://api.slack.com/messaging/webhooks and https://api.slack.com/reference/block-kit/blocks:
`text` is what notifications show; a header has at most 150 characters, a section 3,000, a message 50 blocks.
"""

from typing import Any

from falaj.monitoring.alert_message import AlertMessage, ToldAlert
from falaj.monitoring.delivery import Send
from falaj.monitoring.webhook import post

_MOST_HEADER = 150
_MOST_SECTION = 3_000
_SIGNS = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}


def to_slack(url: str, timeout_s: float) -> Send:
    """Return a route that posts each message to a channel by its incoming webhook.

    Args:
        url: Of the webhook; whoever knows it may post.
        timeout_s: How long connecting, and each wait for bytes, may take.
    """

    def send(message: AlertMessage) -> str:
        return post("Slack", url, slack_payload(message), timeout_s)

    return send


def slack_payload(message: AlertMessage) -> dict[str, Any]:
    """Return the body for Slack's incoming webhook."""
    sign = ":white_check_mark:" if message.event == "resolved" else _SIGNS[message.severity]
    foot = f"incident {message.incident} · {message.severity} · {message.event} · {message.at} · message {message.id}"
    more = [_section(f"and {message.more} more")] if message.more else []
    return {
        "text": _escape(f"[{message.event}] {message.summary}")[:_MOST_SECTION],
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": message.summary[:_MOST_HEADER]}},
            *[_section(f"{sign} {_line(alert)}") for alert in message.alerts],
            *more,
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escape(foot)}]},
        ],
    }


def _line(alert: ToldAlert) -> str:
    over = "" if alert.open else " (over)"
    ending = f"\n{_escape(alert.ending)}" if alert.ending else ""
    return f"*{_escape(alert.rule)}* of {_escape(alert.subject)}{over}: {_escape(alert.message)}{ending}"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_MOST_SECTION]}}


def _escape(text: str) -> str:
    """Return text that mentions nobody and links nowhere: Slack reads `<!channel>` as a call to everyone."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
