"""Commands about models: train, approve, reject, and a look at versions."""

import tempfile
from pathlib import Path

import click

from falaj.app.training_run import TrainingResult, adopt_and_follow, train_and_follow
from falaj.app.values.model import (
    Added,
    AddModel,
    Adopt,
    Adopted,
    Decide,
    Decided,
    Removed,
    RemoveModel,
    ShowVersion,
    Train,
    VersionDetail,
    VersionsQuery,
)
from falaj.app.values.status import VersionStatus
from falaj.cli.command import GATE_DID_NOT_PASS, FalajCommand, FalajGroup, Session, pass_session
from falaj.cli.gate_text import COLOURS, gate_lines
from falaj.cli.run import step_line
from falaj.cli.status import leading
from falaj.kernel.errors import InputError
from falaj.models.mlflow_fetch import fetch
from falaj.storage.disk import chosen_path


@click.command(cls=FalajCommand)
@click.argument("model")
@click.option("--reason", default="asked for", show_default=True, help="Why; kept with the run.")
@pass_session
@click.pass_context
def train(context: click.Context, session: Session, *, model: str, reason: str) -> None:
    """Train MODEL: ingest, validate, features, train, evaluate, gate, register, as one durable run.

    Exit code 3 says that the run succeeded and its version did not pass the gate.

    Example: falaj train fraud
    """
    result = train_and_follow(session.client(), Train(model, reason), lambda step: session.say(step_line(step)))
    session.show(result, lambda: _print_training(result))
    if result.gate != "PASS":
        context.exit(GATE_DID_NOT_PASS)


def _print_training(result: TrainingResult) -> None:
    rows = result.rows
    click.echo(
        f"{result.model} version {result.version}: {rows['ingested']:,} rows ingested, "
        f"{rows['quarantined']:,} quarantined, {rows['dataset']:,} examples, {result.seconds:.1f} s"
    )
    shown = ("auc", "average_precision", "rmse", "mae", "r2")
    click.echo("  " + "  ".join(f"{name} {result.metrics[name]:.4f}" for name in shown if result.metrics.get(name)))
    click.echo(f"  gate {click.style(result.gate, fg=COLOURS[result.gate], bold=True)}")
    for check in result.checks:
        outcome = str(check["outcome"])
        click.echo(f"    {click.style(f'{outcome:<12}', fg=COLOURS.get(outcome))} {check['name']}: {check['reason']}")
    if result.gate == "PASS":
        click.echo(f"next: somebody else approves it: falaj approve {result.model} {result.version} --token TOKEN")


@click.command(cls=FalajCommand)
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@click.option("--comment", default="", help="Why; kept with the approval.")
@pass_session
def approve(session: Session, *, model: str, version: int, comment: str) -> None:
    """Approve VERSION of MODEL; nobody approves their own.

    Example: falaj approve fraud 1 --comment "gate report read" --token flj_...
    """
    done = session.client().perform("model.approve", Decide(model, version, comment), Decided)
    more = f"\nnext: {done.next}" if done.next else ""
    session.show(done, lambda: click.echo(f"{model} version {version}: {done.state.lower()} by {done.by}{more}"))


@click.command(cls=FalajCommand)
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@click.option("--comment", default="", help="Why; kept with the refusal.")
@pass_session
def reject(session: Session, *, model: str, version: int, comment: str) -> None:
    """Refuse VERSION of MODEL.

    Example: falaj reject fraud 2 --comment "drift not understood"
    """
    done = session.client().perform("model.reject", Decide(model, version, comment), Decided)
    session.show(done, lambda: click.echo(f"{model} version {version}: {done.state.lower()} by {done.by}"))


@click.group(cls=FalajGroup)
def models() -> None:
    """Versions: list, gate report, card; models from elsewhere: adopt; bare models: add, remove."""


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The name that it will serve under.")
@pass_session
def add(session: Session, *, file: Path, name: str) -> None:
    """Keep the ONNX FILE as the next version of a bare model, which serves when 'falaj deploy NAME' says so.

    A bare model takes and gives any tensors, over the Open Inference Protocol.

    Example: falaj models add simple.onnx --name simple
    """
    done = session.client().perform("model.add", AddModel(name, str(file.absolute())), Added)

    def human() -> None:
        click.echo(f"{done.name} version {done.version}: {done.digest[:16]}")
        for way, tensors in (("takes", done.inputs), ("gives", done.outputs)):
            for tensor in tensors:
                click.echo(f"  {way} {tensor.name}: {tensor.datatype} {list(tensor.shape)}")
        click.echo(f"next: falaj deploy {done.name}")

    session.show(done, human)


