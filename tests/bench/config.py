"""What every relay of the bench is given."""


def relay_config(sink_port: int, otlp: str | None, *, processes: int = 0) -> dict:
    """One tenant behind a smarthost; nothing limits how fast it is sent to."""
    who = {"senders": ["*@contoso.com"], "outside_tenant": True}
    return {
        "hostname": "bench.example",
        "tenant": {
            "id": "contoso",
            "domains": ["contoso.com"],
            "smarthost": {"host": "127.0.0.1", "port": sink_port, "tls": "none", "connections": 20},
        },
        "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
        "listeners": {"smtp": {"port": 0, "address": "127.0.0.1", "tls": "none", "auth": "none"}},
        "clients": {"bench": {"networks": ["127.0.0.0/8"], "plan": "bench", **who}},
        "plans": {"bench": {"size": "100MiB"}},
        "limits": {"messages_per_session": 1_000_000, "commands_per_session": 10_000_000},
        **({"intake": {"processes": processes}} if processes else {}),
        **({"telemetry": {"otlp": otlp}} if otlp else {}),
    }
