# SPDX-License-Identifier: Apache-2.0
"""A release in Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html): metadata in JSON-LD.

Images and masks are sets of files told by patterns. Each file also stands there with its SHA-256, as long as there are
few enough; ``umed/manifest.json`` has them all. Then there is also a record for each case, if names tell its files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from umed.report.card_settings import CardSettings
from umed.report.card_terms import TERMS, find_licence
from umed.report.croissant_cases import Pairs, file_ids, pair_up, record_set

MOST_OBJECTS = 1000
"""Files that are listed one by one."""
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes "
            "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate "
            "separator source subField transform"
        ).split()
    },
}
"""The vocabulary of Croissant 1.0, all of it: its readers warn where a word is missing."""
ENCODINGS = {
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".dcm": "image/dicom",
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".gz": "application/gzip",
}
SETS = {
    "images": ("protected image", "unprotected image"),
    "masks": ("label", "proposed label"),
}


def make_croissant(settings: CardSettings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a release.

    Args:
        settings: what its steward says.
        facts: what the release says, see :func:`umed.report.card_page.release_facts`.

    Returns:
        JSON-LD.
    """
    licence = find_licence(settings.licence)
    page, (cases, why) = settings.page, _cases(facts["files"])
    ids = file_ids(facts["files"])
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": re.sub(r"[^\w.-]+", "-", settings.title).strip("-") or "data",
        "alternateName": settings.title,
        "description": settings.description or facts["summary"],
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licence.link if licence.link.startswith("http") else _work(licence.title),
        **(
            {"usageInfo": _work("Terms of use"), "conditionsOfAccess": _reserved(settings)} if settings.reserves else {}
        ),
        **({"url": page} if page else {}),
        **({"identifier": f"https://doi.org/{settings.bare_doi}"} if settings.bare_doi else {}),
        "creator": [_creator(name, where, orcid) for name, where, orcid in settings.people],
        "datePublished": settings.day,
        "version": settings.version if settings.version.count(".") == 2 else _three(settings.version),
        "keywords": list(facts["keywords"]),
        "citeAs": settings.citation,
        "isLiveDataset": False,
        "distribution": [*_sets(facts["files"], "" if cases else why), *_objects(facts["files"], ids)],
        **({"recordSet": [record_set(cases, ids)]} if cases else {}),
    }


def _cases(files: Mapping[str, Mapping[str, Any]]) -> tuple[Pairs, str]:
    """Files of each case; none, and why, where there are no records."""
    if len(files) > MOST_OBJECTS:
        return {}, f"there are more than {MOST_OBJECTS} files"
    images, masks = ([name for name, one in files.items() if one["what"] in kinds] for kinds in SETS.values())
    found = pair_up(images, masks)
    return ({}, found) if isinstance(found, str) else (found, "")


def _work(name: str) -> dict[str, Any]:
    """A text that lies in the release."""
    return {"@type": "sc:CreativeWork", "name": name, "description": f"See {TERMS}."}


def _reserved(settings: CardSettings) -> str:
    return f"Training on these files needs permission in writing: {settings.contact}."


def _creator(name: str, affiliation: str, orcid: str) -> dict[str, Any]:
    """A person where the name has the form of one, else an organisation."""
    kind = "sc:Person" if "," in name else "sc:Organization"
    more = {"affiliation": {"@type": "sc:Organization", "name": affiliation}} if affiliation else {}
    return {"@type": kind, "name": name, **({"url": f"https://orcid.org/{orcid}"} if orcid else {}), **more}


def _three(version: str) -> str:
    """A version of three numbers, which Croissant asks for."""
    return ".".join([*version.split("."), "0", "0"][:3])


def _sets(files: Mapping[str, Mapping[str, Any]], why: str) -> Iterator[dict[str, Any]]:
    """Images and masks; ``why`` says in words that there are no records of cases, where there are none."""
    for name, kinds in SETS.items():
        mine = [file for file, entry in files.items() if entry["what"] in kinds]
        if not mine:
            continue
        yield {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "description": f"{len(mine)} {name}. umed/manifest.json says what each file is, and its SHA-256."
            + (f" No record set: {why}." if why else ""),
            "encodingFormat": sorted({encoding(file) for file in mine}),
            "includes": sorted({_pattern(file) for file in mine}),
        }


def _objects(files: Mapping[str, Mapping[str, Any]], ids: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if len(files) > MOST_OBJECTS:
        return
    for file, entry in files.items():
        yield {
            "@type": "cr:FileObject",
            "@id": ids[file],
            "name": file,
            "description": entry["what"],
            "contentUrl": file,
            "contentSize": f"{entry['bytes']} B",
            "encodingFormat": encoding(file),
            "sha256": entry["sha256"],
        }


def _pattern(file: str) -> str:
    """Glob of the files beside one of the same ending; folders below the first are left open."""
    path = PurePosixPath(file)
    ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return f"*{ending}" if len(path.parts) == 1 else f"{path.parts[0]}/{'**/' if len(path.parts) > 2 else ''}*{ending}"


def encoding(file: str) -> str:
    """Media type of a file by its ending.

    >>> encoding("imagesTr/a.nii.gz"), encoding("a.nrrd")
    ('application/gzip', 'application/octet-stream')
    """
    return ENCODINGS.get(PurePosixPath(file).suffix.lower(), "application/octet-stream")
