"""``rehearse load`` and ``rehearse reconcile``: read options, run, print; exit 1 when mail was lost."""

import json
import ssl
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.client import Target
from node.rehearsal.load.ledger import LedgerWriter, read_ledger
from node.rehearsal.load.plan import Plan, Tls, read_priorities, read_sizes
from node.rehearsal.load.reconcile import Reconciliation, reconcile
from node.rehearsal.load.runner import Load, Pace
from node.rehearsal.load.sources import read_arrivals, read_ids, read_kept
from node.rehearsal.loop import on_stop_signal
from node.rehearsal.loop import run as run_loop

LISTED = 20  # findings of each kind shown to a person; --json gives all


def load(  # noqa: PLR0917 - typer passes every option by name
    to: Annotated[list[str], typer.Option("--server", help="Relay as host:port; repeat to spread sessions.")],
    ledger: Annotated[Path, typer.Option(help="Where every answer is written (appended).")],
    count: Annotated[int, typer.Option(help="Messages.", min=1)] = 1000,
    sessions: Annotated[int, typer.Option(help="Sessions at once.", min=1, max=10_000)] = 10,
    per_connection: Annotated[int, typer.Option(help="Messages per connection; 0: keep it open.", min=0)] = 0,
    rate: Annotated[float, typer.Option(help="Messages a second; 0: full speed.", min=0)] = 0.0,
    size: Annotated[str, typer.Option(help="Sizes with weights: 4KiB or 4KiB:80,1MiB:5.")] = "4KiB",
    sender: Annotated[list[str] | None, typer.Option(help="Sender; {n} counts; may be repeated.")] = None,
    recipient: Annotated[list[str] | None, typer.Option(help="Recipient; {n} counts; may be repeated.")] = None,
    recipients_each: Annotated[int, typer.Option(help="Recipients per message.", min=1)] = 1,
    priority: Annotated[str | None, typer.Option(help="Classes: urgent:10,normal:80,bulk:10.")] = None,
    tls: Annotated[Tls, typer.Option(help="Protection of the connection.")] = Tls.NONE,
    ca: Annotated[Path | None, typer.Option(help="CA that signed the relay's certificate.")] = None,
    server_name: Annotated[str, typer.Option(help="Name to verify instead of the host.")] = "",
    login: Annotated[
        Path | None, typer.Option(help="File with user:password, one a line; sessions take turns.")
    ] = None,
    give_up: Annotated[float, typer.Option(help="Seconds to try one message.")] = 600.0,
    back_off: Annotated[float, typer.Option(help="Longest wait between two tries, in seconds.", min=0.1)] = 5.0,
    run: Annotated[str, typer.Option(help="Name of the run, part of every id.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of sizes and priorities.")] = 0,
) -> None:
    """Send synthetic mail, remember every answer, and print statistics as JSON."""
    try:
        plan = Plan(
            run=run or f"r{time.time_ns() // 1_000_000:x}",
            count=count,
            senders=tuple(sender or ("app{n}@contoso.com",)),
            recipients=tuple(recipient or ("someone{n}@example.com",)),
            recipients_each=recipients_each,
            sizes=read_sizes(size),
            priorities=read_priorities(priority) if priority else (),
            seed=seed,
        )
        targets = _targets(to, tls, ca, server_name, login)
    except RehearsalInputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    pace = Pace(
        sessions=sessions,
        per_second=rate,
        per_connection=per_connection,
        back_off_longest_s=back_off,
        give_up_s=give_up,
    )
    with LedgerWriter(ledger) as writer:
        stats = run_loop(_run(Load(plan, targets, pace, writer)))
    typer.echo(json.dumps({"run": plan.run, **stats}))
    if stats.get("given_up") or stats.get("accepted", 0) < count:
        raise typer.Exit(1)


def reconciliation(
    ledger: Annotated[Path, typer.Argument(help="Ledger of `rehearse load`.")],
    arrivals: Annotated[str, typer.Argument(help="Simulator's control URL, or its report at exit.")],
    spool_status: Annotated[Path | None, typer.Option(help="What the relay still has: JSON or ids.")] = None,
    unknown: Annotated[Path | None, typer.Option(help="Ids of attempts whose outcome the relay never learned.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare promises with arrivals: lost, duplicated, extra. Exit 0 only if nothing is lost."""
    try:
        result = reconcile(
            read_ledger(ledger),
            read_arrivals(arrivals),
            read_kept(spool_status) if spool_status else (),
            read_ids(unknown) if unknown else (),
        )
    except RehearsalInputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(_as_json(result) if as_json else _as_text(result))
    if result.lost:
        raise typer.Exit(1)


async def _run(work: Load) -> dict[str, Any]:
    on_stop_signal(work.stop)
    return await work.run()


def _targets(to: list[str], tls: Tls, ca: Path | None, server_name: str, login: Path | None) -> tuple[Target, ...]:
    context = None
    try:
        if tls is not Tls.NONE:
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
        logins = login.read_text("utf-8").split() if login else [""]
    except (OSError, ssl.SSLError) as error:
        raise RehearsalInputError(f"{ca or login}: cannot be used: {error}") from error
    targets = []
    for place in to:
        host, colon, port = place.rpartition(":")
        if not colon or not port.isdigit():
            raise RehearsalInputError(f"server: expected host:port, not {place!r}")
        for one in logins:
            user, _, password = one.partition(":")
            targets.append(
                Target(
                    host=host.strip("[]"),
                    port=int(port),
                    tls=tls,
                    context=context,
                    server_name=server_name,
                    user=user,
                    password=password,
                )
            )
    return tuple(targets)


def _as_json(result: Reconciliation) -> str:
    plain = msgspec.to_builtins(result) | {"unexplained": result.unexplained}
    return msgspec.json.encode(plain).decode()


def _as_text(result: Reconciliation) -> str:
    kept = ", ".join(f"{count} {state}" for state, count in sorted(result.kept.items())) or "none"
    lines = [
        f"promised    {result.accepted} recipients of {result.accepted_messages} messages",
        f"delivered   {result.delivered}",
        f"in relay    {kept}",
        f"lost        {len(result.lost)}",
        f"duplicated  {len(result.duplicated)} ({result.unexplained} repetitions unexplained)",
        f"extra       {len(result.extra)}",
    ]
    lines += [f"  lost: {one.id} {one.queue_id} to {one.recipient}" for one in result.lost[:LISTED]]
    lines += [
        f"  duplicated: {one.id} {one.queue_id} to {one.recipient}: {one.count} times, {one.explained} explained; "
        "tries: " + ", ".join(f"{entry.attempt} {entry.result}" for entry in one.attempts)
        for one in result.duplicated[:LISTED]
    ]
    lines += [f"  extra: {one.id} to {one.recipient}" for one in result.extra[:LISTED]]
    return "\n".join(lines)
