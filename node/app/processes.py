"""Every process of the cluster that has a session, by what it published of itself."""

from coordinator.feed import Feed
from coordinator.keys import Keys, Role, decode
from coordinator.members import MemberRecord
from node.admin.cluster import ProcessView

ROLES = (("node", Role.NODE), ("coordinator", Role.COORDINATOR))


def processes(feed: Feed, keys: Keys) -> tuple[ProcessView, ...]:
    """Give them by node; one whose record cannot be read says nothing but that it is there."""
    found = []
    for role, prefix in ((role, keys.member(name, "")) for role, name in ROLES):
        for item in feed.under(prefix):
            record, node = decode(item.value, MemberRecord), item.key.removeprefix(prefix)
            found.append(ProcessView(node=node, role=role) if record is None else _view(node, role, record))
    return tuple(sorted(found, key=lambda each: (each.node, each.role)))


def _view(node: str, role: str, record: MemberRecord) -> ProcessView:
    return ProcessView(
        node=node,
        role=role,
        site=record.site,
        version=record.version,
        levels=record.levels,
        protocols=record.protocols,
        schemas=record.schemas,
    )
