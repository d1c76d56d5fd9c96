# SPDX-License-Identifier: Apache-2.0
"""Tells a folder of DICOM files from other data sets, without reading DICOM."""

from __future__ import annotations

import importlib.util
import os
import zipfile
import zlib
from pathlib import Path

from umed.core.errors import ConfigError, InputError

LOOKED_AT = 1000
"""Files that are looked at before a folder counts as something else."""
OTHER_FILES = (
    "If pictures or volumes are to be protected: move the DICOM files (.dcm, .ima, zips of them) away, or say with "
    "--layout map.yaml where images and masks lie."
)
"""What to do where a folder counts as DICOM for a few files beside others."""
ENDINGS = (".dcm", ".dicom", ".ima")


def is_dicom(root: Path) -> bool:
    """Whether a folder or a zip holds DICOM files.

    Args:
        root: folder or zip.

    Returns:
        True for a folder without ``dataset.json`` in which a file, or a member of a zip, has the DICOM prefix (PS3.10
        section 7.1) or a usual ending, and for a zip.
    """
    if root.is_file():
        return zipfile.is_zipfile(root)
    if not root.is_dir() or (root / "dataset.json").exists():
        return False
    looked = 0
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if looks_like_dicom(path) or (name.lower().endswith(".zip") and _packs_dicom(path)):
                return True
            looked += 1
            if looked >= LOOKED_AT:
                return False
    return False


def _packs_dicom(path: Path) -> bool:
    """Whether a zip has a member that looks like DICOM, or that is a zip; one of pictures is an archive and no more."""
    try:
        if not path.is_file():
            return False
        with zipfile.ZipFile(path) as packed:
            for member in packed.infolist()[:LOOKED_AT]:
                name = member.filename.lower()
                if name.endswith((*ENDINGS, ".zip")):
                    return True
                if not member.is_dir():
                    with packed.open(member) as file:
                        if file.read(132)[128:] == b"DICM":
                            return True
    except (OSError, RuntimeError, ValueError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error):
        return False  # damaged or locked: an archive that nobody looked into
    return False


def takes_dicom(root: Path, masks: str | Path | None = None) -> bool:
    """Whether an input is to be read as DICOM; then the libraries for it are there.

    Args:
        root: folder or zip.
        masks: what ``--masks`` gave, which goes with DICOM alone.

    Raises:
        ConfigError: when masks are given for another layout.
        InputError: when the libraries are missing.
    """
    if is_dicom(root):
        require_dicom()
        return True
    if masks is not None and root.exists():
        raise ConfigError(f"--masks {masks}: expected DICOM files as input, got another layout. Leave the option out.")
    return False


def require_dicom() -> None:
    """Make sure that the DICOM libraries, which are an extra, are there.

    Raises:
        InputError: naming what to install.
    """
    missing = [name for name in ("pydicom", "highdicom") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"DICOM: expected pydicom and highdicom, got no {missing[0]}. Run: pip install 'umed[dicom]'")


def looks_like_dicom(path: Path) -> bool:
    """Whether a file has a usual ending, or the DICOM prefix (PS3.10 section 7.1)."""
    if path.name.lower().endswith(ENDINGS):
        return True
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
