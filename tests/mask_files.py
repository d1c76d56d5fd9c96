# SPDX-License-Identifier: Apache-2.0
"""Makes tiny DICOM series, segmentations, structure sets and NIfTI labels for the tests of masks."""

from __future__ import annotations

import zlib

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from umed.dicom.read.scan import scan

CT, SEG, LABELMAP, RTSTRUCT = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "66.4", "66.7", "481.3"))
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
FRAME = "1.2.3.9"
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
TURNED = ((0.8, 0.6, 0.0), (-0.48, 0.64, 0.6))  # orthonormal
ORIGIN = np.array([-10.0, 20.0, 30.0])
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def item(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(
            ds,
            keyword,
            Sequence(value) if isinstance(value, list) and value and isinstance(value[0], Dataset) else value,
        )
    return ds


def save(path, ds, sop_class, uid, *, modality, series, patient="P1", frame=FRAME):
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, uid, modality
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", series, frame
    ds.PatientID, ds.PatientName, ds.Manufacturer = patient, "Doe^Jane", "m"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def pixels(ds, array, bits=16):
    ds.Rows, ds.Columns = array.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    data = np.packbits(array.astype(bool).ravel(), bitorder="little") if bits == 1 else array.astype(f"<u{bits // 8}")
    raw = data.tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if bits == 16 else "OB"


def numbers(values):
    return [f"{value:.8g}" for value in values]


def positions(count, step=2.5, axes=AXIAL, origin=ORIGIN):
    return [origin + k * step * np.cross(*axes) for k in range(count)]


def make_series(folder, places, *, axes=AXIAL, shape=(12, 10), spacing=(0.5, 0.8), series="1.2.3.4", first=1, **other):
    """One file a slice, ``series.first`` ... as SOPInstanceUID in the order of ``places``."""
    for number, place in enumerate(places, start=first):
        ds = Dataset()
        pixels(ds, np.full(shape, number, np.uint16))
        ds.ImagePositionPatient, ds.ImageOrientationPatient = numbers(place), numbers(np.ravel(axes))
        ds.PixelSpacing, ds.SliceThickness, ds.InstanceNumber = numbers(spacing), 2.5, number
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        save(folder / f"IM{number:04d}.dcm", ds, CT, f"{series}.{number}", modality="CT", series=series, **other)
    return folder


def frame_group(place=None, segment=None, source=None, axes=None, spacing=None, number=None):
    group = Dataset()
    if place is not None:
        group.PlanePositionSequence = Sequence([item(ImagePositionPatient=numbers(place))])
    if axes is not None:
        group.PlaneOrientationSequence = Sequence([item(ImageOrientationPatient=numbers(np.ravel(axes)))])
    if spacing is not None:
        group.PixelMeasuresSequence = Sequence([item(PixelSpacing=numbers(spacing))])
    if segment is not None:
        group.SegmentIdentificationSequence = Sequence([item(ReferencedSegmentNumber=segment)])
    if source is not None:
        image = item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=source)
        if number is not None:
            image.ReferencedFrameNumber = number
        group.DerivationImageSequence = Sequence([item(SourceImageSequence=[image])])
    return group


def make_seg(path, array, groups, segments, *, kind="BINARY", axes=AXIAL, spacing=(0.5, 0.8), padding=None, **other):
    """``array``: (frames, rows, columns); ``segments``: number to label."""
    ds = Dataset()
    pixels(ds, array, 1 if kind == "BINARY" else 8)
    ds.NumberOfFrames, ds.SegmentationType = len(array), kind
    if kind == "FRACTIONAL":
        ds.MaximumFractionalValue, ds.SegmentationFractionalType = 200, "PROBABILITY"
    if padding is not None:
        ds.PixelPaddingValue = padding
    code = {n: ("125040", "DCM") if label == "Background" else ("85756007", "SCT") for n, label in segments.items()}
    ds.SegmentSequence = Sequence(
        item(
            SegmentNumber=n,
            SegmentLabel=label,
            SegmentedPropertyTypeCodeSequence=[
                item(CodeValue=code[n][0], CodingSchemeDesignator=code[n][1], CodeMeaning="thing")
            ],
        )
        for n, label in segments.items()
    )
    ds.SharedFunctionalGroupsSequence = Sequence([frame_group(axes=axes, spacing=spacing)])
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    sop = LABELMAP if kind == "LABELMAP" else SEG
    settings = {"modality": "SEG", "series": "1.2.3.5", **other}
    return save(path, ds, sop, f"{settings['series']}.{zlib.crc32(path.name.encode())}", **settings)


def contour(points, *sources, kind="CLOSED_PLANAR"):
    ds = item(ContourGeometricType=kind, NumberOfContourPoints=len(points), ContourData=numbers(np.ravel(points)))
    if sources:
        ds.ContourImageSequence = Sequence(
            item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=uid) for uid in sources
        )
    return ds


def make_rtstruct(path, rois, *, external=(), series="1.2.3.6", images="1.2.3.4", frame=FRAME):
    """``rois``: name to contours, numbered from 1."""
    ds = Dataset()
    ds.StructureSetLabel = "set"
    referenced = item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=images)])
    ds.ReferencedFrameOfReferenceSequence = Sequence(
        [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[referenced])]
    )
    named = list(enumerate(rois.items(), start=1))
    ds.StructureSetROISequence = Sequence(
        item(ROINumber=n, ROIName=name, ReferencedFrameOfReferenceUID=frame) for n, (name, _) in named
    )
    ds.ROIContourSequence = Sequence(item(ReferencedROINumber=n, ContourSequence=parts) for n, (_, parts) in named)
    ds.RTROIObservationsSequence = Sequence(
        item(ObservationNumber=n, ReferencedROINumber=n, RTROIInterpretedType="EXTERNAL" if name in external else "")
        for n, (name, _) in named
    )
    return save(path, ds, RTSTRUCT, f"{series}.1", modality="RTSTRUCT", series=series)


def images(root, work):
    """Image series of a folder."""
    return [series for series in scan(root).series if series.kind == "image"]


def to_world(series, k, corners):
    """LPS of points given as row and column index on a slice."""
    geometry = series.geometry
    return [
        geometry.positions[k]
        + row * geometry.spacing[1] * geometry.orientation[1]
        + column * geometry.spacing[2] * geometry.orientation[0]
        for row, column in corners
    ]


def nifti(path, series, volume):
    """A label as most tools write it: axes x, y, z in RAS, so that rows and columns are swapped and reversed."""
    affine = RAS @ series.geometry.affine[:, [2, 1, 0, 3]]
    data = np.transpose(volume, (2, 1, 0))[:, ::-1]
    affine[:, 3] += affine[:, 1] * (data.shape[1] - 1)
    affine[:, 1] *= -1
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(data), affine), path)
