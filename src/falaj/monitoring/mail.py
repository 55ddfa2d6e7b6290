"""Mail: a message as an electronic mail by SMTP; all mails about one incident make one thread."""

import hashlib
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime

from falaj.kernel.alert_settings import RouteSettings
from falaj.kernel.clock import parse_instant
from falaj.monitoring.alert_message import AlertMessage
from falaj.monitoring.delivery import Send
from falaj.monitoring.webhook import Secret


def to_mail(route: RouteSettings, secret: Secret) -> Send:
    """Return a route that mails each message.

    Args:
        route: The server, how the connection is kept secret, and the addresses.
        secret: Gives the password.
    """

    def send(message: AlertMessage) -> str:
        try:
            password = secret()
        except OSError as error:
            return f"the secret's file: {error.strerror}"
        try:
            with _connect(route) as server:
                if route.username:
                    server.login(route.username, password)
                server.send_message(mail_of(message, route.sender, route.to), route.sender, route.to)
        except smtplib.SMTPAuthenticationError as error:  # what it says may hold the name and the password
            return f"SMTP {route.host} refused the sign-in with {error.smtp_code}"
        except smtplib.SMTPResponseException as error:
            return f"SMTP {route.host} answered {error.smtp_code}"
        except smtplib.SMTPRecipientsRefused:
            return f"SMTP {route.host} refused every address"
        except (OSError, ValueError) as error:
            return f"SMTP {route.host}: {error}"
        return ""

    return send


def mail_of(message: AlertMessage, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Return the mail; one that is sent again has the same Message-ID."""
    domain = sender.rpartition("@")[2]
    thread = hashlib.sha256(message.key.encode()).hexdigest()[:24]
    mail = EmailMessage()
    mail["Subject"] = " ".join(f"[{message.severity}, {message.event}] {message.summary}".split())
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Date"] = format_datetime(parse_instant(message.at))
    mail["Message-ID"] = f"<{thread}.{message.id}@{domain}>"
    mail["References"] = f"<{thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(message))
    return mail


def _text(message: AlertMessage) -> str:
    lines = [message.summary, ""]
    for alert in message.alerts:
        state = "open since" if alert.open else "over, opened at"
        lines += [f"* {alert.rule} of {alert.subject} ({alert.severity}, {state} {alert.opened})", f"  {alert.message}"]
        lines += [f"  {alert.ending}"] if alert.ending else []
    if message.more:
        lines.append(f"* and {message.more} more")
    return "\n".join([*lines, "", f"falaj incidents show {message.incident}"]) + "\n"


def _connect(route: RouteSettings) -> smtplib.SMTP:
    """Return a connection; with `starttls`, one that refuses to go on in clear."""
    if route.tls == "tls":
        return smtplib.SMTP_SSL(route.host, route.port, timeout=route.timeout_s, context=ssl.create_default_context())
    server = smtplib.SMTP(route.host, route.port, timeout=route.timeout_s)
    if route.tls == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except OSError:
            server.close()
            raise
    return server
