"""``relayctl m365`` whole: what only reads the configuration, and the check, which opens connections of its own."""

from typing import Annotated

import typer

from node.cli import common
from node.cli.checks import show_findings
from node.cli.m365 import m365_app
from node.cli.output import ConfigOption, read_config
from node.cli.remote import WrongUseError

__all__ = ("m365_app",)


@m365_app.command("check")
@common.told
def check(
    config: ConfigOption = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant.")] = "",
    sends: Annotated[bool, typer.Option("--send/--no-send", help="Send tests, to the accounts themselves.")] = True,
    to: Annotated[str, typer.Option("--to", help="Send them to this address instead.")] = "",
    pairs: Annotated[int, typer.Option("--pairs", min=0, max=1000, help="From addresses tried with an account.")] = 10,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only what is doubtful or will fail.")] = False,
    as_json: common.JsonOption = False,
) -> None:
    """Test every account and path of the configuration end to end, and name the cause of what fails."""
    from node.app.checking import Options, run_check  # noqa: PLC0415 - only this command needs the delivery's parts

    loaded = read_config(config)
    if tenant and tenant not in loaded.settings.tenants:
        raise WrongUseError(f"there is no tenant {tenant!r}; tenants: {', '.join(loaded.settings.tenants)}")
    found = run_check(loaded, Options(tenant=tenant, sends=sends, pairs=pairs, to=to))
    show_findings(found, as_json=as_json, quiet=quiet)
