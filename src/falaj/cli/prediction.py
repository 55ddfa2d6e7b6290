"""Commands about decisions: predict, feedback, why."""

import json
from typing import IO, Any

import click

from falaj.app.client import post_gateway
from falaj.app.values.prediction import Explanation, LocalPredict, WhyQuery
from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.errors import InputError


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
    client = session.client()
    if client.control() is None:
        answer = client.perform("endpoint.predict", LocalPredict(endpoint, [body]), list[dict[str, Any]])[0]
    else:
        answer = post_gateway(client, f"/v1/endpoints/{endpoint}/predict", body)

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
    """Report outcomes, one JSON object a line: {"request_id": "...", "outcome": 0 or 1, "at": "..."}.

    Example: falaj feedback outcomes.jsonl
    """
    client = session.client()
    items = [_object(number, line) for number, line in enumerate(file, 1) if line.strip()]
    if answers is not None:
        asked = [_object(number, line) for number, line in enumerate(answers, 1) if line.strip()]
        items = _join(items, asked, (id_column, outcome_column, at_column))
    for start in range(0, len(items), 1000):
        post_gateway(client, "/v1/feedback", items[start : start + 1000])
    session.show({"reported": len(items)}, lambda: click.echo(f"{len(items):,} outcomes reported"))


def _join(
    events: list[dict[str, Any]], answers: list[dict[str, Any]], columns: tuple[str, str, str]
) -> list[dict[str, Any]]:
    """Return one outcome for each decision whose event is among the labelled ones."""
    id_column, outcome_column, at_column = columns
    labelled = {event.get(id_column): event for event in events if event.get(outcome_column) is not None}
    return [
        {
            "request_id": answer["request_id"],
            "outcome": labelled[answer["event_id"]][outcome_column],
            "at": labelled[answer["event_id"]].get(at_column),
        }
        for answer in answers
        if answer["event_id"] in labelled
    ]


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
    click.echo("features")
    for feature in found.features:
        click.echo(f"  {feature.name:<40} {feature.value!s:>22}  {feature.status}")
    click.echo(f"dataset   {found.dataset} ({found.dataset_rows:,} rows)")
    click.echo(f"run       {found.run_id} ({found.run_reason})")
    click.echo(f"gate      {found.gate} (report {found.gate_report[:16]})")
    for check in found.gate_checks:
        click.echo(f"  {check['outcome']:<12} {check['name']}: {check['reason']}")
    click.echo(f"approved  {', '.join(found.approved_by) or 'nobody'}")
    click.echo(f"outcome   {'not known yet' if found.outcome is None else f'{found.outcome:g}'}")


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """Return KEY=VALUE words as a dict; values are JSON where they can be read as such, and text otherwise."""
    pairs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"{word!r} is not KEY=VALUE", hint="write --entity card_id=c1")
        pairs[key] = _value(value)
    return pairs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"line {number} is not a JSON object", hint='write {"request_id": "...", "outcome": 1}')
    return value
