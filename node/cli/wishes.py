"""What operators wish of the whole cluster: ``pause``, ``hold``, ``drain``, ``vip``. The local node signs it."""

import math
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.cluster import coordinator_of, show_addresses
from node.cli.common import JsonOption, SocketOption, connect, console, show_json, styled, told
from node.cli.remote import ClusterSilentError, RefusedError, Remote, WrongUseError
from node.settings.when import show_ms, span_s

LOOK_S: Final = 0.2
WhyOption = Annotated[str, typer.Option("--reason", help="Why; everybody sees it.")]
EndOption = Annotated[bool, typer.Option("--end", help="End the wish.")]
vip_app = typer.Typer(help="Virtual addresses.", no_args_is_help=True)


@told
def pause(
    for_: Annotated[str, typer.Option("--for", help="For how long, such as 2h; at most 7d.")] = "",
    end: EndOption = False,
    reason: WhyOption = "",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Forbid takeovers and adoptions in the whole cluster for a while: before hypervisor or storage work."""
    if bool(for_) == end:
        raise WrongUseError("say either --for TIME or --end")
    wish(socket, as_json, kind="pause", on=not end, reason=reason, for_s=seconds(for_))


@told
def hold(
    scope: Annotated[str, typer.Argument(help="all, tenant/NAME, client/NAME or path/TENANT/KIND.")] = "all",
    for_: Annotated[str, typer.Option("--for", help="For how long, such as 30m; until --end when absent.")] = "",
    end: EndOption = False,
    reason: WhyOption = "",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Accept and keep mail on every node, but send nothing of a scope, or nothing at all."""
    wish(socket, as_json, kind="hold", what=scope, on=not end, reason=reason, for_s=seconds(for_))


@told
def drain(
    node: Annotated[str, typer.Argument(help="Node; this host's when absent.")] = "",
    end: EndOption = False,
    reason: WhyOption = "",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Let a node give away its addresses and its queue and take nothing new, until ended."""
    remote = connect(socket)
    named = node or remote.get("/v1/status")["node"]
    wish(socket, as_json, kind="drain", what=named, on=not end, reason=reason)


@vip_app.command("list")
@told
def vip_list(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """List virtual addresses with their holders, as this host's coordinator sees them."""
    addresses = _coordinator(connect(socket))["addresses"]
    show_json(addresses) if as_json else show_addresses(addresses)


@vip_app.command("move")
@told
def vip_move(
    name: Annotated[str, typer.Argument(help="Address by its name in the configuration.")],
    to: Annotated[str, typer.Option("--to", help="Node that shall hold it.")] = "",
    end: EndOption = False,
    reason: WhyOption = "",
    for_: Annotated[str, typer.Option("--for", help="How long the wish keeps it there; at most 1h.")] = "10m",
    wait: Annotated[str, typer.Option("--wait", help="How long to wait for it; 0s: not at all.")] = "15s",
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Move an address to a node and wait until it is there; exit code 1 if it is not in time."""
    if bool(to) == end:
        raise WrongUseError("say either --to NODE or --end")
    patience_s = span_s(wait)
    wish(socket, as_json, kind="move", what=name, to=to, on=not end, reason=reason, for_s=0 if end else seconds(for_))
    if end or not patience_s:
        return
    holder = _held_by(connect(socket), name, to, patience_s)
    if holder != to:
        raise RefusedError(f"{name} is still held by {holder or 'nobody'}; the wish stands until its end")
    if not as_json:
        console.print(styled(f"{name} is held by {to}"))


def _held_by(remote: Remote, name: str, wanted: str, patience_s: float) -> str | None:
    """Wait until the coordinator says that the address is where it shall be; give who holds it at the end."""
    until_s = time.monotonic() + patience_s
    while True:
        addresses = {each["name"]: each["holder"] for each in _coordinator(remote)["addresses"]}
        holder = addresses.get(name)
        if holder == wanted or time.monotonic() > until_s:
            return holder
        time.sleep(LOOK_S)


def _coordinator(remote: Remote) -> dict[str, Any]:
    found = coordinator_of(remote)
    if found is None:
        raise ClusterSilentError("this host's coordinator does not answer")
    return found


def wish(socket: Path | None, as_json: bool, **order: Any) -> None:
    """Make a wish and show it; raises WrongUseError without a reason."""
    if not order["reason"]:
        raise WrongUseError("--reason is needed: everybody will see the wish and ask why")
    made = connect(socket).post("/v1/wishes", order)
    if as_json:
        show_json(made)
        return
    about = " ".join(part for part in (made["kind"], made["what"], made["to"] and f"to {made['to']}") if part)
    until = f" until {show_ms(made['until_ms'])[:19]} UTC" if made["until_ms"] else ""
    console.print(styled(f"{about}{until}" if made["on"] else f"{about}: ended"))


def seconds(text: str) -> int:
    """Read a length of time in whole seconds, rounded up; 0 for empty text."""
    return math.ceil(span_s(text)) if text else 0
