"""Every metric this relay reports: name, kind, unit, labels, meaning. ``docs/telemetry.md`` is printed from here."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """How values of one name combine."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of the catalogue."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


_WAITS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0)
_SIZES = (1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 10485760.0, 36700160.0, 157286400.0)


def _metric(name: str, kind: Kind, unit: str, labels: str, meaning: str, buckets: tuple[float, ...] = ()) -> Metric:
    return Metric(name=name, kind=kind, unit=unit, labels=tuple(labels.split()), meaning=meaning, buckets=buckets)


CATALOGUE: tuple[Metric, ...] = (
    _metric("relay_messages_accepted", Kind.COUNTER, "{message}", "client priority", "messages answered 250"),
    _metric("relay_recipients_accepted", Kind.COUNTER, "{recipient}", "client", "recipients of accepted messages"),
    _metric("relay_intake_refused", Kind.COUNTER, "{reply}", "reason", "commands or messages refused at the door"),
    _metric("relay_intake_sessions", Kind.COUNTER, "{session}", "listener", "sessions begun"),
    _metric("relay_intake_auth", Kind.COUNTER, "{try}", "result", "sign-ins of clients by result"),
    _metric(
        "relay_intake_weak", Kind.COUNTER, "{session}", "client weakness", "sessions with old TLS or clear passwords"
    ),
    _metric("relay_message_size_bytes", Kind.HISTOGRAM, "By", "", "sizes of accepted messages", _SIZES),
    _metric("relay_commit_seconds", Kind.HISTOGRAM, "s", "", "time to make an accepted message durable", _WAITS),
    _metric("relay_recipients_delivered", Kind.COUNTER, "{recipient}", "path account", "recipients Microsoft accepted"),
    _metric("relay_recipients_deferred", Kind.COUNTER, "{recipient}", "reason", "recipients put off after an attempt"),
    _metric(
        "relay_recipients_postponed", Kind.COUNTER, "{recipient}", "reason", "recipients put off without an attempt"
    ),
    _metric("relay_recipients_bounced", Kind.COUNTER, "{recipient}", "reason", "recipients that failed for good"),
    _metric("relay_recipients_unknown", Kind.COUNTER, "{recipient}", "path", "attempts whose answer was lost"),
    _metric("relay_recipients_held", Kind.COUNTER, "{recipient}", "reason", "recipients held for a person"),
    _metric(
        "relay_verifications",
        Kind.COUNTER,
        "{recipient}",
        "path outcome",
        "recipients whose lost answer was looked for, by what was decided",
    ),
    _metric("relay_bounces_written", Kind.COUNTER, "{message}", "", "delivery reports put into the queue"),
    _metric("relay_reports", Kind.COUNTER, "{message}", "outcome came", "reports received, by what they led to"),
    _metric(
        "relay_recipients_bounced_later",
        Kind.COUNTER,
        "{recipient}",
        "path reason",
        "recipients Microsoft had accepted and reported afterwards",
    ),
    _metric("relay_mailbox_read_age_seconds", Kind.GAUGE, "s", "tenant account", "since a mailbox was read"),
    _metric("relay_suppressed", Kind.GAUGE, "{address}", "", "addresses on the suppression list, refused or not"),
    _metric("relay_digests_written", Kind.COUNTER, "{message}", "", "digests of late bounces put into the queue"),
    _metric("relay_attempts", Kind.COUNTER, "{attempt}", "path account outcome", "transactions tried, by outcome"),
    _metric(
        "relay_failovers",
        Kind.COUNTER,
        "{recipient}",
        "kind path reason",
        "recipients tried by another account or path (kind) than the time before, by the path they go now and why",
    ),
    _metric("relay_connections_opened", Kind.COUNTER, "{connection}", "path account", "connections made upstream"),
    _metric("relay_connections_failed", Kind.COUNTER, "{connection}", "path reason", "connections that failed"),
    _metric("relay_probes", Kind.COUNTER, "{probe}", "tenant reason", "looks whether a connector still matches"),
    _metric("relay_connector_matches", Kind.GAUGE, "1", "tenant", "1 if the connector matched at the last look"),
    _metric("relay_samples", Kind.COUNTER, "{message}", "tenant reason", "looks how mail by the connector arrives"),
    _metric(
        "relay_connector_arrives_as_ours",
        Kind.GAUGE,
        "1",
        "tenant",
        "1 if mail by the connector arrived as the organisation's at the last look, 0 if as anybody's",
    ),
    _metric(
        "relay_connections_paced",
        Kind.GAUGE,
        "{connection}",
        "path account",
        "connections allowed now on a path without published limits",
    ),
    _metric("relay_connections_open", Kind.GAUGE, "{connection}", "path account", "connections open now"),
    _metric("relay_permit_wait_seconds", Kind.HISTOGRAM, "s", "account", "wait of due mail for a permit", _WAITS),
    _metric("relay_attempt_seconds", Kind.HISTOGRAM, "s", "path", "length of one transaction", _WAITS),
    _metric("relay_delivery_seconds", Kind.HISTOGRAM, "s", "priority", "from acceptance to delivery", _WAITS),
    _metric("relay_queue_recipients", Kind.GAUGE, "{recipient}", "state", "recipients in each state"),
    _metric("relay_queue_oldest_seconds", Kind.GAUGE, "s", "priority", "age of the oldest waiting message"),
    _metric("relay_queue_body_bytes", Kind.GAUGE, "By", "", "bytes of stored bodies"),
    _metric("relay_budget_used", Kind.GAUGE, "1", "scope kind", "units of a limit in use"),
    _metric("relay_budget_limit", Kind.GAUGE, "1", "scope kind", "size of a limit"),
    _metric("relay_breaker_resting", Kind.GAUGE, "1", "scope", "1 while a path, account or pair rests"),
    _metric("relay_unprotected", Kind.GAUGE, "{message}", "", "live messages of a cluster not known to be kept twice"),
    _metric(
        "relay_unprotected_accepted", Kind.COUNTER, "{message}", "client", "messages answered 250 without a second copy"
    ),
    _metric("relay_copies_sent", Kind.COUNTER, "{message}", "node", "copies durable at the node that keeps them"),
    _metric("relay_copies_sent_batches", Kind.COUNTER, "{batch}", "node", "batches of copies and news of them, there"),
    _metric("relay_copies_sent_bytes", Kind.COUNTER, "By", "node", "bytes of those batches"),
    _metric("relay_copy_seconds", Kind.HISTOGRAM, "s", "", "from append until durable on the other machine", _WAITS),
    _metric("relay_copies_refused", Kind.COUNTER, "{message}", "client", "messages answered 451 for want of a copy"),
    _metric("relay_copies_turned_away", Kind.COUNTER, "{request}", "reason", "other nodes' copies refused here"),
    _metric("relay_copies_kept", Kind.GAUGE, "{message}", "node", "messages kept here for another node"),
    _metric("relay_copies_kept_bytes", Kind.GAUGE, "By", "node", "bytes of their bodies and facts"),
    _metric("relay_copies_adopted", Kind.COUNTER, "{message}", "node", "messages of that node taken over from copies"),
    _metric("relay_copies_given", Kind.COUNTER, "{message}", "", "messages moved out of the spool: another's now"),
    _metric("relay_copies_brought", Kind.COUNTER, "{message}", "node", "own messages only that node had, brought back"),
    _metric("relay_copies_compared", Kind.COUNTER, "{message}", "answer", "kept messages asked about, by the answer"),
    _metric("relay_ownership_moves", Kind.COUNTER, "{move}", "move", "pairings made, claimed, adopted, given, void"),
    _metric("relay_pairings", Kind.GAUGE, "{pairing}", "state", "pairings with this node at an end, by what they are"),
    _metric("relay_quarantined", Kind.GAUGE, "1", "", "1 while the spool is an older copy of itself and not used"),
    _metric("relay_door_open", Kind.GAUGE, "1", "", "1 while mail is accepted"),
    _metric("relay_token_expiry_seconds", Kind.GAUGE, "s", "tenant", "time until the newest token ends"),
    _metric("relay_token_failures", Kind.COUNTER, "{try}", "tenant reason", "token requests that failed"),
    _metric(
        "relay_credential_expiry_seconds",
        Kind.GAUGE,
        "s",
        "credential",
        "time until a credential of Microsoft's ends, as far as known",
    ),
    _metric("relay_certificate_expiry_seconds", Kind.GAUGE, "s", "certificate", "time until a certificate ends"),
    _metric("relay_disk_free_bytes", Kind.GAUGE, "By", "", "free space where the spool lies"),
    _metric("relay_syslog_lost", Kind.COUNTER, "{entry}", "", "entries of the audit that syslog did not take in time"),
    _metric("relay_spans_dropped", Kind.COUNTER, "{span}", "", "spans lost because the exporter was slow"),
)
BY_NAME = {metric.name: metric for metric in CATALOGUE}
