# SPDX-License-Identifier: Apache-2.0
"""What the model zoo's own checks ask for, without their download."""

from __future__ import annotations

import json
import re
from pathlib import Path

import umed

ROOT = Path(__file__).resolve().parents[3] / "monai_bundle"
MANDATORY = """schema version changelog monai_version pytorch_version numpy_version name task description authors
copyright network_data_format required_packages_version""".split()
SHARED = """optional_packages_version data_type data_source image_classes references intended_use eval_metrics
label_classes pred_classes""".split()
TENSOR = "type format num_channels spatial_shape dtype value_range is_patch_data channel_def".split()
ORDER = ["Model Overview", "Data", "Training configuration", "Memory warning", "Input", "Output", "Performance"]
ORDER += ["MONAI Bundle Commands", "References", "License"]


def metadata() -> dict:  # type: ignore[type-arg]
    return json.loads((ROOT / "configs" / "metadata.json").read_text())  # type: ignore[no-any-return]


def test_has_every_key_of_the_zoo() -> None:
    assert [key for key in [*MANDATORY, *SHARED] if key not in metadata()] == []


def test_version_is_in_the_changelog_and_is_umeds() -> None:
    content = metadata()
    assert content["version"] in content["changelog"]
    assert content["required_packages_version"]["umed"] == umed.__version__
    for key in ("version", "monai_version", "pytorch_version", "numpy_version"):
        assert re.fullmatch(r"\d+\.\d+\.\d+", content[key]), key


def test_versions_are_those_of_constraints() -> None:
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT.parent / "constraints.txt").read_text(), re.MULTILINE))
    content = metadata()
    assert (content["monai_version"], content["pytorch_version"]) == (pins["monai"], pins["torch"])
    assert content["numpy_version"] == pins["numpy"]
    for name, version in content["required_packages_version"].items():
        assert version == pins.get(name, version), name


def test_tensors_are_described() -> None:
    form = metadata()["network_data_format"]
    for tensor in (form["inputs"]["image"], form["outputs"]["pred"]):
        assert [key for key in TENSOR if key not in tensor] == []
        assert sorted(tensor["channel_def"], key=int) == [str(n) for n in range(tensor["num_channels"])]


def test_says_what_it_is_not_for() -> None:
    use = metadata()["intended_use"]
    assert "research" in use and "not for diagnosis" in use


def test_files_of_a_bundle_are_there() -> None:
    names = "LICENSE configs/metadata.json configs/inference.yaml docs/README.md docs/data_license.txt models".split()
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_readme_has_the_zoos_order() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "README.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in ORDER] == ORDER
