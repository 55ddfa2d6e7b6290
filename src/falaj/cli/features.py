"""Commands about features: materialise, read, verify, show as SQL."""

from collections import defaultdict

import click
import msgspec

from falaj.app.values.features import Materialise, OnlineFeatures, OnlineQuery, SqlQuery, SqlText, Verify, VerifyResult
from falaj.cli.command import FalajGroup, Session, pass_session, plain
from falaj.cli.prediction import pairs
from falaj.lifecycle.caught_up import CaughtUp

OUTCOME_COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow"}
_PIECE_S = 2.0
MISMATCH = 11
"""Exit code of `falaj features verify` when it does not pass."""


@click.group(cls=FalajGroup)
def features() -> None:
    """Features: materialise, read, verify, show as SQL."""


@features.command()
@click.argument("views", nargs=-1, metavar="[VIEW]...")
@pass_session
def materialise(session: Session, *, views: tuple[str, ...]) -> None:
    """Bring the online store up to the rows, for VIEWs and those that read the same sources, or for all.

    A running control does this by itself. Whatever stops it, the next time goes on from there.

    Example: falaj features materialise
    """
    client, seconds = session.client(), defaultdict[str, float](float)
    while True:
        found = client.perform("features.materialise", Materialise(views, _PIECE_S), list[CaughtUp])
        for one in found:
            seconds[one.source] += one.seconds
        if all(one.done for one in found):
            break
        for one in found:
            if not one.done:
                session.say(f"{one.source}: row {one.applied_seq:,} of {one.head:,}, {seconds[one.source]:.0f} s")
    done = [msgspec.structs.replace(one, seconds=seconds[one.source]) for one in found]

    def human() -> None:
        for one in done:
            click.echo(f"{one.source}: {len(one.views)} views up to row {one.applied_seq:,}, {one.seconds:.1f} s")

    session.show(done, human)


@features.command()
@click.argument("service")
@click.option("--entity", "entities", multiple=True, metavar="KEY=VALUE", help="An entity key; repeatable.")
@click.option("--at", help="The instant, RFC 3339; now by default.")
@pass_session
def get(session: Session, *, service: str, entities: tuple[str, ...], at: str | None) -> None:
    """Read the stored features of SERVICE for one entity.

    Example: falaj features get fraud --entity customer_id=17 --entity terminal_id=4
    """
    query = OnlineQuery(service, [pairs(entities)], at)
    found = session.client().perform("features.online", query, OnlineFeatures)

    def human() -> None:
        for name, value, state in zip(found.columns, found.values[0], found.statuses[0], strict=True):
            click.echo(f"{name:<44} {plain(value):>22}  {state}")

    session.show(found, human)


@features.command()
@click.argument("view")
@click.option("--engine", default="duckdb", show_default=True, help="duckdb, postgres, spark, bigquery or snowflake.")
@pass_session
def sql(session: Session, *, view: str, engine: str) -> None:
    """Print the feature view VIEW as the SQL text of an engine.

    The text of bigquery and snowflake is not executed by this project; try it before you rely on it. Features that the
    engine cannot compute as they are meant are left out, and named in the comment.

    Example: falaj features sql card_activity --engine bigquery
    """
    found = session.client().perform("features.sql", SqlQuery(view, engine), SqlText)
    session.show(found, lambda: click.echo(found.text))


@features.command()
@click.option("--endpoint", default="", help="Only decisions of this endpoint.")
@click.option("--sample", type=click.IntRange(1), default=1000, show_default=True, help="Most decisions to check.")
@pass_session
@click.pass_context
def verify(context: click.Context, session: Session, *, endpoint: str, sample: int) -> None:
    """Recompute served features from the tables and report every mismatch.

    Example: falaj features verify --sample 500
    """
    found = session.client().perform("features.verify", Verify(endpoint, sample), VerifyResult)

    def human() -> None:
        click.echo(f"{click.style(found.outcome, fg=OUTCOME_COLOURS[found.outcome], bold=True)}  {found.reason}")
        click.echo(
            f"  {found.decisions:,} decisions, {found.compared:,} values compared, "
            f"{found.non_default_share:.1%} of them not defaults, {found.changed_since:,} changed by late data since"
        )
        for view, values in found.changed_by_view.items():
            click.echo(f"    {plain(view)}: {values:,} changed since")
        for reason, times in found.skipped.items():
            click.echo(f"  left out, {times:,} times: {plain(reason)}")
        for one in found.mismatches[:20]:
            served, recomputed = plain(one["served"]), plain(one["recomputed"])
            click.echo(f"  {one['request_id']} {one['column']}: served {served}, recomputed {recomputed}")
            click.echo(f"    {plain(one['reason'])}")

    session.show(found, human)
    if found.outcome != "PASS":
        context.exit(MISMATCH)
