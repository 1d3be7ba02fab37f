"""Clouds are four separate settings; the external limit follows Microsoft's formula (facts/m365.md §1.3, §2.2)."""

import pytest

from node.settings.clouds import cloud_of, external_limit, terrl
from node.settings.mail import Tenant
from node.settings.units import Rate


@pytest.mark.parametrize(
    ("licences", "recipients"),
    [
        (1, 10_000),
        (2, 10_312),
        (10, 12_006),
        (25, 14_259),
        (100, 22_059),
        (1000, 72_446),
        (10_000, 324_979),
        (100_000, 1_590_639),
    ],
)
def test_formula_gives_microsofts_own_table(licences, recipients):
    assert terrl(licences) == recipients


def tenant(**keys):
    return Tenant(id="contoso.com", domains=("contoso.com",), **keys)


def test_external_limit_is_as_written_else_computed_else_unknown():
    assert external_limit(tenant(external_recipients=Rate(5, 60.0), licences=10)) == Rate(5, 60.0)
    assert external_limit(tenant(licences=10)) == Rate(12_006, 86_400.0)
    assert external_limit(tenant()) is None


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("worldwide", "smtp.office365.com:587"),
        ("gcc", "smtp.office365.com:587"),
        ("gcc-high", "smtp.office365.us:587"),
        ("dod", "outlook-dod.office365.us:587"),
        ("china", "smtp.partner.outlook.cn:587"),
    ],
)
def test_presets(name, host):
    cloud = cloud_of(tenant(cloud=name))
    assert cloud.submission == host
    assert cloud.authority.startswith("https://login.")
    assert cloud.scope.endswith("/.default")


def test_clouds_differ_in_every_setting_that_must_differ():
    clouds = [cloud_of(tenant(cloud=name)) for name in ("worldwide", "gcc-high", "dod", "china")]
    assert len({cloud.submission for cloud in clouds}) == 4
    assert len({cloud.graph for cloud in clouds}) == 4


def test_settings_by_hand_win():
    assert cloud_of(tenant(cloud={"submission": "127.0.0.1:2587"})).submission == "127.0.0.1:2587"
