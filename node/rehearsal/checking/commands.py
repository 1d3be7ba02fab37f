"""``rehearse check``: read histories from files, decide, print; exit 1 when an invariant did not hold."""

import datetime as dt
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from node.rehearsal.checking.check import check
from node.rehearsal.checking.files import read_history
from node.rehearsal.checking.records import Any, Kept, Unknown
from node.rehearsal.checking.verdict import Verdict
from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.ledger import read_ledger
from node.rehearsal.load.sources import read_ids, read_kept

LISTED = 20  # violations shown to a person; --json gives all


def checking(
    history: Annotated[Path, typer.Argument(help="History of `rehearse m365 --history`.")],
    ledger: Annotated[list[Path], typer.Option(help="Ledger of `rehearse load`; may be repeated.")],
    done: Annotated[list[Path] | None, typer.Option(help="What a drill did (its history); may be repeated.")] = None,
    kept: Annotated[Path | None, typer.Option(help="What the relay still has: `queue list --json`, or ids.")] = None,
    unknown: Annotated[Path | None, typer.Option(help="Ids the relay lists as of unknown outcome.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Decide from recorded histories alone: nothing lost (I1), limits kept (I2), no silent duplicate (I5)."""
    try:
        others = [one for path in done or () for one in read_history(path)]
        verdict = check(
            chain.from_iterable(read_ledger(path) for path in ledger),
            read_history(history),
            [*others, *_said(kept, unknown)],
        )
    except RehearsalInputError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(json.dumps(msgspec.to_builtins(verdict)) if as_json else as_text(verdict))
    if not verdict.holds:
        raise typer.Exit(1)


def _said(kept: Path | None, unknown: Path | None) -> Iterable[Any]:
    if kept is not None:
        for one in read_kept(kept):
            yield Kept(at_ms=0.0, id=one.id, recipient=one.recipient, state=one.state)
    if unknown is not None:
        yield from (Unknown(at_ms=0.0, id=name) for name in read_ids(unknown))


def as_text(verdict: Verdict) -> str:
    """Give the verdict for a person: figures, then violations with their evidence."""
    explained = sum(bool(one.why) for one in verdict.duplicates)
    lines = [
        f"accepted {verdict.accepted} (recipients of {verdict.accepted_messages} messages)",
        f"delivered {verdict.delivered}, in the relay {verdict.kept}, lost {verdict.lost}",
        f"delivered again {len(verdict.duplicates)}, of these {explained} after an unknown outcome",
        *(
            f"{scope}: at most " + ", ".join(f"{most} {measure}" for measure, most in found.items())
            for scope, found in sorted(verdict.worst.items())
        ),
    ]
    for one in verdict.violations[:LISTED]:
        lines.append(f"VIOLATION {one.invariant} {one.what} at {_clock(one.at_ms)}: {one.subject} {one.text}")
        lines += [f"    {line}" for line in one.evidence]
    if len(verdict.violations) > LISTED:
        lines.append(f"… and {len(verdict.violations) - LISTED} more violations; --json gives all")
    lines.append("all invariants held" if verdict.holds else f"{len(verdict.violations)} violations")
    return "\n".join(lines)


def _clock(at_ms: float) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
