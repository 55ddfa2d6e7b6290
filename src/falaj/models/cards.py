"""Model cards and gate reports, as Markdown and as one self-contained page each."""

import base64
import functools
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2

from falaj.definitions.gate import HIGHER_IS_BETTER
from falaj.kernel.clock import from_us
from falaj.kernel.codec import canonical_json
from falaj.kernel.duration import format_duration
from falaj.models.card_facts import CardFacts
from falaj.models.fairness import RATES
from falaj.models.gate_report import GateReport
from falaj.models.limitations import limitations
from falaj.models.version import ModelVersion

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN = tuple(HIGHER_IS_BETTER)


def render_card(facts: CardFacts) -> dict[str, str]:
    """Return the model card.

    Args:
        facts: What it tells.

    Returns:
        "card.md" and "card.html".
    """
    metrics, intervals = facts.evaluation.metrics, facts.evaluation.intervals
    context = {
        "f": facts,
        "v": facts.version,
        "purpose": facts.purpose or _purpose(facts),
        "metrics": [(name, metrics[name], intervals.get(name)) for name in _SHOWN if name in metrics],
        "features": [(spec, facts.importance.get(spec.name)) for spec in facts.version.signature.inputs],
        "limitations": limitations(facts),
        "plots": _inline(facts.plots),
        "largest": max(facts.importance.values(), default=1.0),
    }
    return _render("card", context)


def render_gate(
    report: GateReport, version: ModelVersion | None = None, plots: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, str]:
    """Return the gate report.

    Args:
        report: The finding.
        version: The version it is about, once it has a number.
        plots: File name to PNG bytes, for the page.

    Returns:
        "gate.md" and "gate.html".
    """
    return _render("gate", {"r": report, "v": version, "plots": _inline(plots), "rates": RATES})


def _inline(plots: Mapping[str, bytes]) -> dict[str, str]:
    return {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in plots.items()}


def _purpose(facts: CardFacts) -> str:
    if facts.version.task == "regression":
        return f"Predicts {facts.data.label} of source {facts.data.source}."
    return f"Scores the probability that {facts.data.label} of source {facts.data.source} is 1."


def _render(name: str, context: dict[str, Any]) -> dict[str, str]:
    return {
        f"{name}.{kind}": _environment(kind).get_template(f"{name}.{kind}").render(context) for kind in ("md", "html")
    }


@functools.cache
def _environment(kind: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=kind == "html",  # noqa: S701 Markdown is escaped by its own filter below
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markdown if kind == "md" else None,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,.0f}",
        "metric": lambda value: "–" if value is None or value != value else f"{value:.4f}",
        "share": lambda value: f"{value:.1%}",
        "instant": lambda us: from_us(us).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "duration": format_duration,
        "short": lambda digest: digest[:12],
        "json": lambda value: canonical_json(value).decode(),
    }
    return environment


def _markdown(value: Any) -> Any:
    """Escape what would break a table or a page that renders the Markdown."""
    if not isinstance(value, str):
        return value
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " "), ("`", "'")):
        value = value.replace(character, escaped)
    return value
