"""PostMortem: what is known of an incident as a Markdown document, with room for what only people know."""

from collections.abc import Iterator, Sequence
from typing import Any

from falaj.kernel.clock import from_us, rfc3339
from falaj.monitoring.alerts import AlertRecord
from falaj.monitoring.incidents import Incident
from falaj.monitoring.timeline_entry import TimelineEntry

_MOST_FIGURES = 40
_FOR_PEOPLE = (
    ("Summary", "What happened, in two sentences."),
    ("Impact", "Who was affected, how, and for how long."),
    ("Cause", "What had to come together for it to happen."),
    ("What went well", ""),
    ("What did not", ""),
    ("What changes", "| What | Who | Until when |\n|---|---|---|"),
)


def post_mortem(
    incident: Incident, alerts: Sequence[AlertRecord], happened: Sequence[TimelineEntry], now_us: int
) -> str:
    """Return the document.

    Args:
        incident: Which.
        alerts: Its alerts, the oldest first.
        happened: Its timeline.
        now_us: The present, in microseconds.
    """
    parts = [
        f"# Incident {incident.id}: {_cell(incident.cause)}\n",
        f"{incident.severity}, {incident.state}; written {_time(now_us)}.\n",
        "## Figures\n\n| Figure | Value |\n|---|---|",
        *[f"| {name} | {value} |" for name, value in _figures(incident, alerts, happened, now_us)],
        "\n## Alerts\n\n| Alert | Opened | Over | Found | What was found |\n|---|---|---|---|---|",
        *[_alert_row(one) for one in alerts],
    ]
    for one in alerts:
        parts += _evidence(one)
    parts += ["\n## Timeline\n\n| When | Who | What |\n|---|---|---|"]
    parts += [f"| {_time(one.at_us)} | {_cell(one.actor)} | {_cell(f'{one.kind}: {one.text}')} |" for one in happened]
    for title, text in _FOR_PEOPLE:
        parts.append(f"\n## {title}\n\n{text}".rstrip())
    return "\n".join(parts) + "\n"


def _figures(
    incident: Incident, alerts: Sequence[AlertRecord], happened: Sequence[TimelineEntry], now_us: int
) -> Iterator[tuple[str, str]]:
    told_us = next((one.at_us for one in happened if one.kind == "message"), None)
    yield "opened", _time(incident.opened_us)
    yield "until people were told", _since(incident, told_us)
    yield "until somebody took it", _since(incident, incident.acknowledged_us)
    if incident.resolved_us is None:
        yield "open for", _length(now_us - incident.opened_us)
    else:
        yield "until it was over", _since(incident, incident.resolved_us)
    yield "alerts", str(len(alerts))
    yield "found", f"{sum(one.occurrences for one in alerts)} times"


def _alert_row(one: AlertRecord) -> str:
    over = "–" if one.resolved_us is None else _time(one.resolved_us)
    what = f"{one.alert.rule} of {one.alert.subject} ({one.alert.severity})"
    return f"| {_cell(what)} | {_time(one.opened_us)} | {over} | {one.occurrences} | {_cell(one.alert.message)} |"


def _evidence(one: AlertRecord) -> Iterator[str]:
    every = list(_flat("", one.alert.evidence))
    rows = list(_flat("", _alarming(one.alert.evidence)))
    if not rows:
        return
    yield f"\n### {_cell(one.alert.rule)} of {_cell(one.alert.subject)}: the numbers\n\n| Number | Value |\n|---|---|"
    for name, value in rows[:_MOST_FIGURES]:
        yield f"| {_cell(name)} | {_cell(value)} |"
    more = len(every) - min(len(rows), _MOST_FIGURES)
    if more:
        yield f"\nand {more} more, of what did not alarm too, in `falaj monitor` and in the alert log."


def _alarming(value: Any) -> Any:
    """Return evidence without the questions that did not alarm: of fifty columns one may have moved."""
    if not isinstance(value, dict):
        return value
    kept = {name: inner for name, inner in value.items() if not _is_calm(inner)}
    return {name: _alarming(inner) for name, inner in kept.items() if name not in ("alarm", "judged", "streaks")}


def _is_calm(value: Any) -> bool:
    return isinstance(value, dict) and value.get("alarm") is False


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Give the plain values of nested evidence by their paths."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, list | tuple):
        if value and all(isinstance(one, str | int | float) for one in value):
            yield path, ", ".join(_plain(one) for one in value)
    elif value is not None and value != "":
        yield path, _plain(value)


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _since(incident: Incident, at_us: int | None) -> str:
    return "never" if at_us is None else _length(at_us - incident.opened_us)


def _length(microseconds: int) -> str:
    """Return a length of time as people say it.

    Example:
        >>> _length(3_725_000_000), _length(400_000)
        ('1 h 2 min 5 s', '0 s')
    """
    seconds = max(0, microseconds) // 1_000_000
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(hours or minutes)
    return " ".join([*parts, f"{seconds % 60} s"])


def _time(at_us: int) -> str:
    return rfc3339(from_us(at_us))[:19].replace("T", " ") + " UTC"


def _cell(text: str) -> str:
    """Return text that stays in its cell and is no markup: what was pushed or commented is somebody else's."""
    plain = " ".join(text.split())
    for sign in "\\`*_<>|[]":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
