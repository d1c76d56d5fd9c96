# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from umed.core.errors import ConfigError
from umed.report.card_page import make_card, mean_psnr, release_facts
from umed.report.card_settings import Author, CardSettings, card_settings, read_card_file
from umed.report.card_terms import LICENCES
from umed.report.croissant import MOST_OBJECTS, make_croissant

GOOD: dict[str, Any] = {
    "title": "Organs & more",
    "licence": "research-no-training",
    "authors": ("Doe, Jane; Example Hospital; https://orcid.org/0000-0002-1825-0097", "Example Institute"),
    "contact": "data@example.org",
    "doi": "https://doi.org/10.5281/zenodo.1234567",
    "date": "2026-01-31",
}


def settings(**changes: Any) -> CardSettings:
    return CardSettings(**{**GOOD, **changes})


def folder(root: Path, count: int = 2) -> dict[str, Any]:
    """A manifest with its files."""
    files = {}
    for number in range(count):
        for name, what in ((f"imagesTr/{number}.nii.gz", "protected image"), (f"labelsTr/{number}.nii.gz", "label")):
            (root / name).parent.mkdir(exist_ok=True, parents=True)
            (root / name).write_bytes(name.encode())
            files[name] = {"sha256": hashlib.sha256(name.encode()).hexdigest(), "what": what}
    files["umed/about.html"] = {"sha256": "0" * 64, "what": "other"}
    files["README.md"] = {"sha256": "0" * 64, "what": "card"}
    return {"files": files, "umed_version": "0.2.0", "bound_text": "no value moves"}


@pytest.mark.parametrize("licence", [name for name in LICENCES if name != "file"])
def test_each_licence_says_the_same_everywhere(licence: str, tmp_path: Path) -> None:
    chosen = settings(licence=licence)
    texts = make_card(chosen, release_facts(folder(tmp_path), tmp_path, None))
    reserves = licence != "cc-by"
    assert ("tdmrep.json" in texts) is ("TERMS.md" in texts) is reserves
    front, zenodo = yaml.safe_load(texts["README.md"].split("---\n")[1]), json.loads(texts[".zenodo.json"])
    page, croissant = texts["README.md"].split("---\n", 2)[2], json.loads(texts["croissant.json"])
    assert (front["license"] == "other") is reserves and front["size_categories"] == ["n<1K"]
    assert ("extra_gated_prompt" in front) is reserves and (zenodo["access_right"] == "restricted") is reserves
    assert ("needs permission in writing: data@example.org" in page) is reserves
    assert ("conditionsOfAccess" in croissant) is reserves
    assert LICENCES[licence].title in page and "not for diagnosis" in page.lower()
    if reserves:
        [rule] = json.loads(texts["tdmrep.json"])
        page = "https://doi.org/10.5281/zenodo.1234567"
        assert rule == {"location": "/*", "tdm-reservation": 1, "tdm-policy": page}
        assert all(
            word in texts["TERMS.md"] for word in ("Organs & more", "Doe, Jane", "no legal advice", "Article 4(3)")
        )
    else:
        assert "training without permission" not in page.split("## What you may do")[1].split("##")[0]


def test_zenodo_gets_what_its_form_asks_for(tmp_path: Path) -> None:
    zenodo = json.loads(make_card(settings(), release_facts(folder(tmp_path), tmp_path, None))[".zenodo.json"])
    assert {"title", "upload_type", "description", "creators", "access_right", "access_conditions"} <= zenodo.keys()
    jane = {"name": "Doe, Jane", "affiliation": "Example Hospital", "orcid": "0000-0002-1825-0097"}
    assert zenodo["creators"] == [jane, {"name": "Example Institute"}]
    assert zenodo["upload_type"] == "dataset" and zenodo["doi"] == "10.5281/zenodo.1234567"


