# SPDX-License-Identifier: Apache-2.0
"""Makes small, valid DICOM files for tests: nothing of real patients, every UID from the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from umed.core.errors import InputError
from umed.dicom.objects import Series
from umed.dicom.pixels import pixel_data
from umed.dicom.read import reader

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "SR": "1.2.840.10008.5.1.4.1.1.88.11",
    "ECT": "1.2.840.10008.5.1.4.1.1.2.1",
    "RAW": "1.2.840.10008.5.1.4.1.1.66",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PATIENT = {"PatientID": "4711-X", "PatientName": "Muster^Erika", "PatientBirthDate": "19640812", "PatientSex": "F"}


def uid(*parts: Any) -> str:
    """A UID from words and numbers; the same for the same ones."""
    digits = "".join(f"{ord(c) % 100:02d}" for c in "|".join(map(str, parts)))
    return f"1.2.826.0.1.3680043.8.498.{digits.lstrip('0')[:24]}{sum(map(ord, digits))}"


def dataset(kind: str = "CT", *, study: Any = 1, series: Any = 1, instance: Any = 1, **attributes: Any) -> FileDataset:
    """A data set with patient, study and series, without pixels; attributes by keyword are set last."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = CLASSES[kind]
    ds.SOPInstanceUID = uid("i", study, series, instance)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("st", study), uid("se", study, series)
    ds.FrameOfReferenceUID = uid("for", study)
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240229", "101500", "S1", "ACC-77"
    ds.Modality = {"ECT": "CT"}.get(kind, kind)
    ds.SeriesNumber, ds.InstanceNumber = 1, instance if isinstance(instance, int) else 1
    ds.ReferringPhysicianName = "Haus^Gregor"
    ds.Manufacturer, ds.ManufacturerModelName = "Maker", "Model 1"
    for keyword, value in {**PATIENT, **attributes}.items():
        setattr(ds, keyword, value)
    return ds


def set_pixels(ds: Dataset, pixels: np.ndarray, *, bits: int | None = None, photometric: str | None = None) -> None:
    """Put stored values in: ``(rows, columns)``, ``(frames, rows, columns)``, or either with a last axis of 3."""
    colour = pixels.shape[-1] == 3 and pixels.dtype == np.uint8 and pixels.ndim >= 3
    shape = pixels.shape[:-1] if colour else pixels.shape
    if len(shape) == 3:
        ds.NumberOfFrames = shape[0]
    ds.Rows, ds.Columns = shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    if colour:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = photometric or ("RGB" if colour else "MONOCHROME2")
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    raw = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"


def image(
    pixels: np.ndarray,
    kind: str = "CT",
    *,
    position: Sequence[float] | None = (0.0, 0.0, 0.0),
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.8, 0.7),
    bits: int | None = None,
    photometric: str | None = None,
    **attributes: Any,
) -> FileDataset:
    """A single-frame image, placed in the patient unless ``position`` is ``None``."""
    ds = dataset(kind, **attributes)
    if position is not None:
        ds.ImagePositionPatient = [f"{value:.10g}" for value in position]
        ds.ImageOrientationPatient = [f"{value:.10g}" for value in orientation]
        ds.PixelSpacing = list(spacing)
    if kind == "CT" and "RescaleSlope" not in attributes:
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    set_pixels(ds, pixels, bits=bits, photometric=photometric)
    return ds


def save(ds: FileDataset, path: Path) -> Path:
    """Write a data set with a complete meta header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    volume: np.ndarray,
    kind: str = "CT",
    *,
    origin: Sequence[float] = (-10.0, 5.0, 100.0),
    step: Sequence[float] = (0.0, 0.0, 2.5),
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.8, 0.7),
    syntax: str | None = None,
    **attributes: Any,
) -> list[Path]:
    """One file a slice of ``(slices, rows, columns[, 3])``, slice k at ``origin + k * step``.

    File names do not follow the slice order, on purpose. ``syntax`` is a UID to compress with.
    """
    paths = []
    for number, pixels in enumerate(volume):
        position = np.asarray(origin) + number * np.asarray(step)
        one = dict(attributes, instance=number + 1)
        ds = image(pixels, kind, position=position, orientation=orientation, spacing=spacing, **one)
        if syntax is not None:
            ds.compress(UID(syntax), generate_instance_uid=False)
        paths.append(save(ds, folder / f"{(number * 7 + 3) % 101:03d}_{number:03d}"))
    return paths


def enhanced(
    volume: np.ndarray,
    *,
    origin: Sequence[float] = (-10.0, 5.0, 100.0),
    step: Sequence[float] = (0.0, 0.0, 2.5),
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.8, 0.7),
    order: Sequence[int] | None = None,
    **attributes: Any,
) -> FileDataset:
    """An enhanced CT in one file; ``order`` says which slice each frame holds."""
    order = range(len(volume)) if order is None else order
    ds = dataset("ECT", **attributes)
    shared, measures, direction, values = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 2.5
    direction.ImageOrientationPatient = list(orientation)
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2, -1000, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [direction]
    shared.PixelValueTransformationSequence = [values]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in order:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [float(value) for value in np.asarray(origin) + index * np.asarray(step)]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    set_pixels(ds, volume[list(order)])
    return ds


def read_slices(series: Series, start: int, stop: int) -> NDArray[Any]:
    """Stored values of some slices of a series; an error names the file."""
    found = []
    for index, frame in series.slices[start:stop]:
        path = series.instances[index].path
        with reader.guard(path):
            dataset = reader.read(path, pixels=True)
        try:
            found.append(pixel_data.decode(dataset)[frame])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return np.stack(found)
