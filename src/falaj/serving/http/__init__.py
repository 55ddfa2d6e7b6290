"""Our own HTTP/1.1 server over llhttp: no task, no future and no thread per request."""

from falaj.serving.http.connection import Connection
from falaj.serving.http.messages import JSON, Application, Exchange, Limits, Request
from falaj.serving.http.server import HttpServer

__all__ = ["JSON", "Application", "Connection", "Exchange", "HttpServer", "Limits", "Request"]
