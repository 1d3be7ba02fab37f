"""The capacity model: its arithmetic by hand for known cases, and what must hold for every volume."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from node.__main__ import app
from node.policy.capacity import (
    DAY_USED,
    MESSAGES_PER_MINUTE,
    RECIPIENTS_PER_DAY,
    USED,
    Ground,
    ImpossibleError,
    Volume,
    external_limit,
    plan,
)

QUIET = settings(deadline=None, max_examples=60)
VOLUMES = st.builds(
    Volume,
    messages_per_day=st.integers(1, 5_000_000),
    recipients_each=st.floats(1, 50),
    external_share=st.floats(0, 1),
    size_bytes=st.integers(1_000, 5 << 20),
    peak_per_minute=st.integers(0, 20_000),
    peak_minutes=st.integers(1, 600),
    patience_minutes=st.integers(0, 240),
)
GROUNDS = st.builds(
    Ground,
    licences=st.integers(0, 100_000),
    answer_s=st.floats(0.1, 20),
    spare_accounts=st.integers(0, 5),
    lose_site=st.booleans(),
)


@pytest.mark.parametrize(
    ("licences", "limit"),
    [(1, 10_000), (2, 10_312), (10, 12_005), (25, 14_259), (100, 22_059), (1_000, 72_446), (10_000, 324_978), (0, 0)],
)
def test_a_tenants_limit_follows_its_licences(licences, limit):
    """As facts m365 §2.2 has them, never above them."""
    assert external_limit(licences) == limit


def test_the_day_decides_for_steady_mail():
    found = plan(Volume(messages_per_day=100_000), Ground())
    assert (found.accounts, found.by) == (12, "day")  # 100,000 / 9,897 = 10.1, and a spare one


def test_the_peak_decides_for_a_burst():
    volume = Volume(messages_per_day=30_000, peak_per_minute=600, peak_minutes=30, patience_minutes=15)
    found = plan(volume, Ground())
    # 18,000 in 45 minutes are 400 a minute, 13.7 accounts at 29.1.
    assert (found.accounts, found.by) == (15, "peak")
    assert found.late_minutes <= 15


def test_large_mail_is_bound_by_sessions():
    volume = Volume(messages_per_day=5_000, size_bytes=20 << 20, largest_bytes=30 << 20)
    found = plan(volume, Ground())
    assert found.account_per_minute == pytest.approx(2 * 60 / 11)
    assert found.by == "day" or found.account_per_minute < MESSAGES_PER_MINUTE * USED


def test_more_tenants_not_more_accounts_for_external_mail():
    found = plan(Volume(messages_per_day=100_000), Ground(licences=100))
    assert found.tenants == math.ceil(100_000 / (22_059 * DAY_USED)) == 5
    assert any("more accounts do not help" in note for note in found.notes)


def test_beyond_a_hundred_accounts_there_are_several_clusters():
    found = plan(Volume(messages_per_day=3_000_000), Ground())
    assert found.accounts == 305
    assert found.clusters == 4
    assert any("4 clusters behind DNS" in note for note in found.notes)


def test_a_site_that_may_be_lost_needs_two_and_a_witness():
    found = plan(Volume(messages_per_day=1_000), Ground(lose_site=True))
    assert (found.nodes, found.sites) == (4, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"largest_bytes": 200 << 20}, "150 MB"),
        ({"recipients_each": 501}, "at most 500"),
        ({"size_bytes": 20 << 20}, "above the largest"),
        ({"messages_per_day": 0}, "at least one"),
        ({"external_share": 1.5}, "from 0 to 1"),
    ],
)
def test_what_no_number_of_accounts_would_do_is_refused(change, said):
    with pytest.raises(ImpossibleError, match=said):
        plan(Volume(**{"messages_per_day": 1_000, **change}), Ground())


@QUIET
@given(VOLUMES, GROUNDS)
def test_the_accounts_do_and_one_fewer_would_not(volume, ground):
    found = plan(volume, ground)
    working = found.accounts - ground.spare_accounts

    def enough(accounts):
        day = accounts * RECIPIENTS_PER_DAY * DAY_USED >= volume.messages_per_day * volume.recipients_each * (1 - 1e-8)
        average = math.ceil(volume.messages_per_day / 1440)
        total = min((volume.peak_per_minute or average) * volume.peak_minutes, volume.messages_per_day)
        until = volume.peak_minutes + volume.patience_minutes
        rate = accounts * found.account_per_minute * (1 + 1e-8)
        return day and rate * until >= total and rate * 1440 >= volume.messages_per_day

    assert enough(working)
    assert working == 1 or not enough(working - 1)
    assert found.late_minutes <= volume.patience_minutes + 1e-6


@QUIET
@given(VOLUMES, GROUNDS, st.integers(1, 100_000))
def test_more_mail_never_needs_less(volume, ground, more):
    wider = Volume(
        **{
            name: getattr(volume, name)
            for name in Volume.__dataclass_fields__
            if name not in ("messages_per_day", "peak_per_minute")
        },
        messages_per_day=volume.messages_per_day + more,
        peak_per_minute=volume.peak_per_minute and volume.peak_per_minute + more,
    )
    less, greater = plan(volume, ground), plan(wider, ground)
    assert greater.accounts >= less.accounts
    assert greater.tenants >= less.tenants
    assert greater.clusters >= less.clusters


@QUIET
@given(VOLUMES, GROUNDS)
def test_machines_outlive_a_loss(volume, ground):
    found = plan(volume, ground)
    assert found.nodes >= 3
    assert found.clusters * 100 >= found.accounts
    lost = 1 if not ground.lose_site else found.nodes // 2
    per_minute = volume.peak_per_minute or math.ceil(volume.messages_per_day / 1440)
    assert (found.nodes - lost) * ground.node_per_s * 60 * found.clusters >= per_minute


def test_the_command_tells_a_person_and_a_program():
    words = ["plan", "--messages", "100000", "--peak", "600", "--licences", "100"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "accounts  19 (1 spare; decided by the peak limit)" in told.output
    plain = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert plain["accounts"] == 19
    assert CliRunner().invoke(app, ["plan", "--messages", "10", "--largest", "1GiB"]).exit_code == 2
    assert CliRunner().invoke(app, ["plan", "--messages", "10", "--size", "big"]).exit_code == 2
