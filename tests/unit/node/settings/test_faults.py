"""Every fault is told at once, where it stands, with what was expected; and secrets are never repeated."""

import pytest

from node.errors import ConfigurationError
from node.settings.reader import load
from tests.support.settings_files import CLIENTS, TENANT, faults, loaded, write

ROWS = {
    "unknown key": ("limits: {sesions: 5}", "7:10: limits.sesions: unknown key; did you mean sessions?"),
    "wrong rate": ("plans: {a: {rate: 30 per minute}}", "7:13: plans.a.rate: expected an amount and a time such as"),
    "size in the wrong unit": ("plans: {a: {size: 35MB}}", "7:13: plans.a.size: expected a size with its unit such as"),
    "bare number as size": ("plans: {a: {size: 35}}", "plans.a.size: expected a size with its unit"),
    "bare number as time": ("plans: {a: {expire: 10}}", "plans.a.expire: expected a time with its unit"),
    "bare fraction as time": ("plans: {a: {expire: 10.5}}", "not the bare number 10.5"),
    "wrong choice": (
        "plans: {a: {to: intern}}",
        "expected one of internal, any; did you mean internal?, found 'intern'",
    ),
    "number for text": ("hostname: 5", 'hostname: expected a text (write it in "quotes"), found 5'),
    "text for number": ("limits: {sessions: many}", "limits.sessions: expected a whole number, found 'many'"),
    "text for list": ("egress: {no_proxy: corp}", "egress.no_proxy: expected a list such as [one, two], found 'corp'"),
    "text for map": ("egress: corp", "egress: expected a map (key: value), found 'corp'"),
    "too small": ("limits: {sessions: 0}", "limits.sessions: expected a value from 1, found 0"),
    "host bits": ("listeners: {a: {port: 1, networks: [10.1.2.3/16]}}", "the network is 10.1.0.0/16"),
    "no network": ("listeners: {a: {port: 1, networks: [ten]}}", "expected a network such as 10.1.0.0/16"),
    "no address": ("listeners: {a: {port: 1, address: here}}", "expected an IP address such as"),
    "name with a slash": ("plans: {a/b: {}}", "expected a name of letters, digits, dots, dashes"),
    "legacy open to all": ("listeners: {a: {port: 1, profile: legacy}}", "a legacy listener needs networks"),
    "login in clear": ("listeners: {a: {port: 1, tls: none, auth: required}}", "listeners.a.auth: a login needs TLS"),
    "same port twice": ("listeners: {a: {port: 1}, b: {port: 1}}", "listeners.b.port: port 1 is opened by listeners.a"),
    "port of the console": ("listeners: {a: {port: 8025}}", "admin.port: port 8025 is opened by listeners.a already"),
    "route nobody has": (
        "routes: {internal: [hve]}",
        "7:10: routes.internal: mail of tenant contoso has no way out here",
    ),
    "unknown path": ("routes: {internal: [smtp]}", "routes.internal[0]: expected one of connector, submission"),
    "size above the door": ("plans: {a: {size: 200MiB}}", "plans.a.size: 200MiB is above limits.size (150MiB)"),
    "copies alone": ("plans: {a: {copies: required}}", "a second copy needs a cluster"),
    "a client's copies alone": (
        "clients: {c: {networks: [10.0.0.1], senders: [a@contoso.com], copies: required}}",
        "clients.c.copies: a second copy needs a cluster",
    ),
    "copies of no kind": (
        "clients: {c: {networks: [10.0.0.1], senders: [a@contoso.com], copies: none}}",
        "clients.c.copies: expected one of required, preferred, one",
    ),
    "foreign rewrite": ('rewrite: [{sender: "*", to: a@other.org}]', "rewrite[0].to: no tenant owns the domain"),
    "foreign bounces": ("bounces: {from: a@other.org}", "bounces.from: no tenant owns the domain of a@other.org"),
    "aliases in a circle": ("aliases: {a: b, b: a}", "on run in a circle"),
    "flapping disk": ("limits: {disk_free_low: 2GiB}", "limits.disk_free_high: must be above disk_free_low"),
    "no time left for sessions": ("stop_notice: 11s", "stop_notice: must be at most a third of stop_timeout"),
    "virtual address alone": ("virtual_addresses: {v: {address: 10.0.0.1}}", "a virtual address needs a cluster"),
    "alarms in clear": ('alarms: {webhook: "http://hooks.corp/x"}', "alarms.webhook: expected https://"),
    "traces in clear": ('telemetry: {otlp: "http://otel.corp:4317"}', "telemetry.otlp: expected https://"),
    "open console": ("admin: {address: 0.0.0.0}", "beyond this machine the admin port needs a certificate"),
    "given twice": ("limits: {}\nlimits: {}", "8:1: limits: given twice; the first is at line 7"),
    "alias in YAML": ("limits: &a {}\nplans: {b: *a}", "8:12: aliases (*name) are not taken"),
    "tag in YAML": ("hostname: !!python/name:os.system x", "tags (!name) are not taken"),
    "control character": ('hostname: "a\\0b"', "hostname: holds a control character"),
    "reply row for everything": ("replies: [{reason: a, scope: path, outcome: retry}]", "say which replies are meant"),
}


