# SPDX-License-Identifier: Apache-2.0
"""What is known about a folder of DICOM files after its headers were read: frozen records, no pixel data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from umed.core.types import Encoding
from umed.dicom.members import FileRef
from umed.dicom.one_patient import Person

Kind = Literal["image", "seg", "rtstruct", "other", "refused"]
"""What a file is good for: ``other`` can be de-identified (presentation states, ...), ``refused`` not."""

NO_DICOM = "is not a DICOM file"
"""How the reason begins for which such a file is refused."""
MiB, GiB = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Limits:
    """Bounds against hostile input; whatever exceeds one is refused with an error that names it.

    Args:
        depth: nesting of sequences.
        elements: data elements of one file, nested ones too.
        header_bytes: size of everything in a file but its pixel data, also after it was inflated.
        frames: frames of one file.
        pixels_bytes: size of the decoded pixel data of one file.
        zip_members: files in one zip.
        zip_bytes: size of all files of one zip, unpacked.
        zip_ratio: unpacked size over packed size of one member.
        files: files below one root.
        text_bytes: one value of text; names, comments and descriptions are far shorter.
        seconds: computing time for reading and cleaning one file; its pixels have a limit of their own
            (:data:`umed.dicom.pixels.codecs.TIMEOUT`).
    """

    depth: int = 32
    elements: int = 2_000_000
    header_bytes: int = 512 * MiB
    frames: int = 200_000
    pixels_bytes: int = 4 * GiB
    zip_members: int = 200_000
    zip_bytes: int = 256 * GiB
    zip_ratio: int = 2000
    files: int = 5_000_000
    text_bytes: int = 256 << 10
    seconds: float = 60.0


LIMITS = Limits()
"""The bounds where nobody gives others."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the slices of a series lie in the patient, in LPS millimetres (PS3.3 C.7.6.2).

    Args:
        shape: slices, rows, columns.
        affine: ``(4, 4)``; takes ``(slice, row, column, 1)`` to x, y, z of the centre of that voxel. Exact for a
            uniform series, else the step is the mean one.
        positions: ``(slices, 3)``; ImagePositionPatient of each slice, in slice order.
        orientation: ``(2, 3)``; ImageOrientationPatient: the direction of growing column index (along a row), then
            that of growing row index (along a column).
        spacing: millimetres between slices (along the normal), rows and columns.
        uniform: whether all steps from slice to slice are equal, within a tolerance.
        tilted: whether the step is not parallel to the normal of the slices (gantry tilt).
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    positions: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float, float]
    uniform: bool = True
    tilted: bool = False

    @property
    def normal(self) -> NDArray[np.float64]:
        """``(3,)`` unit vector across the slices: cross product of the row and the column direction."""
        cross = np.cross(self.orientation[0], self.orientation[1])
        return np.asarray(cross / np.linalg.norm(cross), dtype=np.float64)

    @property
    def step(self) -> float:
        """Distance from slice to slice; the smaller pixel size where the series does not say."""
        return self.spacing[0] or min(self.spacing[1:])

    @cached_property
    def to_pixels(self) -> NDArray[np.float64]:
        """``(2, 3)``; takes an offset in millimetres to that in rows and columns."""
        _, rows, columns = self.spacing
        return np.linalg.pinv(np.stack([self.orientation[1] * rows, self.orientation[0] * columns], axis=1))


@dataclass(frozen=True)
class Instance:
    """One DICOM file, as its header describes it.

    Args:
        path: where the bytes are.
        name: relative posix name for people; ``archive.zip!member`` for members of a zip.
        kind: what it is good for.
        reason: why it is refused, else empty.
        modality: Modality.
        sop_uid: SOPInstanceUID.
        series_uid: SeriesInstanceUID.
        study_uid: StudyInstanceUID.
        patient_key: PatientID and its issuer, or what stands in for them; the same for all files of a patient.
        person: who it says that it shows.
        frame_of_reference: FrameOfReferenceUID.
        syntax: UID of the transfer syntax.
        shape: frames, rows, columns; zeros without pixel data.
        samples: SamplesPerPixel.
        photometric: PhotometricInterpretation.
        encoding: what the stored values mean, ``None`` when they cannot be perturbed.
        unprotectable: why they cannot be perturbed, else empty. The file can still be de-identified.
        references: SOPInstanceUIDs that a segmentation or structure set refers to, in file order, each once.
        number: InstanceNumber, 0 where there is none.
    """

    path: FileRef
    name: str
    kind: Kind
    reason: str = ""
    modality: str = ""
    sop_uid: str = ""
    series_uid: str = ""
    study_uid: str = ""
    patient_key: str = ""
    person: Person = field(default=Person(), repr=False)
    frame_of_reference: str = ""
    syntax: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    samples: int = 1
    photometric: str = ""
    encoding: Encoding | None = None
    unprotectable: str = ""
    references: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True)
class Series:
    """Files of one SeriesInstanceUID that lie on one grid; a scout within a series becomes a series of its own.

    Args:
        uid: SeriesInstanceUID.
        id: short name, ``series_0001`` by sorted study, series and geometry; the same for the same files.
        modality: Modality.
        kind: kind of all its files.
        instances: files in slice order, along the normal of the slices.
        slices: for images: index into ``instances`` and frame index (from 0) of each slice, in slice order.
        geometry: where they lie; ``None`` for pictures without a position.
        problems: what is odd, in words, for example a missing slice. None of them stops a run.
        spacing: millimetres between rows and columns for pictures without a position, ones where not known.
    """

    uid: str
    id: str
    modality: str
    kind: Kind
    instances: tuple[Instance, ...]
    slices: tuple[tuple[int, int], ...] = ()
    geometry: Geometry | None = None
    problems: tuple[str, ...] = ()
    spacing: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Scan:
    """Everything below one root.

    Args:
        root: the folder or zip.
        series: sorted by id.
        refused: name and reason of each file that is not used: not DICOM, DICOMDIR, broken, a report, a duplicate.
    """

    root: Path
    series: tuple[Series, ...]
    refused: tuple[tuple[str, str], ...] = field(default=())