@pytest.mark.parametrize("licence", ["research-no-training", "cc-by"])
def test_mlcroissant_reads_it_without_a_word(licence: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    texts = make_card(settings(licence=licence, version="2"), release_facts(folder(tmp_path), tmp_path, None))
    (tmp_path / "croissant.json").write_text(texts["croissant.json"])
    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(str(tmp_path / "croissant.json")).metadata
    assert found.ctx.issues.errors == set() and found.ctx.issues.warnings == set() and caplog.records == []
    assert (found.name, found.version, found.cite_as) == ("Organs-more", "2.0.0", settings(version="2").citation)
    files = {one.content_url: one.sha256 for one in found.distribution if hasattr(one, "sha256")}
    assert (
        files == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in files}
        and len(files) == 4
    )
    images, masks = (one for one in found.distribution if not hasattr(one, "sha256"))
    assert (images.includes, masks.includes) == (["imagesTr/*.nii.gz"], ["labelsTr/*.nii.gz"])


@pytest.mark.parametrize(
    ("images", "masks", "records"),
    [
        (["imagesTr/a.nii.gz", "imagesTr/b.nii.gz"], ["labelsTr/a.nii.gz", "labelsTr/b.nii.gz"], ["a", "b"]),
        (["i/a.png", "i/b.png"], ["m/a_segmentation.png", "m/b_segmentation.png"], ["a", "b"]),
        (["a_image.tif"], ["a_mask.tif"], ["a"]),
        (["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"], ["labelsTr/a.nii.gz"], ["a"]),
        (["i/a'b;ü.png", "i/日本.png"], ["m/a'b;ü.png", "m/日本.png"], ["a'b;ü", "日本"]),
        (["s/1.dcm"], ["m/1.dcm"], "series of DICOM files"),
        (["x/image.png", "y/image.png"], ["x/mask.png", "y/mask.png"], "do not tell for each image"),
        (["i/a.png"], ["m/a_left.png", "m/a_right.png"], "do not tell for each image"),
        (["i/a.png", "i/b.png"], ["m/a.png"], "do not tell for each image"),
        (["i/a.png"], [], "no images with masks"),
    ],
)
def test_each_case_is_a_record_where_names_tell_its_files(
    images: list[str], masks: list[str], records: list[str] | str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = {**dict.fromkeys(images, "protected image"), **dict.fromkeys(masks, "label")}
    files = {name: {"sha256": "0" * 64, "what": what, "bytes": 1} for name, what in kinds.items()}
    found = make_croissant(settings(), {"files": files, "summary": "s", "keywords": ()})
    if isinstance(records, str):
        assert "recordSet" not in found and records in found["distribution"][0]["description"]
        return
    [cases] = found["recordSet"]
    known = {one["@id"] for one in found["distribution"]}
    for record, name in zip(cases["data"], records, strict=True):
        several = record["cases/image"]
        assert record["cases/id"] == name and record["cases/mask"] in known & set(masks)
        assert {several} <= known if isinstance(several, str) else set(several) <= known and several == images
    mlcroissant = pytest.importorskip("mlcroissant")
    (tmp_path / "croissant.json").write_text(json.dumps(found))
    with caplog.at_level(logging.WARNING):
        read = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
        rows = list(read.records("cases"))
    issues = read.metadata.ctx.issues
    assert issues.errors == set() and issues.warnings == set() and caplog.records == []
    assert [row["cases/id"] for row in rows] == records
    assert [row["cases/mask"] for row in rows] == masks


def test_names_with_spaces_and_quotes_are_read_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["a b", 'a"b"', "a_b"]
    images, masks = [f"i/{name}.png" for name in names], [f"m/{name}.png" for name in names]
    kinds = {**dict.fromkeys(images, "protected image"), **dict.fromkeys(masks, "label")}
    files = {name: {"sha256": "0" * 64, "what": what, "bytes": 1} for name, what in kinds.items()}
    files |= {"masks": {"sha256": "0" * 64, "what": "carried", "bytes": 1}}  # the name of a set
    found = make_croissant(settings(), {"files": files, "summary": "s", "keywords": ()})
    where = {one["@id"]: one.get("contentUrl") for one in found["distribution"]}
    assert len(where) == len(found["distribution"]), "no two of one @id"
    assert where["i/a_b.png"] == "i/a_b.png" and where["masks"] is None and where["masks~2"] == "masks"
    records = found["recordSet"][0]["data"]
    assert [where[one["cases/image"]] for one in records] == images
    assert [where[one["cases/mask"]] for one in records] == masks
    mlcroissant = pytest.importorskip("mlcroissant")
    (tmp_path / "croissant.json").write_text(json.dumps(found))
    read = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    assert [row["cases/id"] for row in read.records("cases")] == names
    assert caplog.records == []


def test_a_large_release_is_told_by_patterns_alone() -> None:
    files = {
        f"a/{n}/x.dcm": {"sha256": "0" * 64, "what": "protected image", "bytes": 1} for n in range(MOST_OBJECTS + 1)
    }
    found = make_croissant(settings(), {"files": files, "summary": "s", "keywords": ()})
    [images] = found["distribution"]
    assert "recordSet" not in found and "more than 1000 files" in images["description"]
    assert images["includes"] == ["a/**/*.dcm"] and images["encodingFormat"] == ["image/dicom"]


def test_the_mean_of_few_cases_is_not_said() -> None:
    case = {"status": "protected", "files": [{"psnr": 48.04}]}
    other = [{"status": "unchanged", "files": [{"psnr": 1.0}]}, {"status": "protected", "files": [{"psnr": None}]}]
    assert mean_psnr({"cases": [case, case, *other]}) is None
    assert mean_psnr({"cases": [case, case, case, *other]}) == 48


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": "cc"}, "--licence: expected one of"),
        ({"licence": ""}, "got 'none'"),
        ({"title": " "}, "card: title: expected the name"),
        ({"title": "a\nb"}, "card: title: expected one line"),
        ({"title": "x" * 301}, "at most 300"),
        ({"authors": ()}, "card: author: expected at least one"),
        ({"authors": ("; Hospital",)}, "card: author: expected at least one"),
        ({"authors": ("a\tb",)}, "card: author 1: expected one line"),
        ({"contact": ""}, "card: contact: expected an address or page"),
        ({"doi": "zenodo 5"}, "card: doi: expected one such as"),
        ({"url": "ftp://x"}, "card: url: expected"),
        ({"version": "v1"}, "card: version: expected"),
        ({"date": "31.1.2026"}, "card: date: expected a day"),
        ({"licence": "file"}, "the text of your licence with --licence file"),
        ({"licence_text": "x"}, "the text of your licence with --licence file"),
        ({"description": "a\x00b"}, "card: description: expected plain text, got 'control characters"),
    ],
)
def test_each_field_is_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**changes)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_form_comes_back_as_it_was() -> None:
    one = settings(licence="file", licence_text="Ask.\n", reserve=True, keywords=("liver",))
    assert card_settings(one.to_dict()) == one and one.reserves
    assert not dataclasses.replace(one, reserve=None).reserves
    assert one.people[0] == Author("Doe, Jane", "Example Hospital", "0000-0002-1825-0097")
    assert one.citation.startswith(
        "Doe, Jane; Example Institute (2026). Organs & more, version 1.0.0. https://doi.org/"
    )
    with pytest.raises(ConfigError, match="Did you mean 'title'"):
        card_settings({"titel": "x", "licence": "cc-by"})


@pytest.mark.parametrize("text", ["[", "- a", "title: [", "licence_file: none.txt\ntitle: x"])
def test_a_file_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(ConfigError, match="expected"):
        read_card_file(tmp_path / "card.yaml")
    with pytest.raises(ConfigError, match="expected a YAML file"):
        read_card_file(tmp_path / "nothing.yaml")
