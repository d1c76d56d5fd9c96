# SPDX-License-Identifier: Apache-2.0
"""Which mask belongs to which image series: DICOM SEG and RTSTRUCT by their references, NIfTI and pictures by name.

Nothing is guessed. A mask that is meant for a series but does not lie on its grid makes that series a problem, never a
series without a mask; so does one of several masks that is broken.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType

from umed.dicom import files, named, rtstruct, seg
from umed.dicom.layers import Mask, merge
from umed.dicom.named import Found
from umed.dicom.scan import scan as scan_folder
from umed.dicom.types import Instance, Limits, Scan, Series
from umed.errors import GeometryError, InputError
from umed.types import Progress

__all__ = ["Mask", "find"]
READERS: dict[str, ModuleType] = {"seg": seg, "rtstruct": rtstruct}
"""Module for each kind of DICOM mask: ``references(ds)`` and ``read(ds, name, series, ...)``."""


def find(
    scan: Scan, folder: Path | None = None, *, limits: Limits | None = None, progress: Progress | None = None
) -> tuple[dict[str, Mask], list[tuple[str, str]]]:
    """Find and read the masks of all image series.

    SEG and RTSTRUCT in the scan and in ``folder`` are matched by the images they refer to, else by the series, else by
    frame of reference and geometry. NIfTI, PNG and TIFF in ``folder`` are matched by their name or that of a folder
    above them: series id, SeriesInstanceUID, name of the series' folder (or only file), PatientID; without such a name
    by geometry, if just one series fits.

    Several masks of a series are merged in the order of their names, see :func:`umed.dicom.layers.merge`.

    Args:
        scan: the images, and the segmentations and structure sets beside them.
        folder: further masks (``--masks``).
        limits: bounds.
        progress: told about each mask file.

    Returns:
        The mask of each series id that has a sound one; and problems, sorted. The first part of a problem is the id of
        the series when a mask that is meant for it does not fit or is broken (then it has no mask here and must not be
        taken for a series without one), else the name of the mask file. The second is the error, in one line.

    Raises:
        InputError: if ``folder`` does not exist.
    """
    limits = limits or Limits()
    images = [series for series in scan.series if series.kind == "image"]
    found = Found()
    with tempfile.TemporaryDirectory(prefix="umed-masks-") as work:
        listed = _instances(scan)
        labels: list[named.Label] = []
        if folder is not None:
            if not folder.is_dir():
                raise InputError(
                    f"{folder}: expected a folder of masks, got {'a file' if folder.exists() else 'nothing'}."
                )
            labels = named.listed(folder, Path(work) / "labels", limits)
            others = scan_folder(folder, Path(work) / "dicom", limits)
            known = {instance.sop_uid for instance in listed}
            listed += [instance for instance in _instances(others) if instance.sop_uid not in known]
            taken = {label.name for label in labels}
            found.problems += [entry for entry in others.refused if entry[0] not in taken]
        total = len(listed) + len(labels)
        for number, instance in enumerate(listed):
            _dicom(instance, images, found, limits)
            if progress is not None:
                progress("masks", number + 1, total)
        named.match(labels, scan.root, images, found, limits)
        if progress is not None and labels:
            progress("masks", total, total)
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
    found = [instance for series in scan.series if series.kind in READERS for instance in series.instances]
    return sorted(found, key=lambda instance: instance.name)


def _dicom(instance: Instance, images: list[Series], found: Found, limits: Limits) -> None:
    """Match one SEG or RTSTRUCT and read it for each series that it is meant for."""
    reader, meant = READERS[instance.kind], []
    try:
        with files.guard(instance.name):
            ds = files.read(instance.path, limits, pixels=instance.kind == "seg")
            uids, series_uids, frames = reader.references(ds)
            meant = [series for series in images if any(one.sop_uid in uids for one in series.instances)]
            meant = meant or [series for series in images if series.uid in series_uids]
            sure = bool(meant)
            if not sure:
                meant = [series for series in images if series.instances[0].frame_of_reference in frames]
            failed: list[tuple[Series, InputError]] = []
            for series in meant:
                try:
                    mask = (
                        seg.read(ds, instance.name, series, limits)
                        if reader is seg
                        else reader.read(ds, instance.name, series)
                    )
                    found.add(series, mask)
                except GeometryError as error:
                    failed.append((series, error))
            if failed and len(failed) == len(meant) and sure:
                for series, reason in failed:
                    found.fail(series, reason)
            elif len(failed) == len(meant):
                why = (
                    str(failed[0][1])
                    if failed
                    else (
                        f"{instance.name}: expected a mask of one of the {len(images)} image series, got references to "
                        f"{len(uids)} images that are not here. Add the images, or remove the mask."
                    )
                )
                found.problems.append((instance.name, why))
    except InputError as error:
        named_here = [
            series for series in images if any(one.sop_uid in instance.references for one in series.instances)
        ]
        found.lose(instance.name, meant or named_here, error)
