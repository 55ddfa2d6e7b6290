"""AlertSettings: which alerts matter how much, which belong together, and whom they are told to."""

import re
from typing import Literal

import msgspec

Severity = Literal["info", "warning", "critical"]
RouteKind = Literal["webhook", "slack", "pagerduty", "email"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")
_HIDDEN = ("url", "secret")


class AlertRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much some alerts matter. The first rule that covers an alert decides; one without a rule keeps its own.

    Attributes:
        severity: What they are: info, warning or critical.
        rule: Pattern of what was broken, such as `drift`, `performance`, `consistency`, `online_store`.
        subject: Pattern of what it is about, such as an endpoint.
    """

    severity: Severity
    rule: str = "*"
    subject: str = "*"


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to tell people. A field that is no list may also come from the environment, as
    `FALAJ_ALERTS_ROUTES_ONCALL_SECRET` does for the route `oncall`; url and secret are needed where control runs only.

    Attributes:
        kind: What is at the other end: webhook, slack, pagerduty or email.
        severity: Tell only what is at least as severe.
        subjects: Patterns of subjects; tell only what is about one of them.
        rules: Patterns of rules, such as `approval`; tell only what broke one of them. PagerDuty is not told of
            approvals unless a pattern begins with `approval`: a question is no fault.
        url: Of a webhook, a Slack webhook, or another address of PagerDuty's events. Never shown: it is often a secret.
        secret: PagerDuty's routing key, the password of SMTP, or the bearer token of a webhook; better given by
            `secret_file` or the environment than in the file. Never shown.
        secret_file: File that holds the secret; read at each attempt, so that it can be changed.
        timeout_s: How long connecting, and each wait for bytes, may take.
        host: SMTP server.
        port: Its port.
        tls: How the connection to it is kept secret: starttls, tls (from the first byte) or none.
        username: Of SMTP; empty for no sign-in.
        sender: Address that mails come from.
        to: Addresses that mails go to.
    """

    kind: RouteKind
    severity: Severity = "info"
    subjects: tuple[str, ...] = ("*",)
    rules: tuple[str, ...] = ("*",)
    url: str = ""
    secret: str = ""
    secret_file: str = ""
    timeout_s: float = 5.0
    host: str = ""
    port: int = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s {self.timeout_s} is not above 0")
        if not 1 <= self.port <= 65_535:
            raise ValueError(f"port {self.port} is not between 1 and 65535")
        if self.kind == "email":
            missing = [name for name in ("host", "sender", "to") if not getattr(self, name)]
            if missing:
                raise ValueError(f"a route of kind email needs {' and '.join(missing)}")
            for address in (self.sender, *self.to):
                if not _ADDRESS.fullmatch(address):
                    raise ValueError(f"{address!r} is not an address such as team@example.org")

    @property
    def lacks(self) -> str:
        """What keeps it from being used in this process; empty where nothing does."""
        if self.kind in ("webhook", "slack") and not self.url:
            return "no url is set"
        if self.kind == "pagerduty" and not (self.secret or self.secret_file):
            return "no secret is set"
        return ""

    def __repr__(self) -> str:
        fields = msgspec.structs.asdict(self)
        return f"RouteSettings({fields | {name: '***' for name in _HIDDEN if fields[name]}})"


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told to people, and how. The alert log `.falaj/log/alerts.jsonl` is always told everything.

    Attributes:
        group_by: Which open alerts belong to one incident: those of one subject, of one rule, or all of the project.
        group_s: How long the first news of an incident waits for others, so that one message tells of them all.
        rules: Severities by rule and subject, as `[[alerts.rules]]`.
        routes: Name to route, as `[alerts.routes.NAME]`.
    """

    group_by: Literal["subject", "rule", "project"] = "subject"
    group_s: float = 5.0
    rules: tuple[AlertRule, ...] = ()
    routes: dict[str, RouteSettings] = {}

    def __post_init__(self) -> None:
        if not self.group_s >= 0:
            raise ValueError(f"group_s {self.group_s} is below 0")
        for name in self.routes:
            if not _NAME.fullmatch(name) or name == "log":
                raise ValueError(
                    f"route {name!r}: a name is up to 32 small letters, digits and _, begins with a letter, "
                    "and is not 'log', which is the alert log"
                )
