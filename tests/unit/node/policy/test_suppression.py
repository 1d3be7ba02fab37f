"""The suppression list: what counts, who is on it, and what the door does with it."""

import os

import pytest

from node.policy.admission import Denial, check_mail, check_recipient
from node.policy.suppression import HARD, Failing, Mode, Rules, counts, listed
from node.settings.model import Settings
from node.settings.rules import intake_rules
from node.settings.suppressed import MAX_BYTES, NAME, SuppressedFile, write_suppressed

DAY_MS = 86_400_000


def settings(tmp_path, mode: str) -> Settings:
    return Settings.model_validate(
        {
            "runtime": str(tmp_path),
            "tenants": {"contoso": {"id": "t", "domains": ["contoso.com"]}},
            "clients": {"apps": {"networks": ["10.1.0.0/16"], "senders": ["*@contoso.com"]}},
            "suppression": {"mode": mode},
        }
    )


def rcpt(rules, address: str):
    client = rules.clients.match("10.1.2.3")
    mail = check_mail(rules, client, "<app@contoso.com>")
    return check_recipient(rules, client, mail, f"<{address}>", 0)


def test_only_what_speaks_of_the_address_counts():
    assert counts("recipient_unknown", Rules())
    for reason in ("account_mailbox_full", "mail_flow_rule", "bad_outbound_sender", "expired_upstream", "ndr"):
        assert reason not in HARD
        assert not counts(reason, Rules())
    assert not counts("recipient_unknown", Rules(mode=Mode.OFF))


@pytest.mark.parametrize(
    ("times", "age_ms", "mode", "on"),
    [
        (2, 0, Mode.OBSERVE, True), (1, 0, Mode.REFUSE, False), (9, 8 * DAY_MS, Mode.REFUSE, False),
        (2, 7 * DAY_MS, Mode.REFUSE, True), (9, 0, Mode.OFF, False),
    ],
)  # fmt: skip
def test_who_is_on_the_list(times, age_ms, mode, on):
    failing = Failing(address="a@b.example", times=times, first_ms=0, last_ms=10 * DAY_MS, reason="recipient_unknown")
    assert listed(failing, Rules(mode=mode), 10 * DAY_MS + age_ms) is on


def test_the_door_refuses_only_if_told_to(tmp_path):
    write_suppressed(tmp_path / NAME, frozenset({"gone@x.example"}))
    refusing = intake_rules(settings(tmp_path, "refuse"), "relay.contoso.com")
    denial = rcpt(refusing, "Gone@x.example")
    assert isinstance(denial, Denial)
    assert (denial.code, denial.enhanced, denial.reason) == (550, "5.1.1", "suppressed")
    assert not isinstance(rcpt(refusing, "here@x.example"), Denial)
    for mode in ("observe", "off"):
        assert not isinstance(
            rcpt(intake_rules(settings(tmp_path, mode), "relay.contoso.com"), "gone@x.example"), Denial
        )


def test_the_file_is_read_again_when_it_changes_and_harmless_when_it_cannot_be(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("node.settings.suppressed.time.monotonic", lambda: now[0])
    path = tmp_path / NAME
    file = SuppressedFile(path)
    assert not file.lists("a@b.example")
    write_suppressed(path, frozenset({"a@b.example"}))
    assert not file.lists("a@b.example"), "looked at a moment ago"
    now[0] += 2
    assert file.lists("A@b.example")
    write_suppressed(path, frozenset())
    now[0] += 2
    assert not file.lists("a@b.example")
    path.write_bytes(b"\xff\xfe")
    now[0] += 2
    assert not file.lists("a@b.example")
    with path.open("wb") as large:
        os.truncate(large.fileno(), MAX_BYTES + 1)
    now[0] += 2
    assert not file.lists("a@b.example")
    assert (path.stat().st_mode & 0o077) == 0
