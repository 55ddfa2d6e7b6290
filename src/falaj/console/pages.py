"""The overview page and the sign-in, rendered on the server."""

import functools
from typing import Any

import jinja2

from falaj.app.values.status import Status
from falaj.kernel.clock import from_us


def overview_page(status: Status, actor: str) -> str:
    """Return the overview as HTML.

    Args:
        status: The project at a glance.
        actor: Who looks at it.
    """
    return _environment().get_template("overview.html").render(s=status, actor=actor)


def login_page() -> str:
    """Return the sign-in as HTML; it takes the token after '#' in the address, which browsers send nowhere."""
    return _environment().get_template("login.html").render()


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("falaj.console"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"time": _time, "number": _number, "ms": _ms, "metric": _metric}
    return environment


def _time(microseconds: int | None) -> str:
    return "–" if not microseconds else from_us(microseconds).strftime("%Y-%m-%d %H:%M:%S")


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ms"


def _metric(value: Any) -> str:
    return "–" if value is None else f"{value:.4f}"
