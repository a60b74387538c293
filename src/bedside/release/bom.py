"""The bill of materials of a release: CycloneDX 1.6 (ECMA-424), JSON.

It names the model with its hash, licence and base model, the data that it was taught with and their licences, the files of the release, and
every Python package of the environment that built it, so that a scanner can tell which releases a vulnerability or a licence concerns.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from functools import cache
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from bedside.engine.contract import ChatContract
from bedside.errors import ReleaseError
from bedside.release.card import NOTICE, Built, CardFacts

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

BOM = "bom.cdx.json"
_MODEL = "model.gguf"
_LONGEST_LICENCE = 80
"""Letters. Packages that put the whole text of their licence into its field name it in a classifier as well."""


def bom_text(name: str, contract: ChatContract, facts: CardFacts, built: Built) -> str:
    """The bill of materials of a release.

    Args:
        name: of the release.
        contract: how it is asked; named by its hash.
        facts: what it was made from, as for the model card.
        built: the files' hashes, the day, and the version of bedside.

    Raises:
        ReleaseError: the package that writes it is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError as error:
        raise ReleaseError(f"a bill of materials needs cyclonedx-python-lib ({error})", "Type `pip install 'bedside[sign]'`") from error
    model, data, files = _model(name, contract, facts, built), _data(facts), _files(built)
    packages = _packages()
    bom = Bom(
        components=[*data, *files, *packages],
        serial_number=uuid5(NAMESPACE_URL, f"{name} {built.hashes[_MODEL]} {built.date}"),
        metadata=BomMetaData(component=model, timestamp=datetime.combine(built.date, time(), UTC)),
    )
    bom.register_dependency(model, [*data, *files, *packages])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _model_card(contract, facts, [str(one.bom_ref.value) for one in data])
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _model(name: str, contract: ChatContract, facts: CardFacts, built: Built) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    base = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL, name=facts.base_model, bom_ref="base-model", licenses=_licences(facts.base_licence)
    )
    properties = {"notice": NOTICE, "quantisation": built.kind, "chat-contract": contract.hash, "bytes": str(built.bytes)}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        version=built.date.isoformat(),
        bom_ref="model",
        description=" ".join(facts.summary.split()) or None,
        hashes=_sha256(built.hashes[_MODEL]),
        licenses=_licences(facts.licence),
        pedigree=Pedigree(
            ancestors=[base], notes=f"Adapter trained by bedside {built.version}, folded into the base, and written as GGUF."
        ),
        properties=[Property(name=f"bedside:{key}", value=value) for key, value in properties.items()],
    )


def _data(facts: CardFacts) -> list[Component]:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            type=ComponentType.DATA,
            name=source.name,
            bom_ref=f"data:{source.name}",
            licenses=_licences(source.licence),
            properties=[Property(name="bedside:records", value=str(source.records))],
        )
        for source in facts.sources
    ]


def _files(built: Built) -> list[Component]:
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(type=ComponentType.FILE, name=file, bom_ref=f"file:{file}", hashes=_sha256(digest))
        for file, digest in built.hashes.items()
        if file != _MODEL
    ]


@cache
def _packages() -> tuple[Component, ...]:
    """Every installed package once, by name; what lies earlier on the path hides what lies later."""
    found: dict[str, Distribution] = {}
    for one in distributions():
        found.setdefault(one.name.lower().replace("_", "-"), one)
    return tuple(_package(found[name]) for name in sorted(found))


def _package(found: Distribution) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", name=found.name, version=found.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=found.name,
        version=found.version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licences(_package_licence(found)),
    )


def _package_licence(found: Distribution) -> str:
    """What a package's metadata says of its licence: an SPDX expression, or a short name; empty where it says nothing."""
    told = found.metadata.json
    classifiers = [one.rpartition(" :: ")[2] for one in told.get("classifier", ()) if one.startswith("License ::")]
    stated = [str(told.get("license_expression", "")), str(told.get("license", "")), " AND ".join(classifiers)]
    return next((one for one in stated if one not in ("", "UNKNOWN") and "\n" not in one and len(one) <= _LONGEST_LICENCE), "")


def _licences(stated: str) -> list[License]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(stated)] if stated else []


def _sha256(digest: str) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]


def _model_card(contract: ChatContract, facts: CardFacts, data: list[str]) -> dict[str, Any]:
    """The part of CycloneDX that is for models, which the library does not write yet."""
    metrics = [
        {"type": measure, "value": str(value), "slice": column} for measure, row in facts.scores.items() for column, value in row.items()
    ]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "text-generation" if contract.codebook is None else "understanding callers",
            "datasets": [{"ref": one} for one in data],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": [NOTICE, *facts.limits]},
    }
