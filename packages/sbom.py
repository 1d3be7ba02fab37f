"""The software bill of materials (CycloneDX 1.6, JSON) of a directory of wheels, each with its hash and licence."""

import datetime as dt
import email.message
import email.parser
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from packages import archive
from packages.target import BuildError, Target

OWN: Final = "m365-relay"
_SPACE: Final = uuid.UUID("6f0e4d3a-52f4-4ba1-9d0e-0a3c8a3d7c10")
"""Of serial numbers: the same wheels give the same one."""
_LONGEST_NAME: Final = 120


def sbom(wheels: Path, target: Target) -> str:
    """Give the document: the product as its subject, every other wheel as a component, and who needs whom."""
    found = {name: (component, facts) for name, component, facts in _components(sorted(wheels.glob("*.whl")))}
    if OWN not in found:
        raise BuildError(f"{wheels}: holds no wheel of {OWN}")
    bom = Bom(
        components=[component for name, (component, _) in found.items() if name != OWN],
        serial_number=uuid.uuid5(_SPACE, " ".join(str(each[0].bom_ref.value) for each in found.values())),
    )
    bom.metadata.component = found[OWN][0]
    bom.metadata.timestamp = dt.datetime.fromtimestamp(target.epoch, dt.UTC)
    for component, facts in found.values():
        needed = [name for name in _needs(facts) if name in found]
        bom.register_dependency(component, [found[name][0] for name in needed])
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _components(wheels: Iterable[Path]) -> Iterable[tuple[str, Component, email.message.Message]]:
    licences = LicenseFactory()
    for wheel in wheels:
        facts = _metadata(wheel)
        name, version = canonicalize_name(facts["Name"]), str(facts["Version"])
        component = Component(
            name=name,
            version=version,
            type=ComponentType.APPLICATION if name == OWN else ComponentType.LIBRARY,
            bom_ref=f"{name}=={version}",
            purl=PackageURL("pypi", None, name, version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=archive.digest(wheel))],
            description=facts["Summary"],
            licenses=[_licence(text, licences) for text in _licence_text(facts)],
        )
        yield name, component, facts


def _metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as packed:
        name = next(each for each in packed.namelist() if each.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(packed.read(name).decode("utf-8"))


def _licence_text(facts: email.message.Message) -> list[str]:
    """Give what the wheel says of its licence: an expression, else a short name, else its classifier."""
    for said in (facts["License-Expression"], facts["License"]):
        if said and len(said) < _LONGEST_NAME and "\n" not in said.strip():
            return [said.strip()]
    classifiers = [text for text in facts.get_all("Classifier", []) if text.startswith("License ::")]
    return [classifiers[-1].rpartition(":: ")[2]] if classifiers else []


def _licence(text: str, licences: LicenseFactory) -> License:
    try:
        return licences.make_from_string(text)
    except ValueError:
        return licences.make_with_name(text)


def _needs(facts: email.message.Message) -> list[str]:
    """Name what it needs on such a machine, extras left aside."""
    wanted = [Requirement(text) for text in facts.get_all("Requires-Dist", [])]
    return sorted(
        {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}
    )