@models.command()
@click.argument("where")
@click.option("--model", required=True, help="The model of the project that it becomes a version of.")
@click.option("--from", "tracking", metavar="URI", help="The other MLflow: address, database or folder.")
@pass_session
@click.pass_context
def adopt(context: click.Context, session: Session, *, where: str, model: str, tracking: str | None) -> None:
    """Take in a model that was trained elsewhere and saved with MLflow, as a candidate like any other.

    WHERE is the model's folder, or its address in the other MLflow: NAME/VERSION, NAME@ALIAS, a run's identifier,
    runs:/ID/PATH or models:/NAME/VERSION. It is read from LightGBM's text, XGBoost's JSON or UBJSON, ONNX or skops,
    never from pickle; it must take the columns of the model's feature service. A MODEL that the project does not
    declare becomes a bare one, of ONNX only. Exit code 3 says that its gate did not pass.

    Example: falaj models adopt churn/3 --from http://mlflow.example:5000 --model churn
    """
    with tempfile.TemporaryDirectory(prefix="falaj-adopt-") as name:
        if Path(where).is_dir():
            folder, origin = Path(where), where
        else:
            session.say(f"fetching {where}")
            folder, origin = fetch(where, tracking, Path(name))
        asked = Adopt(model, str(folder.absolute()), origin)
        result = adopt_and_follow(session.client(), asked, lambda step: session.say(step_line(step)))
    if isinstance(result, Adopted):
        session.show(result, lambda: click.echo(f"{model} version {result.version}\nnext: falaj deploy {model}"))
        return
    session.show(result, lambda: _print_training(result))
    if result.gate != "PASS":
        context.exit(GATE_DID_NOT_PASS)


@models.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Which version; all by default, for a bare model.")
@pass_session
def remove(session: Session, *, name: str, version: int | None) -> None:
    """Remove a version of model NAME that nothing uses: its files are deleted, its number and its reports stay.

    Example: falaj models remove fraud --version 1
    """
    done = session.client().perform("model.remove", RemoveModel(name, version), Removed)
    session.show(done, lambda: click.echo(f"{name}: removed {', '.join(map(str, done.versions))}"))


@models.command("list")
@click.argument("model", default="")
@pass_session
def list_(session: Session, *, model: str) -> None:
    """List the versions of MODEL, or of all models.

    Example: falaj models list fraud
    """
    found = session.client().perform("model.list", VersionsQuery(model), list[VersionStatus])

    def human() -> None:
        for one in found:
            gate = click.style(f"{one.gate:<12}", fg=COLOURS.get(one.gate))
            approval = f"{one.approval.lower()} by {one.approved_by}" if one.approved_by else one.approval.lower()
            score = leading(one.metrics)
            click.echo(f"{one.model} {one.version:<4} {one.stage:<12} {gate} {score}  {approval}")

    session.show(found, human)


@models.command()
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@click.option("--card", "document", flag_value="card", help="Print the model card, as Markdown.")
@click.option("--gate", "document", flag_value="gate", help="Print the gate report.")
@click.option("--markdown", is_flag=True, help="Print the gate report as Markdown.")
@click.option("--html", type=click.Path(path_type=Path), help="Write card or gate report to this file as a page.")
@pass_session
def show(
    session: Session, *, model: str, version: int, document: str | None, markdown: bool, html: Path | None
) -> None:
    """Show VERSION of MODEL: its card, its gate report, or its facts.

    Example: falaj models show fraud 1 --card
    """
    found = session.client().perform("model.show", ShowVersion(model, version), VersionDetail)
    if html is not None:
        if document is None:
            raise InputError("--html needs --card or --gate", hint=f"write --card --html {html}")
        with chosen_path(html):
            html.write_text(found.card_html if document == "card" else found.gate_html, encoding="utf-8")
        session.show({"written": str(html)}, lambda: click.echo(f"written {html}"))
        return
    text = {"card": found.card_markdown, "gate": found.gate_markdown}.get(document or "", "")

    def human() -> None:
        if document == "gate" and found.gate is not None and not markdown:
            for line in gate_lines(found.gate):
                click.echo(line)
            return
        if text:
            click.echo(text)
            return
        facts = found.version
        click.echo(f"{facts.model} {facts.version}  {facts.stage}  gate {facts.gate}  dataset {facts.dataset[:16]}")
        for name, value in facts.metrics.items():
            click.echo(f"  {name:<20} {'–' if value is None else f'{value:.5f}'}")

    session.show(found.gate if document == "gate" else found, human)
