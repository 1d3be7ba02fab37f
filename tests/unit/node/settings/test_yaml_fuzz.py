"""Whatever stands in the file: it is read or refused with ConfigurationError, never anything else."""

import string

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.errors import ConfigurationError
from node.settings.reader import Surroundings, read
from node.settings.schema import keys_at
from node.settings.sources import Source
from node.settings.yamltree import MAX_DEPTH, read_yaml
from tests.support.settings_files import CLIENTS, PRODUCTION, SMALLEST, TENANT

AROUND = Surroundings(host="relay-a", here=False)
SYNTAX = st.text(alphabet="[]{}:,-&*!|>'\"%@`#?~<= \n\tab1.\x00\x85\u2028é\U0001f600")
SAMPLES = [SMALLEST.read_text(), PRODUCTION.read_text(), TENANT + CLIENTS]
KEYS = st.sampled_from(
    sorted({*keys_at(()), *keys_at(("tenant",)), *keys_at(("clients", "a")), *keys_at(("plans", "a"))})
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
QUIET = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def survives(text):
    try:
        read(Source(name="fuzz", text=text), base=SMALLEST.parent / "none", around=AROUND)
    except ConfigurationError as error:
        told = error.faults
    else:
        return
    assert told
    assert all("\n" not in fault and fault.startswith("fuzz:") for fault in told)


def test_a_key_over_two_lines_is_told_on_one():
    survives(SAMPLES[0].replace("owner: it@contoso.com", "o\n\nr: it@contoso.com"))


@QUIET
@given(SYNTAX | st.text())
def test_any_text(text):
    survives(text)


@QUIET
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_values_under_known_keys(data):
    survives(yaml.safe_dump(data, allow_unicode=True))


@QUIET
@given(st.sampled_from(SAMPLES), st.data())
def test_samples_with_a_piece_replaced(sample, data):
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 30)))
    survives(sample[:start] + data.draw(SYNTAX) + sample[end:])


@QUIET
@given(st.sampled_from(SAMPLES), KEYS, VALUES)
def test_samples_with_a_key_replaced(sample, key, value):
    survives(yaml.safe_dump({**yaml.safe_load(sample), key: value}))


@QUIET
@given(st.text(alphabet=st.characters()))
def test_the_tree_never_raises(text):
    tree = read_yaml(text, "fuzz")
    assert tree.faults or tree.data is None or () in tree.places


def test_depth_is_bounded_from_both_kinds_of_nesting():
    for text in ("[" * 100_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000):
        (fault,) = read_yaml(text, "deep").faults
        assert "nested" in fault.text or "not YAML" in fault.text or "plain key" in fault.text
    assert not read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "fits").faults
