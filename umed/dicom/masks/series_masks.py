# SPDX-License-Identifier: Apache-2.0
"""Which mask belongs to which image series: DICOM SEG and RTSTRUCT by their references, NIfTI and pictures by name.

Nothing is guessed. A mask that is meant for a series but does not lie on its grid makes that series a problem, never a
series without a mask; so does one of several masks that is broken.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from umed.core.errors import GeometryError, InputError
from umed.data.files import PROPOSALS
from umed.dicom.masks import grids, named, rtstruct, seg, seg_file
from umed.dicom.masks.layers import Mask, merge
from umed.dicom.masks.named import NamedMask
from umed.dicom.objects import LIMITS, Instance, Limits, Scan, Series
from umed.dicom.read import reader
from umed.dicom.read.scan import scan as scan_folder

__all__ = ["Mask", "find"]
REFERENCES = {"seg": seg_file.references, "rtstruct": rtstruct.references}
"""For each kind of DICOM mask: what gives the images, series and frames of reference that it names."""


def find(
    scan: Scan, folder: Path | None = None, *, limits: Limits = LIMITS
) -> tuple[dict[str, Mask], list[tuple[str, str]]]:
    """Find and read the masks of all image series.

    SEG and RTSTRUCT in the scan and in ``folder`` are matched by the images they refer to, else by the series, else by
    frame of reference and geometry; a series without a mask takes that of another one with the same frame of reference
    and grid. NIfTI, PNG and TIFF in ``folder`` are matched by their name or that of a folder
    above them: series id, SeriesInstanceUID, name of the series' folder (or only file), PatientID; without such a name
    by geometry, if just one series fits.

    Several masks of a series are merged in the order of their names, see :func:`umed.dicom.masks.layers.merge`.

    Args:
        scan: the images, and the segmentations and structure sets beside them.
        folder: further masks (``--masks``).
        limits: bounds.

    Returns:
        The mask of each series id that has a sound one; and problems, sorted. The first part of a problem is the id of
        the series when a mask that is meant for it does not fit or is broken (then it has no mask here and must not be
        taken for a series without one), else the name of the mask file. The second is the error, in one line.

    Raises:
        InputError: if ``folder`` does not exist.
    """
    images = [series for series in scan.series if series.kind == "image"]
    found = NamedMask()
    listed = _instances(scan)
    labels: list[named.Label] = []
    if folder is not None:
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder of masks, got {'a file' if folder.exists() else 'nothing'}.")
        labels = named.listed(folder, limits)
        others = scan_folder(folder, limits)
        known = {instance.sop_uid for instance in listed}
        listed += [instance for instance in _instances(others) if instance.sop_uid not in known]
        taken = {label.name for label in labels}
        found.problems += [
            entry for entry in others.refused if entry[0] not in taken and Path(entry[0]).name != PROPOSALS
        ]
    for instance in listed:
        _dicom(instance, images, found, limits)
    named.match(labels, scan.root, images, found, limits)
    _share(images, found)
    masks: dict[str, Mask] = {}
    for series in images:
        if series.id not in found.broken and series.id in found.masks:
            try:
                masks[series.id] = merge(sorted(found.masks[series.id], key=lambda mask: mask.source))
            except InputError as error:
                found.fail(series, error)
    problems = found.problems + [(key, "; ".join(reasons)) for key, reasons in found.broken.items()]
    return masks, sorted(problems)


def _instances(scan: Scan) -> list[Instance]:
    """SEG and RTSTRUCT files of a scan, by name."""
    found = [instance for series in scan.series if series.kind in REFERENCES for instance in series.instances]
    return sorted(found, key=lambda instance: instance.name)


def _dicom(instance: Instance, images: list[Series], found: NamedMask, limits: Limits) -> None:
    """Match one SEG or RTSTRUCT and read it for each series that it is meant for."""
    meant = [series for series in images if any(one.sop_uid in instance.references for one in series.instances)]
    try:
        with reader.guard(instance.name):
            ds = reader.read(instance.path, limits, pixels=instance.kind == "seg")
            uids, series_uids, frames = REFERENCES[instance.kind](ds)
            meant = [series for series in images if any(one.sop_uid in uids for one in series.instances)]
            meant = meant or [series for series in images if series.uid in series_uids]
            near = meant or [series for series in images if series.instances[0].frame_of_reference in frames]
            failed: list[GeometryError] = []
            for series in near:
                try:
                    if instance.kind == "rtstruct":
                        found.add(series, rtstruct.read(ds, instance.name, series), dicom=True)
                    else:
                        found.add(series, seg.read(ds, instance.name, series, limits), dicom=True)
                except GeometryError as error:
                    failed.append(error)
            if failed and len(failed) == len(near):
                for series, reason in zip(meant, failed, strict=False):
                    found.fail(series, reason)
                if not meant:
                    raise failed[0]
            if not near:
                raise InputError(
                    f"{instance.name}: expected a mask of one of the {len(images)} image series, got references to "
                    f"{len(uids)} images that are not here. Add the images, or remove the mask."
                )
    except InputError as error:
        found.lose(instance.name, meant, error)


def _share(images: list[Series], found: NamedMask) -> None:
    """Give series without a mask the DICOM masks of a series in the same frame of reference and on the same grid.

    Its voxels show the same places in the same patient (PS3.3 C.7.4.1), so whoever has the mask has one for it, too.
    """
    alone = [series for series in images if series.id not in found.masks and series.id not in found.broken]
    for series in alone:
        for other in images:
            if other.id in found.dicom and _same_grid(series, other):
                for mask in found.dicom[other.id]:
                    note = (
                        f"{mask.source}: refers to {other.id}, which has the grid and frame of reference of {series.id}"
                    )
                    found.add(series, replace(mask, notes=(*mask.notes, note)))
                break


def _same_grid(first: Series, second: Series) -> bool:
    """Whether two series lie in one frame of reference, voxel on voxel."""
    a, b = first.instances[0], second.instances[0]
    one, other = first.geometry, second.geometry
    if not a.frame_of_reference or (a.frame_of_reference, a.patient_key) != (b.frame_of_reference, b.patient_key):
        return False
    if one is None or other is None or one.shape != other.shape:
        return False
    near = grids.TOLERANCE * min(one.spacing[1:])
    return bool(
        np.allclose(one.spacing[1:], other.spacing[1:], rtol=grids.TOLERANCE / max(one.shape[1:]), atol=0)
        and np.allclose(one.orientation, other.orientation, rtol=0, atol=1e-4)
        and np.allclose(one.positions, other.positions, rtol=0, atol=near)
    )
