"""Makes the status page from what the parts know. Reads only."""

from collections.abc import Sequence
from datetime import UTC, datetime

from coordinator import address as addresses
from coordinator import candidates
from coordinator.daemon import view
from coordinator.daemon.everybody import Everybody, wall_ms
from coordinator.daemon.holdings import Holding, Surroundings, field_of
from coordinator.daemon.lateness import Lateness
from coordinator.daemon.peering import Peering
from coordinator.daemon.shape import Shape, nodes_now
from coordinator.drivers.netlink import NetlinkDriver
from coordinator.early_keeper import EarlyKeeper
from coordinator.inforce import meanwhile
from coordinator.keys import decode
from coordinator.members import MemberRecord
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.session import Phase
from coordinator.store.contract import Health, Item


def session_view(runner: SessionRunner) -> view.SessionView:
    """Show the session."""
    session, now_ms = runner.session, boottime_ms()
    live = session.phase is Phase.LIVE
    return view.SessionView(
        phase=session.phase.value,
        margin_ms=session.left_ms(now_ms),
        ttl_ms=session.timing.ttl_ms,
        lease=f"{session.lease:x}" if live else "",
        inc=session.inc if live else 0,
        age_ms=now_ms - session.began_ms if live else 0,
        heard_ms=None if session.heard_ms is None else now_ms - session.heard_ms,
        silent=session.silent(now_ms),
        blocked_by=_blocker(runner.blocked_by) if not live else "",
        refused=runner.refused,
    )


def address_view(holding: Holding, around: Surroundings) -> view.AddressView:
    """Show one address."""
    about, keeper = around.shape().addresses[holding.name], holding.keeper
    address, facts, field = keeper.address, keeper.facts(), field_of(holding.name, around)
    key, now_ms = address.key, facts.now_ms
    return view.AddressView(
        name=holding.name,
        address=str(about.address),
        site=about.site or "",
        driver=about.driver,
        interface=holding.driver.interface if isinstance(holding.driver, NetlinkDriver) else "",
        holder=key.holder if key is not None else None,
        mine=addresses.mine(address, facts),
        bound=address.bound,
        lifetime_ms=_left(address.bound_until_ms, now_ms) if address.bound else 0,
        authority_ms=_left(addresses.authority_ms(address, facts), now_ms),
        held_ms=now_ms - address.held_since_ms if addresses.mine(address, facts) and address.held_since_ms else None,
        kept_ms=_left(address.kept_until_ms, now_ms),
        promised_to=address.promised_to if addresses.promising(address, facts) else "",
        promised_ms=_left(address.promised_until_ms, now_ms),
        conflict_ms=_left(address.conflict_until_ms, now_ms),
        nodes=address.nodes,
        eligible=facts.eligible,
        candidates=candidates.candidates(field, address),
        prefer=about.prefer or "",
        wish=field.wish,
        doing=keeper.doing,
        moves=keeper.moves,
        alarm=around.alarms.about(holding.name),
    )


def member_views(everybody: Everybody) -> tuple[view.MemberView, ...]:
    """Show every living process."""
    views = []
    for role, member in everybody.members():
        record = member.record or MemberRecord(node=member.node, boot_id="", process_id="")
        views.append(
            view.MemberView(
                node=member.node,
                role=role,
                seen_ms=everybody.seen_ms(role, member),
                inc=member.inc,
                lease=f"{member.lease:x}",
                boot_id=record.boot_id,
                process_id=record.process_id,
                site=record.site,
                address=record.address,
                version=record.version,
                levels=record.levels if member.record is not None else (0, 0),
                protocols=record.protocols if member.record is not None else (0, 0),
                schemas=record.schemas,
                config_hash=record.config_hash,
                readable=member.record is not None,
            )
        )
    return tuple(views)


def peer_views(peering: Peering, everybody: Everybody) -> tuple[view.PeerView, ...]:
    """Show the other coordinators."""
    views = []
    for node in peering.others:
        said = everybody.readiness(node)
        views.append(
            view.PeerView(
                node=node,
                heard_ms=peering.heard_ms(node),
                ready=said.ready if said is not None else None,
                reasons=said.reasons if said is not None else (),
                error=peering.error(node),
            )
        )
    return tuple(views)


def etcd_views(endpoints: tuple[str, ...], answers: tuple[Health, ...]) -> tuple[view.EtcdView, ...]:
    """Show each endpoint by its last answer."""
    found = {answer.endpoint: answer for answer in answers}
    return tuple(
        view.EtcdView(
            endpoint=endpoint,
            healthy=True,
            leads=answer.leader_id == answer.member_id,
            version=answer.version,
            revision=answer.revision,
            db_bytes=answer.db_bytes,
            alarms=answer.alarms,
        )
        if (answer := found.get(endpoint)) is not None
        else view.EtcdView(endpoint=endpoint, healthy=False)
        for endpoint in endpoints
    )


def held_up_view(lateness: Lateness) -> view.HeldUpView:
    """Show how long this process did not run though it wanted to."""
    return view.HeldUpView(total_ms=lateness.total_ms, worst_ms=lateness.worst_ms)


def config_view(shape: Shape, everybody: Everybody) -> view.ConfigView:
    """Show what is in force and who differs."""
    in_force, wanted = everybody.in_force(), everybody.wanted()
    return view.ConfigView(
        hash=shape.hash,
        revision=in_force.revision if in_force is not None else 0,
        in_force=in_force.hash if in_force is not None else "",
        nodes=tuple(
            sorted({*nodes_now(shape, in_force), *meanwhile(in_force, [w for w in wanted.values() if w]).nodes})
        ),
        wanted={node: wish.hash if wish is not None else "?" for node, wish in wanted.items()},
        drift=tuple(who for who, found in sorted(everybody.hashes().items()) if found != shape.hash),
    )


def pause_view(everybody: Everybody) -> view.PauseView:
    """Show the pause."""
    wish = everybody.wishes.pause(wall_ms())
    if wish is None:
        return view.PauseView(paused=False)
    until = datetime.fromtimestamp(wish.until_ms / 1_000, UTC).isoformat() if wish.until_ms else ""
    return view.PauseView(paused=True, actor=wish.actor, reason=wish.reason, until=until)


def early_view(shape: Shape, holdings: Sequence[Holding]) -> view.EarlyView:
    """Show what early takeover is about to do."""
    keepers = [each.keeper for each in holdings if isinstance(each.keeper, EarlyKeeper)]
    silent = {keeper.address.key.holder for keeper in keepers if keeper.silent and keeper.address.key is not None}
    return view.EarlyView(
        enabled=shape.cluster.early_takeover,
        leashed=tuple(keeper.place.name for keeper in keepers if keeper.leashed),
        suspects=tuple(sorted(silent)),
        takeovers=sum(keeper.seized for keeper in keepers),
    )


def _left(until_ms: int, now_ms: int) -> int:
    return max(0, until_ms - now_ms)


def _blocker(item: Item | None) -> str:
    if item is None:
        return ""
    record = decode(item.value, MemberRecord)
    return (
        f"{record.node} (boot {record.boot_id}, process {record.process_id})" if record else f"{item.key} (unreadable)"
    )
