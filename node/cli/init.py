"""``relayctl init``: writes the smallest useful configuration, asking for what the options leave open."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.errors import UsageError, explained
from node.cli.newfile import write_whole
from node.cli.output import SYSTEM_FILE, say, say_warning
from node.settings.reader import Surroundings, load, read
from node.settings.sources import Source
from node.settings.yamltree import plain_value

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9@._/-]*")
_QUESTIONS = {
    "tenant_id": ("--tenant-id", "Directory (tenant) id"),
    "domains": ("--domain", "Accepted domains, separated by commas"),
    "client_id": ("--client-id", "Application (client) id"),
    "secret_file": ("--secret-file", "File holding the application's secret"),
    "accounts": ("--account", "Service accounts (mailboxes), separated by commas"),
    "networks": ("--network", "Networks your applications send from, separated by commas"),
    "owner": ("--owner", "Mail address of who answers for them"),
}
Answers = dict[str, list[str]]


@explained
def init(
    output: Annotated[Path, typer.Argument(help="File to write.")] = SYSTEM_FILE,
    tenant_id: Annotated[str, typer.Option("--tenant-id")] = "",
    domain: Annotated[list[str] | None, typer.Option("--domain", help="Repeatable.")] = None,
    client_id: Annotated[str, typer.Option("--client-id")] = "",
    secret_file: Annotated[str, typer.Option("--secret-file", help="Only named; the secret is never asked for.")] = "",
    account: Annotated[list[str] | None, typer.Option("--account", help="Repeatable.")] = None,
    network: Annotated[list[str] | None, typer.Option("--network", help="Repeatable.")] = None,
    owner: Annotated[str, typer.Option("--owner")] = "",
    sender: Annotated[list[str] | None, typer.Option("--sender", help="Default: every address of the domains.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a configuration of seven lines: one tenant, its accounts, one group of clients. Checked before written."""
    if output.exists() and not force:
        raise UsageError(f"{output}: exists already; --force replaces it")
    given: Answers = {
        "tenant_id": [tenant_id] if tenant_id else [],
        "domains": domain or [],
        "client_id": [client_id] if client_id else [],
        "secret_file": [secret_file] if secret_file else [],
        "accounts": account or [],
        "networks": network or [],
        "owner": [owner] if owner else [],
    }
    answers = _complete(given)
    answers["senders"] = sender or [f"*@{name}" for name in answers["domains"]]
    text = smallest(answers)
    read(Source(name=str(output), text=text), base=output.absolute().parent, around=Surroundings(here=False))
    write_whole(output, text, replace=force)
    for warning in load(output, here=False).warnings:
        say_warning(warning)
    say(f"wrote {output}; next: put the secret into {answers['secret_file'][0]}, then `relayctl config check {output}`")


def smallest(answers: Answers) -> str:
    """Give the seven lines."""
    one = {key: _quoted(values[0]) for key, values in answers.items()}
    many = {key: f"[{', '.join(map(_quoted, values))}]" for key, values in answers.items()}
    return (
        "tenant:\n"
        f"  id: {one['tenant_id']}\n"
        f"  domains: {many['domains']}\n"
        f"  app: {{client_id: {one['client_id']}, secret: {{file: {one['secret_file']}}}}}\n"
        f"  service_accounts: {many['accounts']}\n"
        "clients:\n"
        f"  apps: {{networks: {many['networks']}, senders: {many['senders']}, owner: {one['owner']}}}\n"
    )


def _complete(given: Answers) -> Answers:
    """Ask a person for what is missing; tell a script which options it left out."""
    missing = [key for key, values in given.items() if not values]
    if missing and not sys.stdin.isatty():
        raise UsageError("give " + ", ".join(_QUESTIONS[key][0] for key in missing))
    for key in missing:
        answer = typer.prompt(_QUESTIONS[key][1])
        given[key] = [part.strip() for part in str(answer).split(",") if part.strip()]
        if not given[key]:
            raise UsageError(f"{_QUESTIONS[key][1]}: nothing given")
    return given


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and isinstance(plain_value(text), str):
        return text
    return json.dumps(text, ensure_ascii=False)  # YAML reads JSON's quoting the same


if __name__ == "__main__":
    typer.run(init)
