"""What the cluster's parts may do with a node: each hook maps one word of theirs to one of delivery or the door."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from node.app.around import Hooks
from node.app.dates import UpstreamDate
from node.app.parts import apps_of
from node.delivery.service import Delivery
from node.policy.levels import Shut
from node.shadow.measures import Measures

if TYPE_CHECKING:
    from node.app.node import Node


def hooks_of(node: "Node") -> Hooks:
    """Give the hooks of a node; those for delivery do nothing before it is there."""

    def delivery(act: Callable[[Delivery], None]) -> None:
        if node.delivery is not None:
            act(node.delivery)

    def unfence() -> None:
        if not node.stopping:
            delivery(Delivery.unfence)

    return Hooks(
        on_free=node.freed,
        on_slot_wanted=lambda account, wanted: delivery(lambda it: it.slot_wanted(account, wanted=wanted)),
        report=node.standing_logged,
        wake=lambda: delivery(Delivery.stir),
        resumed=lambda *told: node.control.resumed(*told),  # noqa: PLW0108 - the control comes after the hooks
        fence=lambda: delivery(Delivery.fence),
        part=lambda: delivery(Delivery.part),
        unfence=unfence,
        drained=node.retreat.wish,
        owned=node.owned,
        arrived=lambda: delivery(Delivery.wake),
        disk_full=lambda: node.shut_by is Shut.DISK,
        unprotected=lambda message: node.telemetry.count("relay_unprotected_accepted", client=message.client),
        measures=Measures(node.telemetry, node=node.loaded.node, traced=node.settings.telemetry.otlp is not None),
        date=UpstreamDate(node.entra, lambda: [app.authority for app in apps_of(node.settings).values()]),
        hiding=node.hiding,
        trust=node.trust,
        tell=lambda entry: node.admin.tell(entry),  # noqa: PLW0108 - the interface comes after the hooks
        readiness=lambda: node.control.readiness(),  # noqa: PLW0108 - the control comes after the hooks
        loaded=lambda: node.loaded,
        routes=lambda: {**node.truth.routes(), **node.control.erasures.routes()},
    )
