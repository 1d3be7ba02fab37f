"""A coordinator's status page with something in every part of it."""

from coordinator.daemon import view


def status_page() -> view.Status:
    address = view.AddressView(
        name='x"\n\\', address="10.1.0.10", site="dc1", driver="netlink", interface="eth0", holder=None, mine=False,
        bound=True, lifetime_ms=1500, authority_ms=0, held_ms=None, kept_ms=0, promised_to="", promised_ms=0,
        conflict_ms=0, nodes=(), eligible=True, candidates=(),
    )  # fmt: skip
    session = view.SessionView(phase="live", margin_ms=3_500, ttl_ms=5_000, lease="7", inc=3, age_ms=1, heard_ms=1,
                               silent=False)  # fmt: skip
    return view.Status(
        node="a", site="dc1", cluster="c", version="1", level=1, levels=(1, 2), uptime_ms=5, leader="a", leading=True,
        session=session, node_ready=view.ReadyView(ready=True), pause=view.PauseView(paused=False), draining=(),
        addresses=(address,),
        members=(), peers=(view.PeerView(node="b", heard_ms=200), view.PeerView(node="c", heard_ms=None)),
        etcd=(view.EtcdView(endpoint="e:2379", healthy=True, alarms=("NOSPACE",)),),
        config=view.ConfigView(hash="h", revision=0, in_force="", nodes=(), wanted={}, drift=("node b",)),
        early=view.EarlyView(enabled=True, takeovers=2), revision=9,
        held_up=view.HeldUpView(total_ms=1_250, worst_ms=900),
    )  # fmt: skip
