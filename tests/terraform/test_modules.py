"""Every module and example: written as Terraform writes it, valid by the providers' schemas, its own tests pass."""

import json
import re

import pytest

from tests.terraform.offline.packages import HERE, SOURCES
from tests.terraform.offline.terraform import TREE, Terraform

FOLDERS = sorted(str(one.parent.relative_to(TREE)) for one in TREE.glob("*/*/versions.tf"))
SLOW = {"modules/azure-cluster"}
FETCHING_SECONDS = 300


def check(terraform: Terraform, folder: str) -> None:
    terraform.init(folder)
    told = json.loads(terraform.run(folder, "validate", "-json").stdout)
    assert told["diagnostics"] == [], "errors and warnings alike"


@pytest.mark.timeout(FETCHING_SECONDS)
def test_all_is_written_as_terraform_writes_it(shared):
    assert shared.must(".", "fmt", "-check", "-recursive", "-diff") == ""


@pytest.mark.timeout(FETCHING_SECONDS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_valid(shared, folder):
    check(shared, folder)


@pytest.mark.long
@pytest.mark.timeout(FETCHING_SECONDS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_valid_with_the_next_major_version_of_the_provider(shared_newer, folder):
    check(shared_newer, folder)


@pytest.mark.timeout(FETCHING_SECONDS)
@pytest.mark.parametrize("folder", [pytest.param(f, marks=pytest.mark.long) if f in SLOW else f for f in FOLDERS])
def test_its_own_tests_pass(shared, folder):
    shared.init(folder)
    said = shared.must(folder, "test", "-no-color")
    passed = re.search(r"(\d+) passed, 0 failed\.", said)
    assert passed, said
    assert int(passed[1]) > 0, "a folder without tests passes too"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_what_a_reader_looks_for(folder):
    assert list((TREE / folder / "tests").glob("*.tftest.hcl")), "tests"
    for kind, names in (("variable", "variables*.tf"), ("output", "outputs.tf")):
        text = "".join(file.read_text() for file in (TREE / folder).glob(names))
        count = len(re.findall(rf'^{kind} "', text, re.MULTILINE))
        assert count > 0
        assert len(re.findall(r"^  description +=", text, re.MULTILINE)) == count, f"each {kind} is described"
        if kind == "variable":
            assert len(re.findall(r"^  type +=", text, re.MULTILINE)) == count, "each variable has a type"


@pytest.mark.parametrize("lock", ["older.lock", "newer.lock"])
def test_version_bounds_admit_what_is_tested(lock):
    served = dict(re.findall(r"(\w+) (\d+\.\d+)\.\d+", (HERE / lock).read_text().splitlines()[1]))
    assert served.keys() == SOURCES.keys()
    for folder in FOLDERS:
        text = (TREE / folder / "versions.tf").read_text()
        for name, low, high in re.findall(r'(\w+) = \{[^}]*version = ">= ([\d.]+), < ([\d.]+)"', text):
            assert as_numbers(low) <= as_numbers(served[name]) < as_numbers(high), (folder, name)


def as_numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
