"""Commands about decisions: predict, feedback, why."""

import contextlib
import json
from typing import IO, Any, TypeVar

import click
import msgspec

from falaj.app.client import Client, decide, post_gateway
from falaj.app.values.prediction import Explanation, FeatureValue, Provenance, UnknownQuery, WhyQuery
from falaj.cli.command import FalajCommand, Session, counted, pass_session, plain
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.codec import from_json
from falaj.kernel.errors import AccessDenied, InputError

T = TypeVar("T")
_SHOWN = 5


class Answered(msgspec.Struct, frozen=True):
    """A line of what `falaj replay --answers` writes.

    Attributes:
        request_id: The decision.
        event_id: The event it was about.
    """

    request_id: str
    event_id: str | int | float | None


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@click.option("--entity", "entities", multiple=True, metavar="KEY=VALUE", help="An entity key; repeatable.")
@click.option("--request", "fields", multiple=True, metavar="FIELD=VALUE", help="A request field; repeatable.")
@click.option("--at", help="The instant whose features to use, RFC 3339; now by default.")
@pass_session
def predict(
    session: Session, *, endpoint: str, entities: tuple[str, ...], fields: tuple[str, ...], at: str | None
) -> None:
    """Ask ENDPOINT for one decision, by the gateway if it runs, and in this process otherwise.

    Example: falaj predict fraud --entity customer_id=17 --entity terminal_id=4 --request amount=12.5
    """
    body: dict[str, Any] = {"entities": pairs(entities), "request": pairs(fields)}
    if at is not None:
        body["at"] = at
    answer = decide(session.client(), endpoint, body)

    def human() -> None:
        click.echo(f"{answer['prediction']:.6f}  {answer['model']} version {answer['model_version']}")
        click.echo(f"why: falaj why {answer['request_id']}")

    session.show(answer, human)