@pytest.mark.parametrize(("text", "expected"), ROWS.values(), ids=ROWS.keys())
def test_fault(tmp_path, text, expected):
    found = faults(tmp_path, TENANT + "spool: queue\n" + text)
    assert any(expected in fault for fault in found), found
    assert len(found) == 1, found


def test_short_and_long_form_together_are_refused(tmp_path):
    assert "give tenant (short form for one) or tenants, not both" in faults(tmp_path, TENANT + "tenants: {}\n")[0]


ANY_TEN = "{networks: [10.0.0.0/8], senders: [a@contoso.com]}"
USER = '{user: X, senders: [a@contoso.com], passwords: [{hash: "$argon2id$…"}]}'
CLIENT_ROWS = {
    "nobody": ("a: {senders: [a@contoso.com]}", "clients.a: nothing to recognise it by"),
    "no senders": ("a: {networks: [10.0.0.0/8]}", "clients.a.senders: is missing"),
    "empty senders": ("a: {networks: [10.0.0.0/8], senders: []}", "clients.a.senders: expected at least 1 entry"),
    "foreign sender": (
        "a: {networks: [10.0.0.0/8], senders: [a@other.org]}",
        "clients.a.senders[0]: no tenant owns other.org",
    ),
    "unknown plan": (
        "a: {networks: [10.0.0.0/8], senders: [a@contoso.com], plan: x}",
        "there is no plan 'x'; plans: none",
    ),
    "user without password": ("a: {user: a, senders: [a@contoso.com]}", "clients.a.user: a user needs passwords"),
    "password without user": (
        'a: {networks: [10.0.0.0/8], senders: [a@contoso.com], passwords: [{hash: "$argon2id$…"}]}',
        "clients.a.passwords: passwords need a user",
    ),
    "no hash": ("a: {user: a, senders: [a@contoso.com], passwords: [{hash: hunter2}]}", "not a hash made by"),
    "bad day": (
        'a: {user: a, senders: [a@contoso.com], passwords: [{hash: "$argon2id$…", until: tomorrow}]}',
        "expected a day such as 2027-01-31",
    ),
    "reserved name": ("bounce: {networks: [10.0.0.0/8], senders: [a@contoso.com]}", "kept for the relay's own reports"),
    "equal networks": (
        f"a: {ANY_TEN}\n  b: {ANY_TEN}",
        "clients.b: matches exactly as client a (relay.yaml:7:3) does: network 10.0.0.0/8",
    ),
    "equal users": (
        f"a: {USER}\n  b: {{user: x, senders: [a@contoso.com]}}",
        "clients.b: matches exactly as client a (relay.yaml:7:3) does: user x",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CLIENT_ROWS.values(), ids=CLIENT_ROWS.keys())
def test_client_fault(tmp_path, text, expected):
    found = faults(tmp_path, f"{TENANT}clients:\n  {text}\n")
    assert [fault for fault in found if expected in fault], found
    assert len(found) == 1, found


def test_a_network_inside_another_is_no_conflict(tmp_path):
    text = f"a: {ANY_TEN}\n  b: {ANY_TEN.replace('10.0.0.0/8', '10.1.0.0/16')}"
    assert set(loaded(tmp_path, f"{TENANT}clients:\n  {text}\n").settings.clients) == {"a", "b"}


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path):
    text = (
        TENANT.replace("domains:", "domain: [x]\n  domains:")
        + """\
listeners:
  old: {port: 25, profile: legacy}
plans:
  bulk: {rate: 30 per minute}
clients:
  apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"], plan: bulks}
  more: {networks: [10.1.0.0/16], senders: ["*@contoso.com"]}
"""
    )
    found = faults(tmp_path, text)
    assert [fault.split(": ")[1] for fault in found] == [
        "tenant.domain",
        "listeners.old",
        "plans.bulk.rate",
        "clients.apps.plan",
        "clients.more",
    ]
    lines = [int(fault.split(":")[1]) for fault in found]
    assert lines == sorted(lines)


