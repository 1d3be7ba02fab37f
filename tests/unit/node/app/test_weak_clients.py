"""Which clients the alarm is about: seen to be weak, and with an end in the configuration."""

import datetime as dt

from node.admin.control import ClientView
from node.app.alarming import weak_of
from node.policy.alarms import Weak
from node.settings.mail import Client

ENDS = dt.date(2027, 1, 31)
ENDS_MS = int(dt.datetime(2027, 2, 1, tzinfo=dt.UTC).timestamp() * 1000)


def client(**more) -> Client:
    return Client.model_validate({"networks": ["10.0.0.0/8"], "senders": ["*@contoso.com"], **more})


def test_only_a_client_that_was_seen_weak_and_has_an_end_is_told():
    clients = {
        "printer": client(weak_until=ENDS, owner="it@contoso.com"),
        "modern": client(weak_until=ENDS),
        "endless": client(),
    }
    seen = [
        ClientView(client="printer", weaknesses={"old_tls": 3, "clear_auth": 1}),
        ClientView(client="modern"),
        ClientView(client="endless", weaknesses={"old_tls": 1}),
        ClientView(client="(others)", weaknesses={"old_tls": 1}),
    ]
    told = Weak(client="printer", what=("clear_auth", "old_tls"), owner="it@contoso.com", ends_ms=ENDS_MS)
    assert list(weak_of(seen, clients)) == [told]
