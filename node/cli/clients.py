"""``relayctl client``: list the clients, explain which one a session falls under, add one with a random password."""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import EXIT_PROBLEM, JsonOption, show, show_json
from node.cli.errors import UsageError, explained
from node.cli.newfile import write_whole
from node.cli.output import ConfigOption, config_file, read_config, say
from node.cli.passwords import FipsOption, hash_random, random_password
from node.cli.status import client_resume, clients_seen
from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.clients import ClientRule
from node.settings.mail import Client
from node.settings.model import Settings
from node.settings.places import dotted
from node.settings.reader import Loaded, Surroundings, read
from node.settings.rules import copies_in_force, intake_rules
from node.settings.sources import Source, read_source

client_app = typer.Typer(help="Who may send: list, explain, add.", no_args_is_help=True)
client_app.command("seen")(clients_seen)
client_app.command("resume")(client_resume)
_SENDER = Grammar(bare=True, utf8=True, literals=True, lenient=True)


@client_app.command("list")
@explained
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every client with what it is known by and what it may do."""
    settings = read_config(config).settings
    if as_json:
        show_json([_facts(settings, name, client) for name, client in settings.clients.items()])
        return
    rows = [_row(settings, name, client) for name, client in settings.clients.items()]
    titles = ("client", "known by", "senders", "plan", "copies", "owner", "passwords")
    show(rows, titles, empty="no clients: nobody may send")


def _row(settings: Settings, name: str, client: Client) -> tuple[str, ...]:
    copies, senders = copies_in_force(settings, name)[0].value, " ".join(client.senders)
    return name, _known_by(client), senders, client.plan or "", copies, client.owner or "", _validity(client)


def _facts(settings: Settings, name: str, client: Client) -> dict[str, Any]:
    facts = client.model_dump(mode="json", exclude={"passwords"}, exclude_none=True)
    until = [str(one.until) if one.until else None for one in client.passwords]
    copies, place = copies_in_force(settings, name)
    in_force = {"copies": copies.value, "copies_from": dotted(place)}
    return {"name": name, **facts, **in_force, "passwords": [{"until": day} for day in until]}


def _known_by(client: Client) -> str:
    parts = [str(network) for network in client.networks]
    parts += [f"user {client.user}"] if client.user else []
    parts += [f"certificate {client.certificate}"] if client.certificate else []
    return " ".join(parts)


def _validity(client: Client) -> str:
    return " ".join(f"until {one.until}" if one.until else "no end" for one in client.passwords)


@client_app.command("explain")
@explained
def explain(
    ip: Annotated[str, typer.Argument(help="Address the client connects from.")],
    sender: Annotated[str, typer.Argument(metavar="[FROM]", help="Sender it names.")] = "",
    user: Annotated[str, typer.Option("--user", help="User it logs in as.")] = "",
    certificate: Annotated[list[str] | None, typer.Option("--certificate", help="Name in its certificate.")] = None,
    listener: Annotated[str, typer.Option("--listener", help="Listener it connects to.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which client a session falls under and why, and whether it may use a sender. Exit 1 when it may not."""
    loaded = read_config(config)
    rules = intake_rules(loaded.settings, loaded.node or "localhost")
    demanded = _login_demanded(loaded, listener)
    names = tuple(certificate or ())
    rule = rules.clients.match(_address(ip), user, names, auth_required=demanded)
    lines = rules.clients.explain(ip, user, names, auth_required=demanded)
    allowed, about = _judged(rule, rules.rewriter.sender(_parsed(sender))[0] if sender else "")
    if as_json:
        show_json({"client": rule.name if rule else None, "why": list(lines), "sender": about, "allowed": allowed})
    else:
        for line in (*lines, about) if about else lines:
            say(line)
    if not allowed:
        raise typer.Exit(EXIT_PROBLEM)


def _judged(rule: ClientRule | None, sender: str) -> tuple[bool, str]:
    if rule is None:
        return False, ""
    if not sender:
        return True, ""
    if rule.senders.matches(sender):
        return True, f"sender {sender}: allowed"
    return False, f"sender {sender}: refused; {rule.name} may send as {', '.join(rule.senders.patterns)}"


def _login_demanded(loaded: Loaded, listener: str) -> bool:
    listeners = loaded.settings.listeners
    if listener and listener not in listeners:
        raise UsageError(f"there is no listener {listener!r}; listeners: {', '.join(listeners)}")
    return bool(listener) and listeners[listener].auth == "required"


def _address(ip: str) -> str:
    try:
        return str(ip_address(ip))
    except ValueError:
        raise UsageError(f"{ip!r}: expected an IP address such as 10.1.2.3") from None


def _parsed(sender: str) -> str:
    try:
        return parse_address(sender, _SENDER)
    except AddressError as error:
        raise UsageError(f"{sender!r}: {error}") from None


@client_app.command("add")
@explained
def add(
    name: Annotated[str, typer.Argument(help="Name of the client and of its file.")],
    sender: Annotated[list[str], typer.Option("--sender", help="Address or pattern it may send as; repeatable.")],
    network: Annotated[list[str] | None, typer.Option("--network", help="Only from here; repeatable.")] = None,
    user: Annotated[str, typer.Option("--user", help="User name; the client's name unless --network is given.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="One of the plans.")] = "",
    owner: Annotated[str, typer.Option("--owner", help="Address of who answers for it.")] = "",
    fips: FipsOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a client in a file of its own, with a random password that is printed once and nowhere kept."""
    path = config_file(config)
    main = read_source(path)
    target = _target(path, main, name)
    user = user or ("" if network else name)
    password = random_password() if user else ""
    text = _client_text(
        name,
        {
            "networks": network,
            "user": user,
            "passwords": [{"hash": hash_random(password, fips=fips)}] if user else None,
            "senders": sender,
            "plan": plan,
            "owner": owner,
        },
    )
    read(main, base=path.absolute().parent, around=_LOOKING, extra=[Source(name=str(target), text=text)])
    write_whole(target, text)
    if as_json:
        show_json({"name": name, "file": str(target), "user": user or None, "password": password or None})
        return
    say(f"wrote {target}; reload the node (SIGHUP) to let it in")
    if user:
        say(f"user: {user}")
        say(f"password (shown only now): {password}")


_LOOKING = Surroundings(here=False)


def _target(path: Path, main: Source, name: str) -> Path:
    """Choose the new file, in the directory the configuration names; refuse names that lead elsewhere."""
    loaded = read(main, base=path.absolute().parent, around=_LOOKING)
    directory = loaded.settings.clients_from
    if directory is None:
        raise UsageError(f"{path}: add a line `clients_from: {path.absolute().parent / 'clients.d'}` first")
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; make it first")
    if "/" in name or name.startswith("."):
        raise UsageError(f"{name!r}: expected a name of letters, digits, dots and dashes")
    target = directory / f"{name}.yaml"
    if target.exists():
        raise UsageError(f"{target}: exists already; nothing was changed")
    return target


def _client_text(name: str, keys: dict[str, Any]) -> str:
    """Write one client as YAML; every value as JSON, which YAML reads the same and which needs no quoting rules."""
    lines = [f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items() if value]
    return "\n".join(
        [f"# added {datetime.now(UTC):%Y-%m-%d} by relayctl client add", f"{json.dumps(name)}:", *lines, ""]
    )


if __name__ == "__main__":
    client_app()
