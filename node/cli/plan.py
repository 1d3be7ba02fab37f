"""``relayctl plan``: a volume of mail in, accounts, paths, nodes and sites out."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from node.cli.common import JsonOption, console, told
from node.cli.remote import WrongUseError
from node.policy.capacity import Ground, ImpossibleError, Plan, Volume
from node.policy.capacity import plan as planned
from node.settings.units import parse_size

GIB = 1 << 30


@told
def plan(
    messages: Annotated[int, typer.Option("--messages", min=1, help="Messages a day.")],
    recipients: Annotated[float, typer.Option(min=1, help="Recipients of a message, on average.")] = 1.0,
    external: Annotated[float, typer.Option(min=0, max=100, help="Percent of recipients outside.")] = 100.0,
    size: Annotated[str, typer.Option(help="Average size.")] = "64KiB",
    largest: Annotated[str, typer.Option(help="Largest message.")] = "10MiB",
    peak: Annotated[int, typer.Option(min=0, help="Messages a minute at the peak; 0: the day's average.")] = 0,
    peak_minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long the peak lasts.")] = 60,
    patience: Annotated[int, typer.Option(min=0, max=1440, help="Minutes its last message may be late.")] = 10,
    licences: Annotated[int, typer.Option(min=0, help="Licences of the tenant; 0: not known.")] = 0,
    answer: Annotated[float, typer.Option(min=0.01, help="Seconds to Microsoft's final answer.")] = 1.0,
    node_rate: Annotated[int, typer.Option(min=1, help="Messages a second one node takes in.")] = 300,
    spare: Annotated[int, typer.Option(min=0, max=100, help="Accounts that may be out of use.")] = 1,
    lose_site: Annotated[bool, typer.Option("--lose-site", help="A whole site may be lost.")] = False,
    outage: Annotated[float, typer.Option(min=0, help="Hours Microsoft may be out of reach.")] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Say how many accounts, paths, nodes and sites a volume of mail needs, from Microsoft's limits."""
    try:
        volume = Volume(
            messages_per_day=messages,
            recipients_each=recipients,
            external_share=external / 100,
            size_bytes=parse_size(size),
            largest_bytes=parse_size(largest),
            peak_per_minute=peak,
            peak_minutes=peak_minutes,
            patience_minutes=patience,
        )
        ground = Ground(
            licences=licences,
            answer_s=answer,
            node_per_s=node_rate,
            spare_accounts=spare,
            lose_site=lose_site,
            outage_hours=outage,
        )
        found = planned(volume, ground)
    except (ImpossibleError, ValueError) as error:
        raise WrongUseError(f"plan: {error}") from None
    console.print(json.dumps(asdict(found)) if as_json else "\n".join(lines(found, spare)), markup=False)


def lines(found: Plan, spare: int) -> list[str]:
    """Give the plan for a person."""
    late = f"the last message of the peak leaves {found.late_minutes:.0f} min after it"
    tenants = "not judged" if not found.tenants else str(found.tenants)
    return [
        f"accounts  {found.accounts} ({spare} spare; decided by the {found.by} limit)",
        f"rate      {found.drains_per_minute:.0f} messages a minute, {found.account_per_minute:.1f} each; {late}",
        f"tenants   {tenants}",
        f"paths     {', '.join(found.paths)}",
        f"clusters  {found.clusters}",
        f"nodes     {found.nodes} in each cluster, {found.sites} {'site' if found.sites == 1 else 'sites'}",
        f"disk      {found.disk_bytes / GIB:.1f} GiB on each node for the queue of an outage",
        *(f"note      {note}" for note in found.notes),
    ]
