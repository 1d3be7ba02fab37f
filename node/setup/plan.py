"""All steps for one tenant, in the order they are done. Pure."""

from node.settings.model import Settings
from node.settings.pathways import PathKind
from node.setup.application import application
from node.setup.coming_back import coming_back, domains
from node.setup.mailboxes import mailboxes
from node.setup.needs import Needs, needs_of
from node.setup.pathways import pathways
from node.setup.section import Section, Where, rendered


def steps_for(settings: Settings, name: str) -> list[Section]:
    """Give the steps of one tenant."""
    needs = needs_of(settings, name)
    return [
        domains(needs),
        *application(needs),
        *mailboxes(needs),
        *pathways(needs),
        *coming_back(needs),
        _last(needs),
    ]


def setup_text(settings: Settings, name: str) -> str:
    """Write the steps of one tenant as text."""
    tenant = settings.tenants[name]
    return rendered(f"Microsoft 365 setup for tenant {name} ({tenant.id})", steps_for(settings, name))


def _last(needs: Needs) -> Section:
    outside = sorted(kind.value for kind in needs.kinds & {PathKind.ACS, PathKind.SMARTHOST})
    why = "It signs in, logs in and sends a message to itself for every account and way, and names what is missing."
    if outside:
        why += f" Mail by {', '.join(outside)} leaves the tenant's journaling and rules: plan and client must allow it."
    return Section(title="Check", where=Where.HERE, why=why, commands=("relayctl m365 check",))