def test_what_only_follows_from_another_fault_is_not_told(tmp_path):
    text = TENANT.replace("{file: secret}", "in-clear") + CLIENTS.replace("10.1.0.0/16", "10.1.0.1/16")
    assert len(faults(tmp_path, text)) == 2


def test_a_secret_in_the_file_is_told_where_it_belongs(tmp_path):
    (fault,) = faults(tmp_path, TENANT.replace("{file: secret}", "hunter2"))
    assert fault.endswith(
        "tenant.app.secret: expected where the secret lies: {file: PATH}, {credential: NAME} or {env: NAME}"
    )


@pytest.mark.parametrize(
    "text",
    [
        TENANT.replace("secret: {file: secret}", "secret: hunter2"),
        TENANT.replace("secret: {file: secret}", "secret: {value: hunter2}"),
        TENANT.replace("secret: {file: secret}", "sceret: hunter2, secret: {file: secret}"),
        TENANT + "clients: {a: {user: a, senders: [a@contoso.com], passwords: [hunter2]}}",
        TENANT + "clients: {a: {user: a, senders: [a@contoso.com], passwords: hunter2}}",
        TENANT + "clients: {a: {user: a, senders: [a@contoso.com], passwords: [{hash: hunter2}]}}",
        TENANT + 'egress: {https_proxy: ["http://me:hunter2@proxy"]}',
        TENANT + 'egress: {no_proxy: "http://me:hunter2@proxy"}',
        TENANT + "tls: {certificate: a.pem, key: hunter2}",
        TENANT + "hunter: [hunter2\n",
    ],
)
def test_no_secret_is_repeated(tmp_path, text):
    assert not any("hunter2" in fault for fault in faults(tmp_path, text))


FILES = {
    "empty": (b"", ": the file is empty"),
    "only a comment": (b"# nothing\n", ": the file is empty"),
    "a list": (b"- a\n", ": expected keys such as tenant:"),
    "a word": (b"hello\n", ": expected keys such as tenant:"),
    "not YAML": (b"tenant: [1,\n", "not YAML:"),
    "a tab": (b"tenant:\n\tid: x\n", ":2:1: not YAML:"),
    "two documents": (b"tenant: {}\n---\na: b\n", ":2:1: a second document begins"),
    "binary": (b"\xff\xfe\x00\x01", "not text in UTF-8"),
    "nested too deep": (b"[" * 1000, "nested more than"),
    "alias bomb": (b"a: &a [1]\nb: &b [*a,*a]\n", "aliases (*name) are not taken"),
    "too large": (b"# " + b"x" * (4 << 20), "larger than 4 MiB"),
    "nothing but clients": (CLIENTS.encode(), "tenants: is missing"),
}


@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES.keys())
def test_unusable_file(tmp_path, content, expected):
    path = tmp_path / "relay.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"relay\.yaml") as caught:
        load(path, here=False)
    assert expected in caught.value.faults[0]


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml: no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="is a directory"):
        load(tmp_path)


def test_client_files_are_merged_and_a_name_given_twice_is_told_with_both_places(tmp_path):
    write(tmp_path, "b: {networks: [10.2.0.0/16], senders: [b@contoso.com]}\n", "clients.d/b.yaml")
    write(tmp_path, "broken: [", "clients.d/.hidden.yaml")
    text = TENANT + "clients_from: clients.d\n" + CLIENTS
    assert set(loaded(tmp_path, text).settings.clients) == {"apps", "b"}
    write(tmp_path, "\napps: {networks: [10.3.0.0/16], senders: [b@contoso.com]}\n", "clients.d/c.yaml")
    (fault,) = faults(tmp_path, text)
    assert fault == "clients.d/c.yaml:2:1: clients.apps: this client is given twice; the first is at relay.yaml:8:3"


