"""A receiver of mails: a real SMTP server on a real socket, with sign-in and, where it has a certificate, STARTTLS."""

import base64
import contextlib
import socketserver
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple, cast


class Mail(NamedTuple):
    """A mail that was taken.

    Attributes:
        sender: As the envelope says.
        to: As the envelope says.
        secret: Whether it came through TLS.
        message: What was written.
    """

    sender: str
    to: tuple[str, ...]
    secret: bool
    message: EmailMessage


class SmtpServer:
    """Takes mails on one address of this machine.

    Args:
        password: What a sign-in must give; none is asked for where it is empty.
        certificate: PEM file with key and certificate, for STARTTLS.

    Attributes:
        mails: Those that were taken.
        answers: Codes to refuse the next mails with, the next first.
    """

    def __init__(self, password: str = "", certificate: Path | None = None) -> None:
        self.password = password
        self.mails: list[Mail] = []
        self.answers: list[int] = []
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self._server = _Server(("127.0.0.1", 0), _Conversation)
        self._server.smtp = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    smtp: SmtpServer


class _Conversation(socketserver.StreamRequestHandler):
    """One client's commands, as RFC 5321 and RFC 4954 have them, as far as smtplib says any."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client that trusts no certificate of ours goes away
            self.converse()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()

    def converse(self) -> None:
        self.smtp = cast(_Server, self.server).smtp
        self.secret = self.signed_in = False
        self.sender, self.to = "", list[str]()
        self.say("220 ready")
        while line := self.rfile.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word.upper() == "QUIT":
                self.say("221 bye")
                return
            self.command(word.upper(), rest)

    def command(self, word: str, rest: str) -> None:
        if word in ("EHLO", "HELO"):
            starttls = self.smtp.context is not None and not self.secret
            self.say("250-here", *(["250-STARTTLS"] if starttls else []), "250 AUTH PLAIN")
        elif word == "STARTTLS" and self.smtp.context is not None:
            self.say("220 go")
            plain = self.connection
            self.connection = self.smtp.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            self.connection.do_handshake()
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
            self.secret = True
        elif word == "AUTH":
            given = base64.b64decode(rest.partition(" ")[2]).split(b"\0")[-1].decode()
            self.signed_in = given == self.smtp.password
            self.say("235 in" if self.signed_in else f"535 {given} is wrong")
        elif word == "MAIL" and self.smtp.password and not self.signed_in:
            self.say("530 sign in first")
        elif word == "MAIL":
            self.sender, self.to = _address(rest), []
            self.say("250 fine")
        elif word == "RCPT":
            self.to.append(_address(rest))
            self.say("250 fine")
        elif word == "DATA":
            self.say("354 go on")
            self.take(self.body())
        else:
            self.say("250 fine" if word in ("RSET", "NOOP") else "502 unknown")

    def body(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def take(self, body: bytes) -> None:
        if self.smtp.answers:
            self.say(f"{self.smtp.answers.pop(0)} not now")
            return
        message = message_from_bytes(body, policy=policy.default)
        self.smtp.mails.append(Mail(self.sender, tuple(self.to), self.secret, message))
        self.say("250 taken")

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        self.wfile.flush()


def _address(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
