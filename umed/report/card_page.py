# SPDX-License-Identifier: Apache-2.0
"""The files by which a release explains itself: a page for people, and metadata for Hugging Face, Zenodo, machines.

They say what the public manifest says, what the steward says, and one figure of the private record if it is at hand:
the mean PSNR in whole dB. Nothing of a key, of a code or of a single case.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from umed.report.about_page import NAMES
from umed.report.card_settings import CardSettings
from umed.report.card_terms import TERMS, find_licence, terms_text
from umed.report.croissant import make_croissant

README, CROISSANT, ZENODO, TDM = "README.md", "croissant.json", ".zenodo.json", "tdmrep.json"
PAPER = "https://arxiv.org/abs/2403.14250"
KEYWORDS = ("medical imaging", "segmentation", "protected against training")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""Classes of Hugging Face by number of images."""
LIMITS = (
    "The images are for research, not for diagnosis. Measurements on them are not those of the originals.",
    "The protection makes training without permission less useful. It is no lock: who knows of it can weaken or undo "
    "it, and some ways of training hardly notice it.",
    "The protection makes nothing anonymous.",
    "The perturbation lies in and around what is labelled, so it tells where they are. They are published anyway.",
)


def release_facts(
    manifest: Mapping[str, Any], output: Path, record: Mapping[str, Any] | None, keywords: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What a release says of itself.

    Args:
        manifest: public manifest, or the record, of which only what the manifest also has is used: ``files``,
            ``umed_version``, ``labels``, and the bound in words as ``bound_text``.
        output: root of the release; sizes of its files are looked up.
        record: private record; gives the mean PSNR. ``None`` where it is not at hand.
        keywords: further ones.

    Returns:
        ``files`` (what, SHA-256 and bytes of each outside ``umed/`` that is no part of a card), ``counts``, ``bytes``,
        ``endings``, ``bound``, ``labels``, ``version``, ``unlock``, ``psnr`` (whole dB or ``None``), ``keywords`` and
        ``summary``.
    """
    listed = {name: one for name, one in manifest["files"].items() if one["what"] != "card"}
    files = {
        name: {**one, "bytes": (output / name).stat().st_size}
        for name, one in sorted(listed.items())
        if not name.startswith("umed/") and (output / name).is_file()
    }
    counts = Counter(one["what"] for one in files.values())
    images = counts["protected image"] + counts["unprotected image"]
    endings = Counter(_ending(name) for name, one in files.items() if one["what"].endswith("image"))
    return {
        "files": files,
        "counts": {name: counts[name] for name in NAMES if counts[name]},
        "images": images,
        "bytes": sum(one["bytes"] for one in files.values()),
        "endings": dict(endings.most_common()),
        "bound": manifest["bound_text"],
        "labels": manifest.get("labels") or "",
        "version": manifest["umed_version"],
        "unlock": any(one["what"] == "unlock" for one in listed.values()),
        "psnr": None if record is None else mean_psnr(record),
        "keywords": tuple(dict.fromkeys((*KEYWORDS, *keywords))),
        "summary": f"{images} medical images with masks, protected by umed against training without permission.",
    }


def mean_psnr(record: Mapping[str, Any]) -> int | None:
    """Mean PSNR of all protected images in whole dB, so that it tells nothing of a single one; ``None`` below 3."""
    found = [
        file["psnr"]
        for case in record["cases"]
        if case["status"] == "protected"
        for file in case.get("files", ())
        if isinstance(file, Mapping) and isinstance(file.get("psnr"), (int, float)) and math.isfinite(file["psnr"])
    ]
    return round(sum(found) / len(found)) if len(found) >= 3 else None


def make_card(settings: CardSettings, facts: Mapping[str, Any]) -> dict[str, str]:
    """All files of a card.

    Args:
        settings: what the steward says.
        facts: what the release says, see :func:`release_facts`.

    Returns:
        Text of each by its name, relative to the release.
    """
    owner = "; ".join(one.name for one in settings.people)
    licence = find_licence(settings.licence)
    terms = settings.licence_text or terms_text(licence, settings.title, owner, settings.contact)
    found = {
        README: f"---\n{_front(settings, facts)}---\n\n{_readme(settings, facts)}",
        CROISSANT: _json(make_croissant(settings, facts)),
        ZENODO: _json(_zenodo(settings, facts)),
    }
    if terms:
        found[TERMS] = terms if terms.endswith("\n") else f"{terms}\n"
    if settings.reserves:
        found[TDM] = _json([{"location": "/*", "tdm-reservation": 1, **_policy(settings)}])
    return found


def _policy(settings: CardSettings) -> dict[str, str]:
    """Where the terms can be read, which must be an address; left out where the data set has no page."""
    return {"tdm-policy": settings.page} if settings.page else {}


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _front(settings: CardSettings, facts: Mapping[str, Any]) -> str:
    """Metadata of Hugging Face's dataset cards; the prompt works once access is gated in its settings."""
    licence = find_licence(settings.licence)
    size = next((name for most, name in SIZES if facts["images"] < most), "n>1M")
    content: dict[str, Any] = {"pretty_name": settings.title, "license": licence.hub}
    if licence.hub == "other":
        content |= {"license_name": settings.licence if settings.licence != "file" else "own", "license_link": TERMS}
    content |= {
        "task_categories": ["image-segmentation"],
        "tags": [word.replace(" ", "-") for word in facts["keywords"]],
        "size_categories": [size],
    }
    if settings.reserves:
        content["extra_gated_prompt"] = (
            f"By asking for access you accept {TERMS}: no training on these files without permission of the owner "
            f"({settings.contact})."
        )
        content["extra_gated_fields"] = {
            "Name": "text",
            "Institution": "text",
            "I accept the terms and train no model on these files without permission": "checkbox",
        }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _readme(settings: CardSettings, facts: Mapping[str, Any]) -> str:
    licence = find_licence(settings.licence)
    endings = ", ".join(f"{ending} ({count})" for ending, count in facts["endings"].items())
    rows = [f"| {NAMES[name]} | {count} |" for name, count in facts["counts"].items()]
    may = [f"{licence.title}. {f'The text: [{TERMS}]({TERMS}).' if licence.link == TERMS else licence.link}"]
    if licence.template and licence.link != TERMS:
        may.append(f"Terms of access: [{TERMS}]({TERMS}).")
    if settings.reserves:
        may.append(f"Training on these files needs permission in writing: {settings.contact}.")
    elif settings.contact:
        may.append(f"Questions: {settings.contact}.")
    changed = [f"In protected images {facts['bound']}."] if facts["bound"] else ["No pixel was changed for protection."]
    if facts["psnr"] is not None:
        changed.append(f"Their mean PSNR against the originals is {facts['psnr']} dB.")
    changed.append(
        "Masks are those of the original data, byte for byte." if not facts["labels"] else f"Masks: {facts['labels']}."
    )
    parts = [
        f"# {settings.title}",
        settings.description.strip() or facts["summary"],
        f"**Not for diagnosis{', and not for training without permission' if settings.reserves else ''}.**",
        "## What is in it",
        "\n".join(["| files | number |", "|---|---|", *rows]),
        f"Formats of the images: {endings}. {_size(facts['bytes'])} in all.",
        "## What was changed",
        " ".join(changed),
        "## What you may do",
        " ".join(may),
        *(["## Originals", _ORIGINALS] if facts["unlock"] else []),
        "## Limits",
        "\n".join(f"- {line}" for line in LIMITS),
        "## Is it whole?",
        "`umed/manifest.json` lists every file with its SHA-256. Its owner, who has the key, can prove that none "
        "was changed.",
        "## How to cite",
        settings.citation,
        f"The method: [arXiv 2403.14250]({PAPER}). Protected with umed {facts['version']}.",
    ]
    return "\n\n".join(parts) + "\n"


_ORIGINALS = (
    "Files in `umed/unlock` give the unperturbed originals back to the people for whom the owner has encrypted them: "
    "`umed unlock`. To become one of them, write to the contact."
)


def _zenodo(settings: CardSettings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as Zenodo reads it from ``.zenodo.json``, or as its form asks for it."""
    licence = find_licence(settings.licence)
    text = settings.description.strip() or facts["summary"]
    notes = f"{licence.title}. Protected images, not for diagnosis."
    if settings.reserves:
        notes += f" Training needs permission: {settings.contact}. See {TERMS}."
    return {
        "title": settings.title,
        "upload_type": "dataset",
        "description": text,
        "creators": [
            {
                "name": one.name,
                **({"affiliation": one.affiliation} if one.affiliation else {}),
                **({"orcid": one.orcid} if one.orcid else {}),
            }
            for one in settings.people
        ],
        **({"license": licence.zenodo} if licence.zenodo else {}),
        **(
            {"access_right": "restricted", "access_conditions": notes}
            if settings.reserves
            else {"access_right": "open"}
        ),
        "publication_date": settings.day,
        "version": settings.version,
        "keywords": list(facts["keywords"]),
        "notes": notes,
        **({"doi": settings.bare_doi} if settings.bare_doi else {}),
        "related_identifiers": [{"identifier": "arXiv:2403.14250", "relation": "references"}],
    }


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def _ending(name: str) -> str:
    path = PurePosixPath(name)
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix or "no ending"
