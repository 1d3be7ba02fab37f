"""``relayctl token`` and ``relayctl audit``: who may use the API over the network, and who did what on this node."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from node.audit import files_in, lines_of
from node.cli.common import JsonOption, SocketOption, clean, connect, console, show, show_json, styled, told
from node.cli.errors import UsageError
from node.cli.output import ConfigOption, read_config
from node.policy.chain import first_fault
from node.policy.passwords import token_digest
from node.policy.proof import of_token
from node.settings.host import RoleName
from node.settings.when import show_ms

token_app = typer.Typer(help="Tokens for the API over the network.", no_args_is_help=True)
audit_app = typer.Typer(help="Who did what on this node.", no_args_is_help=True)
ROLES: Final = get_args(RoleName)
TOKEN_BYTES: Final = 32
DAYS_MAX: Final = 730


@token_app.command("make")
@told
def make(
    name: Annotated[str, typer.Argument(help="Whose it is; appears in the audit.")],
    role: Annotated[str, typer.Option("--role", help="viewer, operator or admin.")] = "viewer",
    days: Annotated[int, typer.Option("--days", help="How long it is good.")] = 365,
    as_json: JsonOption = False,
) -> None:
    """Make a token: print it, once, and the lines for the configuration, which hold its hash alone."""
    if role not in ROLES:
        raise UsageError(f"--role {role}: expected one of {', '.join(ROLES)}")
    if not 1 <= days <= DAYS_MAX:
        raise UsageError(f"--days {days}: expected 1 to {DAYS_MAX}")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    until: date = datetime.now(UTC).date() + timedelta(days=days)
    held = {
        "hash": f"sha256:{token_digest(token)}",
        "sign": f"ed25519:{of_token(token).key.hex()}",
        "role": role,
        "until": until.isoformat(),
    }
    if as_json:
        show_json({"token": token, "admin": {"tokens": {name: held}}})
        return
    console.print(styled(f"token: {token}"))
    console.print(styled(f"admin: {{tokens: {{{name}: {lines_for(held)}}}}}"))


@token_app.command("once")
@told
def once(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Make a token for one sign-in to this node's console within the hour: for the first administrator."""
    made = connect(socket).post("/v1/sign-in/once", {})
    if as_json:
        show_json(made)
        return
    console.print(styled(f"token: {made['token']}"))
    console.print(styled(f"good for one sign-in until {show_ms(made['until_ms'])[:16]} UTC", "dim"))


def lines_for(held: Mapping[str, str]) -> str:
    """Write a token's part of the configuration."""
    words = (f'{key}: "{value}"' if ":" in value else f"{key}: {value}" for key, value in held.items())
    return f"{{{', '.join(words)}}}"


@audit_app.command("check")
@told
def check(config: ConfigOption = None, directory: Annotated[Path | None, typer.Option("--directory")] = None) -> None:
    """Check that no entry was changed, taken out or put in; exit code 1 if one was."""
    files = files_in(_directory(config, directory))
    fault = first_fault(lines_of(files))
    if fault:
        console.print(styled(fault, "red"))
        raise typer.Exit(1)
    last = json.loads(list(lines_of(files[-1:]))[-1][1]) if files else {}
    console.print(styled(f"whole: {last.get('n', 0)} entries, the last with hash {last.get('hash', '-')}"))


@audit_app.command("list")
@told
def list_(
    config: ConfigOption = None,
    directory: Annotated[Path | None, typer.Option("--directory")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest entries, oldest first."""
    entries = [json.loads(line) for _, line in lines_of(files_in(_directory(config, directory))[-2:])][-limit:]
    if as_json:
        show_json(entries)
        return
    rows = [tuple(clean(str(text)) for text in _row(one)) for one in entries]
    show(rows, ("entry", "when (UTC)", "who", "from", "what", "details"), empty="nothing was done")


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    facts = json.dumps(entry.get("facts", {}), ensure_ascii=False)
    return entry["n"], entry["at"], entry.get("actor"), entry.get("from", ""), entry["event"], facts


def _directory(config: Path | None, directory: Path | None) -> Path:
    return directory if directory is not None else read_config(config).settings.spool / "audit"
