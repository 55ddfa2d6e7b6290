"""Routes: what arrives at a webhook, at Slack, at PagerDuty and in a mailbox, and that no error tells a secret."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from falaj.kernel.alert_settings import AlertSettings, RouteSettings
from falaj.kernel.codec import to_json
from falaj.kernel.settings import Settings, load_settings
from falaj.monitoring.alert_message import AlertMessage, ToldAlert
from falaj.monitoring.routes import concerns, sender_of
from support.falaj_project import free_ports
from support.smtp_server import SmtpServer
from support.webhook import Webhook

SECRET = "hunter2hunter2"
ALERT = ToldAlert(1, "drift", "critical", "fraud", "amount & <!channel> drifted", "2026-01-05T00:00:00Z", True)
MESSAGE = AlertMessage(
    7, "falaj/shop/3/99", "opened", 3, "critical", "fraud", "fraud: drift", "", "2026-01-05T00:00:00Z", (ALERT,)
)


@pytest.fixture
def receiver() -> Iterator[Webhook]:
    running = Webhook(free_ports(1)[0])
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signed itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path) + ".crt"]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def mailbox() -> Iterator[SmtpServer]:
    server = SmtpServer(SECRET)
    yield server
    server.close()


def url(receiver: Webhook) -> str:
    return f"http://127.0.0.1:{receiver.port}/hook/{SECRET}"


def mailed(server: SmtpServer, **more: Any) -> RouteSettings:
    fields: dict[str, Any] = {
        "host": "127.0.0.1", "port": server.port, "tls": "none", "username": "falaj", "secret": SECRET,
        "sender": "falaj@shop.example", "to": ("ada@shop.example", "eve@shop.example"),
    }  # fmt: skip
    return RouteSettings("email", **(fields | more))


def test_a_webhook_gets_the_message_its_number_and_a_token(receiver: Webhook, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    send = sender_of(RouteSettings("webhook", url=url(receiver), secret_file=str(tmp_path / "token")))
    assert send(MESSAGE) == ""
    assert receiver.accepted == [json.loads(to_json(MESSAGE))]
    headers = receiver.headers[0]
    assert (headers["authorization"], headers["idempotency-key"]) == (f"Bearer {SECRET}", "falaj/shop/3/99/7")


@pytest.mark.parametrize("kind", ["webhook", "slack", "pagerduty"])
@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_answer_but_success_is_a_failure_that_names_no_secret(receiver: Webhook, kind: Any, status: int) -> None:
    receiver.answers = [status]
    error = sender_of(RouteSettings(kind, url=url(receiver), secret=SECRET))(MESSAGE)
    assert f"answered {status}" in error
    assert SECRET not in error
    assert sender_of(RouteSettings(kind, url=url(receiver), secret=SECRET))(MESSAGE) == ""


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:1/x", "file:///etc/passwd", "nonsense", "http://[", "http://a b/", "http://a:x/"]
)
def test_an_address_that_cannot_be_reached_never_raises(where: str) -> None:
    assert sender_of(RouteSettings("webhook", url=where, timeout_s=1.0))(MESSAGE)


@pytest.mark.parametrize("kind", ["webhook", "pagerduty", "email"])
def test_a_secret_that_cannot_be_read_never_raises(mailbox: SmtpServer, kind: Any, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    route = mailed(mailbox) if kind == "email" else RouteSettings(kind, url="http://127.0.0.1:1/", secret=SECRET)
    assert "No such file" in sender_of(msgspec.structs.replace(route, secret_file=absent))(MESSAGE)


def test_slack_gets_blocks_that_call_nobody(receiver: Webhook) -> None:
    assert sender_of(RouteSettings("slack", url=url(receiver)))(MESSAGE) == ""
    (body,) = receiver.accepted
    assert body["text"] == "[opened] fraud: drift"
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "context"]
    assert body["blocks"][1]["text"] == {
        "type": "mrkdwn",
        "text": ":rotating_light: *drift* of fraud: amount &amp; &lt;!channel&gt; drifted",
    }


def test_slack_and_pagerduty_get_no_more_than_they_take(receiver: Webhook) -> None:
    alerts = tuple(msgspec.structs.replace(ALERT, message="x" * 9_000) for _ in range(20))
    long = msgspec.structs.replace(MESSAGE, summary="y" * 9_000, alerts=alerts, more=5)
    for kind in ("slack", "pagerduty"):
        assert sender_of(RouteSettings(kind, url=url(receiver), secret=SECRET))(long) == ""
    slack, pager = receiver.accepted
    assert len(slack["blocks"]) <= 50
    assert len(slack["blocks"][0]["text"]["text"]) <= 150
    assert max(len(block["text"]["text"]) for block in slack["blocks"][1:-1]) <= 3_000
    assert len(pager["payload"]["summary"]) <= 1_024


def test_pagerduty_is_triggered_acknowledged_and_resolved_under_one_key(receiver: Webhook) -> None:
    send = sender_of(RouteSettings("pagerduty", url=url(receiver), secret=SECRET))
    for event in ("opened", "changed", "escalated", "acknowledged", "resolved"):
        assert send(msgspec.structs.replace(MESSAGE, event=event)) == ""
    actions = [body["event_action"] for body in receiver.accepted]
    assert actions == ["trigger", "trigger", "trigger", "acknowledge", "resolve"]
    assert {(body["dedup_key"], body["routing_key"]) for body in receiver.accepted} == {("falaj/shop/3/99", SECRET)}
    payload = receiver.accepted[0]["payload"]
    assert {name: payload[name] for name in ("summary", "source", "severity", "timestamp", "class")} == {
        "summary": "fraud: drift",
        "source": "fraud",
        "severity": "critical",
        "timestamp": "2026-01-05T00:00:00Z",
        "class": "drift",
    }


def test_every_route_says_that_an_incident_became_more_severe(receiver: Webhook, mailbox: SmtpServer) -> None:
    grown = msgspec.structs.replace(MESSAGE, id=8, event="escalated", summary="fraud: drift (now critical)")
    for kind in ("webhook", "slack", "pagerduty"):
        assert sender_of(RouteSettings(kind, url=url(receiver), secret=SECRET))(grown) == ""
    assert sender_of(mailed(mailbox))(grown) == ""
    hook, slack, pager = receiver.accepted
    assert (hook["event"], hook["severity"]) == ("escalated", "critical")
    assert slack["text"] == "[escalated] fraud: drift (now critical)"
    assert "critical · escalated" in slack["blocks"][-1]["elements"][0]["text"]
    assert (pager["payload"]["severity"], pager["dedup_key"]) == ("critical", MESSAGE.key)
    assert mailbox.mails[0].message["subject"] == "[critical, escalated] fraud: drift (now critical)"


def test_a_mail_arrives_once_signed_in_and_in_one_thread(mailbox: SmtpServer) -> None:
    send = sender_of(mailed(mailbox))
    later = msgspec.structs.replace(MESSAGE, id=8, event="resolved", summary="fraud: drift: over\nBcc: x@evil.example")
    assert [send(MESSAGE), send(MESSAGE), send(later)] == ["", "", ""]
    first, again, last = [mail.message for mail in mailbox.mails]
    assert mailbox.mails[0][:2] == ("falaj@shop.example", ("ada@shop.example", "eve@shop.example"))
    assert first["subject"] == "[critical, opened] fraud: drift"
    assert first["message-id"] == again["message-id"] != last["message-id"]
    assert first["references"] == last["references"]
    assert last["bcc"] is None
    assert "drift of fraud (critical, open since 2026-01-05T00:00:00Z)" in first.get_content()


def test_a_mail_goes_through_tls_or_not_at_all(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, secret = SmtpServer(SECRET), SmtpServer(SECRET, certificate)
    try:
        assert "STARTTLS" in sender_of(mailed(plain, tls="starttls"))(MESSAGE)
        assert "certificate verify failed" in sender_of(mailed(secret, tls="starttls"))(MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        assert sender_of(mailed(secret, tls="starttls"))(MESSAGE) == ""
        assert [mail.secret for mail in secret.mails] == [True]
        assert plain.mails == []
    finally:
        plain.close()
        secret.close()


def test_a_refused_sign_in_tells_no_password(mailbox: SmtpServer) -> None:
    error = sender_of(mailed(mailbox, secret="wrong-password"))(MESSAGE)
    assert error == "SMTP 127.0.0.1 refused the sign-in with 535"
    mailbox.answers = [451]
    assert sender_of(mailed(mailbox))(MESSAGE) == "SMTP 127.0.0.1 answered 451"
    assert "refused" in sender_of(mailed(mailbox, port=1))(MESSAGE)


def test_a_route_is_told_what_is_severe_enough_and_about_its_subjects() -> None:
    route = RouteSettings("webhook", url="http://x/", severity="warning", subjects=("fraud*",))
    about = [
        ("critical", "fraud", True),
        ("warning", "fraud_eu", True),
        ("info", "fraud", False),
        ("critical", "churn", False),
    ]
    for severity, subject, told in about:
        alert = msgspec.structs.replace(ALERT, subject=subject)
        message = msgspec.structs.replace(MESSAGE, severity=severity, alerts=(alert,))
        assert concerns(route, message) is told


def test_what_is_secret_comes_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "falaj.toml").write_text('[alerts.routes.oncall]\nkind = "pagerduty"\nseverity = "critical"\n')
    environ = {"FALAJ_ALERTS_ROUTES_ONCALL_SECRET": SECRET}
    settings = load_settings(tmp_path, environ)
    assert settings.alerts.routes["oncall"].secret == SECRET
    assert SECRET not in repr(settings)
    elsewhere = load_settings(tmp_path, {}).alerts.routes["oncall"]  # a gateway, or a command of somebody else
    assert sender_of(elsewhere)(MESSAGE) == elsewhere.lacks == "no secret is set"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "email", "host": "h", "sender": "Ada <a@b>", "to": ["a@b"]}, "not an address"),
        ({"kind": "email", "host": "h"}, "needs sender and to"),
        ({"kind": "slack", "url": "http://x/", "timeout_s": 0}, "timeout_s"),
        ({"kind": "slack", "url": "http://x/", "severity": "loud"}, "severity"),
        ({"kind": "pigeon"}, "kind"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"alerts": {"routes": {"a": fields}}}, Settings)


@pytest.mark.parametrize("name", ["log", "On-Call", "", "a" * 40])
def test_a_route_has_a_name_that_the_environment_can_say(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        AlertSettings(routes={name: RouteSettings("webhook", url="http://x/")})


def test_a_project_may_have_any_name_and_a_secret_no_second_line(receiver: Webhook) -> None:
    named = msgspec.structs.replace(MESSAGE, key="falaj/فلج\r\nx/3/99")
    for kind in ("webhook", "slack", "pagerduty"):
        assert sender_of(RouteSettings(kind, url=url(receiver), secret=SECRET))(named) == ""
    assert receiver.accepted[2]["dedup_key"] == named.key
    error = sender_of(RouteSettings("webhook", url=url(receiver), secret=f"{SECRET}\nx"))(MESSAGE)
    assert error == "the secret is not one line of printable ASCII"


@pytest.mark.parametrize(
    "where", ["http://falaj:s3cretpw@127.0.0.1/hook", "https://s3cretpw@example.test/", "http://127.0.0.1:1/s3cretpw"]
)
def test_no_error_repeats_what_an_address_keeps_secret(where: str) -> None:
    error = sender_of(RouteSettings("webhook", url=where, timeout_s=1.0))(MESSAGE)
    assert error and "s3cretpw" not in error