@click.command(cls=FalajCommand)
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--answers", type=click.File("rb"), help="What 'falaj replay' wrote: FILE then holds labelled events.")
@click.option("--id", "id_column", default="transaction_id", show_default=True, help="With --answers: the id column.")
@click.option("--outcome", "outcome_column", default="is_fraud", show_default=True, help="... and the label's.")
@click.option("--at", "at_column", default="ingested_at", show_default=True, help="... and when it became known.")
@pass_session
def feedback(
    session: Session,
    *,
    file: IO[bytes],
    answers: IO[bytes] | None,
    id_column: str,
    outcome_column: str,
    at_column: str,
) -> None:
    """Report outcomes, one JSON object a line: {"request_id": "...", "outcome": 1, "at": "..."}.

    An outcome is 0 or 1, or what came true of what a regression predicted.

    Of several outcomes of one decision the one that became known last counts. Says which request ids no decision has.

    Example: falaj feedback outcomes.jsonl
    """
    client = session.client()
    items = _lines(file, dict[str, Any], 'write {"request_id": "...", "outcome": 1}')
    if answers is not None:
        asked = _lines(answers, Answered, "give the file that 'falaj replay --answers' wrote")
        items = _join(items, asked, (id_column, outcome_column, at_column))
    for start in range(0, len(items), 1000):
        post_gateway(client, "/v1/feedback", items[start : start + 1000])
    unknown = _unknown(client, [str(item["request_id"]) for item in items])

    def human() -> None:
        click.echo(f"{counted(len(items), 'outcome')} reported")
        if unknown:
            shown = ", ".join(plain(one) for one in unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
            what = counted(len(unknown), "request id names", "request ids name")
            click.echo(f"{what} no decision, whose outcomes count for nothing: {shown}", err=True)

    session.show({"reported": len(items), "unknown": unknown}, human)


def _unknown(client: Client, request_ids: list[str]) -> list[str] | None:
    """Return the ids that no decision has; None for who may report outcomes and not read decisions."""
    with contextlib.suppress(AccessDenied):
        return client.perform("prediction.unknown", UnknownQuery(request_ids), list[str])
    return None


def _join(events: list[dict[str, Any]], answers: list[Answered], columns: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Return one outcome for each decision whose event is among the labelled ones."""
    id_column, outcome_column, at_column = columns
    for column, option in ((id_column, "--id"), (outcome_column, "--outcome")):
        if events and not any(column in event for event in events):
            raise InputError(
                f"no event has the column {column!r}",
                hint=f"name it by {option}: the events have {', '.join(sorted(events[0]))}",
            )
    labelled = {_event_id(event, id_column): event for event in events if event.get(outcome_column) is not None}
    return [
        {
            "request_id": answer.request_id,
            "outcome": labelled[answer.event_id][outcome_column],
            "at": labelled[answer.event_id].get(at_column),
        }
        for answer in answers
        if answer.event_id in labelled
    ]


def _event_id(event: dict[str, Any], column: str) -> str | float | None:
    value = event.get(column)
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(f"id column {column!r} holds {value!r}, which is no id", hint="send text or a number")


@click.command(cls=FalajCommand)
@click.argument("request_id")
@pass_session
def why(session: Session, *, request_id: str) -> None:
    """Explain one decision: features, versions, dataset, gate report, approver.

    Example: falaj why req_01kb8z...
    """
    found = session.client().perform("prediction.why", WhyQuery(request_id), Explanation)
    session.show(found, lambda: _print(found))


def _print(found: Explanation) -> None:
    score = "none" if found.score is None else f"{found.score:.6f}"
    click.echo(f"decision  {found.request_id}")
    click.echo(f"answer    {score} by {found.model} version {found.version} ({found.variant}) on {found.endpoint}")
    click.echo(f"instant   {rfc3339(from_us(found.at_us))}, asked by {found.actor or 'unknown'}")
    click.echo(f"about     {json.dumps(found.entities)} {json.dumps(found.request)}")
    if found.ensemble:
        _print_members(found)
        return
    if found.features:
        _print_features(found.features)
    _print_provenance(found)
    _print_outcome(found)


def _print_provenance(found: Explanation | Provenance) -> None:
    if found.dataset:  # a bare model has neither data nor a gate
        click.echo(f"dataset   {found.dataset} ({counted(found.dataset_rows, 'row')})")
    click.echo(f"run       {found.run_id} ({plain(found.run_reason)})")
    if found.gate_report:
        click.echo(f"gate      {found.gate} (report {found.gate_report[:16]})")
    for check in found.gate_checks:
        click.echo(f"  {check['outcome']:<12} {check['name']}: {check['reason']}")
    click.echo(f"approved  {', '.join(found.approved_by) or 'nobody'}")


def _print_members(found: Explanation) -> None:
    click.echo(f"combined  {found.ensemble['method']} of {', '.join(found.ensemble['members'])}")
    for member in found.members:
        score = member.error or "none" if member.score is None else f"{member.score:.6f}"
        click.echo(
            f"member    {member.endpoint}: {score} by {member.model} version {member.version} ({member.variant})"
        )
        _print_features(member.features)
        _print_provenance(member.provenance)
    asked = {member.endpoint for member in found.members}
    for name in (*found.ensemble["members"], found.ensemble.get("by", "")):
        if name and name not in asked:
            click.echo(f"member    {name}: not asked")
    _print_outcome(found)


def _print_features(features: tuple[FeatureValue, ...]) -> None:
    click.echo("features")
    for feature in features:
        click.echo(f"  {feature.name:<40} {plain(feature.value):>22}  {feature.status}")


def _print_outcome(found: Explanation) -> None:
    click.echo(f"outcome   {'not known yet' if found.outcome is None else f'{found.outcome:g}'}")


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """Return KEY=VALUE words as a dict; values are JSON where they can be read as such, and text otherwise.

    NaN and Infinity are no JSON: they stay text, which a number's field refuses by name.

    Raises:
        InputError: A word is not KEY=VALUE.
    """
    pairs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"{word!r} is not KEY=VALUE", hint="write --entity card_id=c1")
        pairs[key] = _value(value)
    return pairs


def _value(text: str) -> Any:
    try:
        return from_json(text, Any)
    except InputError:
        return text


def _lines(file: IO[bytes], kind: type[T], hint: str) -> list[T]:
    """Return the values of a file of JSON lines."""
    lines = enumerate(file, 1)
    return [
        from_json(line, kind, what=f"{file.name} line {number}", hint=hint) for number, line in lines if line.strip()
    ]
