"""The schema explains every key, and offers the keys that exist where one is misspelt."""

import pytest

from node.settings.model import Settings
from node.settings.schema import describe, keys_at, schema


def test_every_key_says_what_it_means():
    made = schema()
    parts = {"Settings": made, **made["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, one in part.get("properties", {}).items()
        if "description" not in one and "$ref" not in one
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("path", "form", "default"),
    [
        (("limits", "size"), "text such as 256KiB, 35MiB", "150MiB"),
        (("limits", "idle"), "text such as 30s, 10m, 7d", "5m"),
        (("tenants", "x", "service_accounts", "a@b.c", "limits", "rate"), "text such as 30/min, 10000/24h", "30/min"),
        (("tenant", "cloud"), "one of worldwide, gcc, gcc-high, dod, china or map", "worldwide"),
        (("clients", "x", "networks"), "list", []),
        (("clients", "x", "networks", 0), "text", None),
        (("routes", "internal"), "list", ["submission"]),
        (("clients",), "map of names", None),
    ],
)
def test_describe(path, form, default):
    key = describe(path)
    assert (key.form, key.default) == (form, default)


def test_there_is_no_such_key():
    assert describe(("limits", "nothing")) is None
    assert describe(("limits", "size", "below")) is None


def test_top_keys_are_the_models_and_the_short_form():
    assert set(keys_at(())) == {*Settings.model_fields, "tenant"}


def test_required_keys_are_marked():
    assert describe(("listeners", "x", "port")).required
    assert not describe(("listeners", "x", "tls")).required
