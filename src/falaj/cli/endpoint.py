"""Commands about endpoints: deploy, rollback, undeploy."""

import click

from falaj.app.values.endpoint import Deploy, Rollback, RolledBack, Undeploy, Undeployed
from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.lifecycle.promoted import Promoted


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@click.option("--version", type=click.IntRange(1), help="The newest whose gate passed by default.")
@pass_session
def deploy(session: Session, *, endpoint: str, version: int | None) -> None:
    """Roll a version out to ENDPOINT: at once where nothing serves, as a canary otherwise.

    Without an approval it waits for one, and begins by itself when it comes.

    Example: falaj deploy fraud
    """
    client = session.client()
    done = client.perform("endpoint.deploy", Deploy(endpoint, version), Promoted)

    def human() -> None:
        click.echo(f"{endpoint}: version {done.version} {done.state}: {done.reason}{_in_force(done.in_force_s)}")
        if done.state == "rolling out" and client.control() is None:
            click.echo("the canary grows while 'falaj up' runs")

    session.show(done, human)


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@click.option("--reason", default="asked for", show_default=True, help="Kept in the audit record.")
@pass_session
def rollback(session: Session, *, endpoint: str, reason: str) -> None:
    """Return ENDPOINT to the version that served before, within a second.

    Example: falaj rollback fraud --reason "customers complain"
    """
    done = session.client().perform("endpoint.rollback", Rollback(endpoint, reason), RolledBack)
    serves = ", ".join(map(str, done.serves))
    text = f"{endpoint}: version {done.withdrawn} withdrawn, version {serves} serves{_in_force(done.in_force_s)}"
    session.show(done, lambda: click.echo(text))


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@pass_session
def undeploy(session: Session, *, endpoint: str) -> None:
    """Stop serving ENDPOINT.

    Example: falaj undeploy fraud
    """
    done = session.client().perform("endpoint.undeploy", Undeploy(endpoint), Undeployed)
    session.show(done, lambda: click.echo(f"{done.endpoint} serves nothing now"))


def _in_force(seconds: float | None) -> str:
    return "" if seconds is None else f", in force in every worker after {seconds:.2f} s"
