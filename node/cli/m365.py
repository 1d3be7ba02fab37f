"""``relayctl m365``: what has to be done in Microsoft 365, whether it was, and what came back from there."""

import sys
from typing import Annotated, Any

import typer

from node.cli.common import (
    EXIT_PROBLEM,
    JsonOption,
    SocketOption,
    connect,
    console,
    show,
    show_json,
    told,
)
from node.cli.errors import UsageError, explained
from node.cli.output import ConfigOption, read_config, say_warning
from node.cli.remote import WrongUseError
from node.errors import RelayError
from node.settings.when import show_ms
from node.setup.plan import setup_text, steps_for

TenantOption = Annotated[str, typer.Option("--tenant", help="Only this tenant.")]
m365_app = typer.Typer(no_args_is_help=True, help="Set up Microsoft 365, check it, see what came back from it.")


@m365_app.command()
@explained
def setup(config: ConfigOption = None, tenant: TenantOption = "", as_json: JsonOption = False) -> None:
    """Print the steps in Microsoft 365 for this configuration, with least privilege; nothing is changed anywhere."""
    loaded = read_config(config)
    settings = loaded.settings
    for warning in loaded.warnings:
        say_warning(warning)
    names = [tenant] if tenant else list(settings.tenants)
    if tenant and tenant not in settings.tenants:
        raise UsageError(f"there is no tenant {tenant!r}; tenants: {', '.join(settings.tenants)}")
    if as_json:
        show_json({name: [_plain(section) for section in steps_for(settings, name)] for name in names})
        return
    typer.echo("\n".join(setup_text(settings, name) for name in names), nl=False)


def _plain(section: Any) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.__struct_fields__}


@m365_app.command()
@told
def reports(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
    export: Annotated[int, typer.Option("--export", min=0, help="Print the beginning of one that is kept.")] = 0,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """List the mailboxes read for reports of failed delivery, and reports that fitted nothing (of this node)."""
    remote = connect(socket)
    if export:
        if sys.stdout.isatty():
            raise WrongUseError("a stranger's report is not shown on a terminal: send the output to a file")
        remote.download(f"/v1/reports/{export}/body", sys.stdout.buffer.write)
        return
    view = remote.get("/v1/reports", limit=limit)
    if as_json:
        show_json(view)
        return
    rows = [(one["mailbox"], one["tenant"], _when(one["read_ms"]), one["trouble"]) for one in view["mailboxes"]]
    show(rows, ("mailbox", "tenant", "read (UTC)", "trouble"), empty="no mailbox is read for reports")
    for tenant, address in view["return_path"].items():
        console.print(f"return path of {tenant}: {address}", markup=False)
    kept = [(one["id"], _when(one["at_ms"]), one["outcome"], one["why"], one["came"]) for one in view["kept"]]
    show(kept, ("number", "came (UTC)", "outcome", "why", "to"), empty="no report was kept aside")
    if any(one["trouble"] for one in view["mailboxes"]):
        raise typer.Exit(EXIT_PROBLEM)


@m365_app.command()
@told
def suppressed(
    remove: Annotated[str, typer.Option("--remove", help="Take an address off the list.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 100,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """List addresses that failed for good (of this node); they are refused only if the configuration says so."""
    remote = connect(socket)
    if remove:
        if not remote.post("/v1/suppressed/remove", {"address": remove})["changed"]:
            raise NotSuppressedError(remove)
        console.print("removed", markup=False)
        return
    view = remote.get("/v1/reports", limit=limit)
    if as_json:
        show_json(view["suppressed"])
        return
    console.print(f"mode: {view['suppression']}", markup=False)
    rows = [(one["address"], one["times"], _when(one["last_ms"]), one["reason"]) for one in view["suppressed"]]
    show(rows, ("address", "failures", "last (UTC)", "reason"), empty="no address is listed")


class NotSuppressedError(RelayError):
    """The address is not on the list."""

    def __init__(self, address: str) -> None:
        """Name it."""
        super().__init__(f"{address} is not on the list")


def _when(at_ms: int) -> str:
    return show_ms(at_ms)[:19] if at_ms else "never"
