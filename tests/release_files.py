# SPDX-License-Identifier: Apache-2.0
"""A small hospital folder for tests of the DICOM step: CT with SEG, and a mess beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.seg.enum import SegmentAlgorithmTypeValues, SegmentationTypeValues
from highdicom.sr.coding import CodedConcept

from tests.dicom_files import dataset, save, write_series
from umed.deid.keys import DeidKey

SHAPE = (6, 40, 44)


def volume(seed: int = 0, shape=SHAPE, dtype=np.int16) -> np.ndarray:
    """Noise around 1024, so that a CT is water."""
    return (1024 + np.random.default_rng(seed).normal(0, 60, shape)).astype(dtype)


def labels(shape=SHAPE) -> np.ndarray:
    """A block on all slices but the first and the last."""
    found = np.zeros(shape, np.uint8)
    found[1:-1, 10:26, 12:30] = 1
    return found


def write_seg(paths: list[Path], mask: np.ndarray, target: Path, number: int = 78) -> Path:
    """A binary SEG of a series written by ``write_series``."""
    sources = sorted((pydicom.dcmread(path) for path in paths), key=lambda ds: float(ds.ImagePositionPatient[2]))
    for source in sources:
        source.SliceThickness = 2.5
    liver = CodedConcept("10200004", "SCT", "Liver")
    description = SegmentDescription(
        segment_number=1,
        segment_label="liver",
        segmented_property_category=CodedConcept("123037004", "SCT", "Anatomical Structure"),
        segmented_property_type=liver,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence("a", CodedConcept("123109", "DCM", "AI"), "1"),
    )
    seg = Segmentation(
        source_images=sources,
        pixel_array=mask.astype(bool),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid=f"1.2.826.0.1.3680043.8.498.77.{number}",
        series_number=9,
        sop_instance_uid=f"1.2.826.0.1.3680043.8.498.{number}",
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="SN-4711",
    )
    seg.save_as(target)
    return target


def hospital(root: Path, shape=SHAPE) -> Path:
    """CT series with a SEG; also a text file, a report and a file cut short."""
    paths = write_series(root / "ct of Erika", volume(shape=shape), bits=16)
    write_seg(paths, labels(shape), root / "seg.dcm")
    (root / "notes.txt").write_text("Erika Muster was here")
    report = dataset("SR", series="sr")
    save(report, root / "report.dcm")
    whole = paths[0].read_bytes()
    (root / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    return root


def make_key(folder: Path) -> Path:
    """A key file."""
    path = folder / "project.key"
    DeidKey.create(path)
    return path


def released(output: Path) -> dict[str, pydicom.FileDataset]:
    """All DICOM files of an output by SOPInstanceUID."""
    found = (pydicom.dcmread(path) for path in sorted(output.rglob("*.dcm")))
    return {str(ds.SOPInstanceUID): ds for ds in found}


def all_bytes(output: Path) -> dict[str, bytes]:
    """Content of every file of an output."""
    return {p.relative_to(output).as_posix(): p.read_bytes() for p in sorted(output.rglob("*")) if p.is_file()}