def test_faults_in_several_client_files_are_told_together(tmp_path):
    write(tmp_path, "a: {networks: [10.2.0.0/16]}\n", "clients.d/a.yaml")
    write(tmp_path, "b: [\n", "clients.d/b.yaml")
    write(tmp_path, "- c\n", "clients.d/c.yaml")
    write(tmp_path, "", "clients.d/d.yaml")
    found = faults(tmp_path, TENANT + "clients_from: clients.d\n")
    assert [fault.split(":")[0] for fault in found] == ["clients.d/a.yaml", "clients.d/b.yaml", "clients.d/c.yaml"]


def test_thousands_of_clients_in_one_file_take_no_longer_than_their_number(tmp_path):
    text = "".join(
        f"c{i}: {{networks: [10.{i // 250}.{i % 250}.0/24], senders: [a@contoso.com]}}\n" for i in range(4000)
    )
    write(tmp_path, text, "clients.d/all.yaml")
    found = loaded(tmp_path, TENANT + "clients_from: clients.d\n")
    assert len(found.settings.clients) == 4000
    assert ("clients", "c3999", "networks", 0) in found.written


def test_a_flood_of_faults_is_cut_with_its_number(tmp_path):
    text = "".join(f"  c{i}: {{networks: [10.{i // 250}.{i % 250}.0/24]}}\n" for i in range(700))
    found = faults(tmp_path, f"{TENANT}clients:\n{text}")
    assert len(found) == 501
    assert found[-1] == "relay.yaml: and 200 more like these"


def test_a_client_directory_that_is_missing_is_a_fault_only_where_it_is_needed(tmp_path):
    text = TENANT + "clients_from: nowhere\n"
    loaded(tmp_path, text)
    write(tmp_path, "x", "secret")
    assert faults(tmp_path, text, here=True) == [
        "relay.yaml:6:1: clients_from: nowhere: No such file or directory",
    ]


def test_words_of_yaml_1_1_stay_words(tmp_path):
    text = TENANT + CLIENTS + 'aliases: {no: it@contoso.com, "on": off@contoso.com}\n'
    assert loaded(tmp_path, text).settings.aliases == {"no": "it@contoso.com", "on": "off@contoso.com"}


def test_names_and_domains_get_one_form(tmp_path):
    text = TENANT.replace("[contoso.com]", "[Contoso.COM, bücher.example]") + CLIENTS.replace("*@contoso", "*@CONTOSO")
    settings = loaded(tmp_path, text).settings
    assert settings.tenants["contoso"].domains == ("contoso.com", "xn--bcher-kva.example")
    assert settings.clients["apps"].senders == ("*@contoso.com",)


ACCOUNTS = TENANT.replace(
    "[relay1@contoso.com]", '{relay1@contoso.com: {send_as: ["scan-*@contoso.com"]}, otp@contoso.com: {only: [otp]}}'
)


@pytest.mark.parametrize(
    ("sender", "plan", "served"),
    [
        ("scan-7@contoso.com", "", True),
        ("Relay1@contoso.com", "", True),
        ('"*@contoso.com"', "", True),
        ("hr@contoso.com", "", False),
        ("otp@contoso.com", "", False),
        ("otp@contoso.com", ", plan: otp", True),
    ],
)
def test_a_sender_no_account_may_use_is_pointed_out(tmp_path, sender, plan, served):
    text = f"{ACCOUNTS}plans: {{otp: {{}}}}\nclients: {{a: {{networks: [10.0.0.0/8], senders: [{sender}]{plan}}}}}\n"
    found = [line for line in loaded(tmp_path, text).warnings if "no service account may send as" in line]
    assert bool(found) is not served
    through_connector = text + "routes: {internal: [direct-send], external: [submission]}\n"
    assert not any("no service account" in line for line in loaded(tmp_path, through_connector).warnings)
