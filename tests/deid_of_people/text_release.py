# SPDX-License-Identifier: Apache-2.0
"""A folder of one invented CT slice through ``umed anonymize``, and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

from tests.dicom_files import image, save
from tests.release_files import make_key
from umed.cli.main import main
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile

KEY = DeidKey(bytes(range(32)))
EVERYTHING = "longitudinal+clean_descriptors+device_identity+patient_characteristics+safe_private"


def picture(**attributes: Any) -> FileDataset:
    """One CT slice; attributes by keyword are set last."""
    return image(np.arange(64, dtype=np.int16).reshape(8, 8), **attributes)


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def stored(ds: Dataset, tag: int, vr: str, value: bytes) -> None:
    """Put bytes in as a file has them; pydicom does not look at them."""
    value += b" " * (len(value) % 2)
    ds[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def loose(ds: Dataset, tag: int, vr: str, value: Any) -> None:
    """Put a value in that breaks the rules of its VR."""
    ds[Tag(tag)] = DataElement(Tag(tag), vr, value, validation_mode=pydicom.config.IGNORE)


def cleaned(ds: FileDataset, profile: str = "basic") -> FileDataset:
    """The data set after the engine alone."""
    Deidentifier(KEY, load_profile(profile))(ds, "p")
    return ds


def anonymized(folder: Path, ds: FileDataset, profile: str = "basic", *words: str) -> tuple[int, list[Path]]:
    """Exit code and written DICOM files of ``umed anonymize`` over the data set."""
    save(ds, folder / "in" / "slice.dcm")
    key = str(make_key(folder))
    arguments = [
        "anonymize",
        str(folder / "in"),
        str(folder / "out"),
        "--key-file",
        key,
        "--profile",
        profile,
        "--quiet",
    ]
    code = main([*arguments, *words])
    return code, sorted((folder / "out").rglob("*.dcm"))


def text(ds: Dataset) -> str:
    """Every value but pixels, UIDs, and what umed writes itself, at every depth."""
    found = []
    for element in ds:
        if element.VR == "SQ":
            found += [text(one) for one in element.value]
        elif (
            element.VR != "UI"
            and element.tag.group not in (0x0012, 0x7FE0)
            and int(element.tag) not in (0x00100010, 0x00100020)
        ):
            found.append(str(element.value))
    return "\n".join(found)


def proven(folder: Path, ds: FileDataset, profile: str = "basic", *words: str) -> Path:
    """The one file that ``umed anonymize`` writes, after ``--check`` has found nothing in it."""
    code, files = anonymized(folder, ds, profile, *words)
    assert code == 0 and len(files) == 1
    assert main(["anonymize", "--check", str(folder / "out"), "--original", str(folder / "in")]) == 0
    return files[0]
