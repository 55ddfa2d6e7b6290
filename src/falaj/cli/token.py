"""Commands about tokens."""

import click

from falaj.app.values.token import CreatedToken, CreateToken, Revoked, RevokeToken, TokenQuery
from falaj.cli.command import FalajGroup, Session, pass_session
from falaj.governance.tokens import TokenRecord
from falaj.kernel.clock import SystemClock, from_us, rfc3339, to_us


@click.group(cls=FalajGroup)
def token() -> None:
    """Tokens and the actors they present."""


@token.command()
@click.option("--actor", required=True, help="Whom the token presents.")
@click.option("--role", help="Create the actor with this role if there is none: engineer, approver, service, viewer.")
@click.option("--scope", "scopes", multiple=True, help="Narrow the role, like endpoint.predict@fraud; repeatable.")
@click.option("--expires", help="How long it lasts, like 30d; for ever by default.")
@click.option("--rate", help="Rows that the gateway lets it ask for in a time, like 1000/s; any number by default.")
@click.option("--burst", type=click.IntRange(min=1), help="Rows that may come at once; as many as one period's.")
@click.option("--tenant", default="", help="Share the limit that falaj.toml gives this tenant.")
@pass_session
def create(
    session: Session, *, actor: str, role: str | None, scopes: tuple[str, ...], expires: str | None, rate: str | None,
    burst: int | None, tenant: str,
) -> None:  # fmt: skip
    """Make a token; its text is shown this once.

    Example: falaj token create --actor risk-officer --role approver
    """
    if burst is not None and rate is None:
        raise click.UsageError("--burst needs --rate")
    full = rate if burst is None else f"{rate} burst {burst}"
    params = CreateToken(actor, role, scopes or ("*",), expires, full, tenant)
    made = session.client().perform("token.create", params, CreatedToken)
    session.show(made, lambda: click.echo(made.token))


@token.command("list")
@click.option("--actor", default="", help="Only this actor's.")
@pass_session
def list_(session: Session, *, actor: str) -> None:
    """List tokens, without their secrets.

    Example: falaj token list
    """
    tokens = session.client().perform("token.list", TokenQuery(actor), list[TokenRecord])

    def human() -> None:
        now_us = to_us(SystemClock().now())
        for one in tokens:
            over = one.expires is not None and one.expires <= now_us
            state = "revoked" if one.revoked else "expired" if over else "in force"
            expires = f", {'since' if over else 'until'} {rfc3339(from_us(one.expires))}" if one.expires else ""
            limits = f", {one.rate}" if one.rate else ""
            tenant = f", tenant {one.tenant}" if one.tenant else ""
            click.echo(f"{one.id}  {one.actor}  {state}{expires}{limits}{tenant}  {' '.join(one.scopes)}")

    session.show(tokens, human)


@token.command()
@click.argument("token_id")
@pass_session
def revoke(session: Session, *, token_id: str) -> None:
    """End a token now.

    Example: falaj token revoke tok_01kb8z...
    """
    done = session.client().perform("token.revoke", RevokeToken(token_id), Revoked)
    session.show(done, lambda: click.echo(f"{done.token_id} is revoked"))
