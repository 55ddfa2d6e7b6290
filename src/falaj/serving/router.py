"""Router: methods and paths to handlers, each with what the caller must be allowed to do."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from falaj.serving.http import Exchange, Request
from falaj.serving.intake import Receipt

Handler = Callable[[Request, Exchange, Receipt, str], None]
"""Answers a request; the last argument is the name that stood in the path."""

_REMEMBERED = 10_000
_LONGEST_REMEMBERED = 256


class Route(NamedTuple):
    """One path.

    Attributes:
        action: What the caller must be allowed to do, such as `endpoint.predict`; empty for a public path.
        resource: The name acted on; empty to take it from the path, `?key` to take it from the query.
        handlers: By method.
        pattern: The path with `{name}` in it.
    """

    action: str
    resource: str
    handlers: dict[bytes, Handler]
    pattern: str


class Router:
    """Finds the route of a path such as `/v1/endpoints/{name}/predict`; `{name}` stands for one path segment.

    Example:
        >>> router = Router()
        >>> router.add("GET", "/v2/models/{name}", "endpoint.read", print)
        >>> router.find(b"/v2/models/fraud%3Araw")[1], router.find(b"/v2/models/") is None
        ('fraud:raw', True)
    """

    def __init__(self) -> None:
        self._patterns: dict[int, list[tuple[tuple[bytes | None, ...], Route]]] = {}
        self._found: dict[bytes, tuple[Route, str]] = {}

    def add(self, method: str, path: str, action: str, handler: Handler, resource: str = "") -> None:
        """Add a handler.

        Args:
            method: In capitals.
            path: With `{name}` for one segment, and `{version}` for another; the latter is handed over as
                `name\\nversion`.
            action: What the caller must be allowed to do; empty for a public path.
            handler: Answers.
            resource: What is acted on, where the path does not name it; `?key` for a value of the query.
        """
        segments = tuple(None if s.startswith("{") else s.encode() for s in path.split("/"))
        known = self._patterns.setdefault(len(segments), [])
        for pattern, route in known:
            if pattern == segments:
                route.handlers[method.encode()] = handler
                return
        known.append((segments, Route(action, resource, {method.encode(): handler}, path)))

    def find(self, path: bytes) -> tuple[Route, str] | None:
        """Return the path's route and the name in it; None when there is no such path."""
        found = self._found.get(path)
        if found is None:
            found = self._match(path)
            # Paths come from anybody, so neither their number nor their length may grow.
            if found is not None and len(self._found) < _REMEMBERED and len(path) <= _LONGEST_REMEMBERED:
                self._found[path] = found
        return found

    def _match(self, path: bytes) -> tuple[Route, str] | None:
        parts = path.split(b"/")
        for pattern, route in self._patterns.get(len(parts), ()):
            if all(part == wanted or (wanted is None and part) for part, wanted in zip(parts, pattern, strict=True)):
                names = [unquote_to_bytes(p) for p, w in zip(parts, pattern, strict=True) if w is None]
                return route, b"\n".join(names).decode(errors="replace")
        return None
