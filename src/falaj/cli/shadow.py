"""The command `falaj shadow`: let a version compute beside what decides, and see how it does."""

from collections.abc import Iterator

import click

from falaj.app.values.shadow import EndShadow, SetShadow, ShadowBeside, ShadowQuery, ShadowReport, ShadowSet
from falaj.cli.command import FalajCommand, Session, counted, pass_session, plain
from falaj.kernel.clock import from_us, rfc3339
from falaj.monitoring.metrics import Estimate
from falaj.monitoring.paired import Paired
from falaj.monitoring.performance import Quality


@click.command(cls=FalajCommand)
@click.argument("endpoint")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--weight", type=float, help="Share of units that it computes for, such as 0.2; 1 by default.")
@click.option("--end", is_flag=True, help="Let ENDPOINT have no shadow.")
@pass_session
def shadow(session: Session, *, endpoint: str, version: int | None, weight: float | None, end: bool) -> None:
    """Let VERSION compute what ENDPOINT is asked, beside what decides; without VERSION, show how its shadow does.

    Nobody is answered by a shadow, and nobody waits for it. It needs a gate report, and no approval.

    Example: falaj shadow fraud 3 --weight 0.2
    """
    if end and (version is not None or weight is not None):
        raise click.UsageError("--end takes no VERSION and no --weight")
    if version is None and weight is not None:
        raise click.UsageError("--weight needs a VERSION")
    client = session.client()
    if end:
        ended = client.perform("shadow.end", EndShadow(endpoint), ShadowSet)
        text = f"{endpoint}: version {ended.version} is no shadow any more{_in_force(ended.in_force_s)}"
        session.show(ended, lambda: click.echo(text))
    elif version is not None:
        wanted = SetShadow(endpoint, version, 1.0 if weight is None else weight)
        done = client.perform("shadow.set", wanted, ShadowSet)
        share = f"{done.weight * 100:g} % of units"
        text = f"{endpoint}: version {version} computes in the shadow for {share}{_in_force(done.in_force_s)}"
        session.show(done, lambda: click.echo(text))
    else:
        found = client.perform("shadow.show", ShadowQuery(endpoint), ShadowReport)
        session.show(found, lambda: click.echo("\n".join(_lines(found))))


def _in_force(seconds: float | None) -> str:
    return "" if seconds is None else f", in force in every worker after {seconds:.2f} s"


def _lines(found: ShadowReport) -> Iterator[str]:
    shadow = found.shadow
    until = "" if found.until_us is None else f" until {_when(found.until_us)}"
    state = "is" if found.until_us is None else "was"
    yield (
        f"{found.endpoint}: version {shadow.version} of {plain(found.model)} {state} the shadow "
        f"for {shadow.weight_percent:g} % of units since {_when(found.since_us)}{until}"
    )
    latency = "" if shadow.p99_ms is None else f", batches took p50 {shadow.p50_ms:.2f} ms, p99 {shadow.p99_ms:.2f} ms"
    yield (
        f"computed  {counted(shadow.requests, 'row')}, {counted(shadow.errors, 'error')}{latency}; "
        f"{counted(found.drops, 'row')} of all endpoints' shadows left out"
    )
    if not found.beside:
        yield "no request yet that it and a deciding version were both asked about"
    for beside in found.beside:
        yield from _beside(beside, shadow.version)
    if found.newest_only:
        yield "only the newest requests were looked at; there are more"


def _beside(beside: ShadowBeside, shadow: int) -> Iterator[str]:
    one = beside.comparison
    who = f"version {beside.version}"
    yield (
        f"beside    {who}: {counted(one.requests, 'request')}, {one.both:,} scored by both, "
        f"{one.shadow_failed:,} failed in the shadow alone, {one.live_failed:,} in {who} alone"
    )
    if one.difference is None:
        return
    d = one.difference
    yield (
        f"  scores      |difference| mean {d.mean_size:.4f}, p50 {d.p50_size:.4f}, p90 {d.p90_size:.4f}, "
        f"p99 {d.p99_size:.4f}, max {d.max_size:.4f}; mean difference {d.mean:+.4f}"
    )
    if one.changed is not None:
        yield (
            f"  decisions   {one.only_shadow + one.only_live:,} of {one.both:,} would change: {_percent(one.changed)}; "
            f"{one.only_shadow:,} positive by version {shadow} alone, {one.only_live:,} by {who} alone"
        )
    yield from _quality(one.shadow_quality, f"version {shadow}")
    yield from _quality(one.live_quality, who)
    if one.paired is not None and one.paired.outcomes:
        yield f"  paired      {_paired(one.paired, shadow, beside.version)}"


def _paired(one: Paired, shadow: int, live: int) -> str:
    better, worse = (shadow, live) if one.less.value >= 0 else (live, shadow)
    proven = "is better than" if one.less.lower > 0 or one.less.upper < 0 else "is not proven to be better than"
    return (
        f"{one.by} {one.live:.4f} by version {live}, {one.shadow:.4f} by version {shadow}: {_interval(one.less)} less "
        f"on {counted(one.outcomes, 'outcome')}, however often one looks: version {better} {proven} version {worse}"
    )


def _quality(quality: Quality, who: str) -> Iterator[str]:
    if not quality.labelled:
        early = f"; {counted(quality.early, 'outcome')} too early to count" if quality.early else ""
        yield f"  realised    {who}: no outcome yet{early}"
        return
    shown = ", ".join(f"{name} {_interval(one)}" for name, one in quality.metrics.items())
    doubt = "" if quality.outcome == "PASS" else f" ({plain(quality.reason)})"
    yield f"  realised    {who}: {counted(quality.labelled, 'outcome')}: {shown}{doubt}"


def _interval(one: Estimate) -> str:
    return f"{one.value:.4f} [{one.lower:.4f}, {one.upper:.4f}]"


def _percent(one: Estimate) -> str:
    return f"{one.value:.2%} [{one.lower:.2%}, {one.upper:.2%}]"


def _when(at_us: int) -> str:
    return rfc3339(from_us(at_us))[:19] + "Z"
