"""The parts of a bundle that need no network: archive, bill of materials, versions."""

import dataclasses
import json
import os
import zipfile

import pytest

from packages import archive, sbom
from packages.target import BuildError
from tests.packages.conftest import TARGET


def wheel(directory, name, version, *facts):
    directory.mkdir(exist_ok=True)
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as packed:
        lines = "\n".join(("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *facts))
        packed.writestr(f"{name}-{version}.dist-info/METADATA", f"{lines}\n\n")


def test_the_bill_names_each_wheel_with_hash_licence_and_who_needs_it(tmp_path):
    wheel(tmp_path, "m365_relay", "0.1.0", "License-Expression: Apache-2.0", "Requires-Dist: Some.Lib>=1")
    wheel(tmp_path, "some_lib", "1.2", "License: MIT", 'Requires-Dist: other; sys_platform == "win32"')
    said = json.loads(sbom.sbom(tmp_path, TARGET))
    (component,) = said["components"]
    assert (component["purl"], component["licenses"]) == ("pkg:pypi/some-lib@1.2", [{"license": {"id": "MIT"}}])
    assert component["hashes"][0]["content"] == archive.digest(tmp_path / "some_lib-1.2-py3-none-any.whl")
    assert {"ref": "m365-relay==0.1.0", "dependsOn": ["some-lib==1.2"]} in said["dependencies"]
    assert sbom.sbom(tmp_path, TARGET) == sbom.sbom(tmp_path, TARGET)


def test_a_directory_without_the_product_is_refused(tmp_path):
    wheel(tmp_path, "some_lib", "1.2")
    with pytest.raises(BuildError, match="holds no wheel of m365-relay"):
        sbom.sbom(tmp_path, TARGET)


def test_an_archive_says_nothing_of_who_made_it_when(tmp_path):
    for name, modes in (("one", 0o600), ("two", 0o664)):
        (tmp_path / name / "wheels").mkdir(parents=True)
        file = tmp_path / name / "wheels/a.whl"
        file.write_text("a")
        file.chmod(modes)
        os.utime(file, (modes, modes))
        archive.pack(tmp_path / name, tmp_path / f"{name}.tar.gz", TARGET.epoch)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


@pytest.mark.parametrize(("version", "packaged"), [("0.1.0", "0.1.0"), ("0.2.0rc1", "0.2.0~rc1")])
def test_a_candidate_is_older_than_its_release(version, packaged):
    assert dataclasses.replace(TARGET, version=version).package_version == packaged


def test_a_machine_no_wheel_is_made_for_is_refused():
    with pytest.raises(BuildError, match="sparc"):
        dataclasses.replace(TARGET, machine="sparc")
