# SPDX-License-Identifier: Apache-2.0
"""Label files that carry no reference to their images: matched by the names of files and folders, else by geometry."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from umed.core.errors import GeometryError, InputError
from umed.data import formats
from umed.dicom.masks import grids, labels
from umed.dicom.masks.layers import Mask
from umed.dicom.objects import Limits, Series
from umed.dicom.read import reader

_HINT = "Name it by series id (see umed inspect), SeriesInstanceUID, series folder or PatientID."


class Label(NamedTuple):
    """A file that may be a label.

    Args:
        path: where it is.
        name: relative posix name.
    """

    path: Path
    name: str


@dataclass
class NamedMask:
    """What was found so far.

    Args:
        masks: of each series id.
        dicom: those of them that come from a SEG or RTSTRUCT.
        broken: why a series cannot be used, of each series id.
        problems: name and reason of each mask file that belongs to no series.
    """

    masks: dict[str, list[Mask]] = field(default_factory=dict)
    dicom: dict[str, list[Mask]] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, series: Series, mask: Mask, dicom: bool = False) -> None:
        """Keep a mask of a series."""
        self.masks.setdefault(series.id, []).append(mask)
        if dicom:
            self.dicom.setdefault(series.id, []).append(mask)

    def fail(self, series: Series, error: InputError) -> None:
        """Remember that a mask that is meant for a series cannot be used."""
        self.broken.setdefault(series.id, []).append(str(error))

    def lose(self, name: str, meant: list[Series], error: InputError) -> None:
        """Remember that a mask file cannot be used, for each series that it is meant for if that is known."""
        for series in meant:
            self.fail(series, error)
        if not meant:
            self.problems.append((name, str(error)))


def listed(folder: Path, limits: Limits) -> list[Label]:
    """Files of a folder and below, not in zips, that are images by their ending but not DICOM."""
    found, _ = reader.find(folder, limits)
    return [
        Label(path, name)
        for path, name in found
        if isinstance(path, Path) and formats.looks_like_image(Path(name)) and not name.lower().endswith(".dcm")
    ]


def match(found: list[Label], root: Path, images: list[Series], into: NamedMask, limits: Limits) -> None:
    """Match label files to series and read them; masks, failures and problems go into ``into``.

    The name of the images' ``root`` stands for series that lie in it directly.
    """
    keys = _keys(root, images, limits) if found else []
    pictures: dict[tuple[tuple[str, ...], str], tuple[list[Series], list[Label]]] = {}
    for label in found:
        series, by_stem = _by_name(label.name, keys)
        if formats.ending(Path(label.name)) in formats.VOLUMES:
            _volume(label, series, "class" if by_stem else labels.stems_of(label.name)[0], images, into)
            continue
        series = series or (images if len(images) == 1 else [])
        parent = PurePosixPath(label.name).parent.as_posix()  # those of one folder belong together
        group = (tuple(one.id for one in series), parent if series else label.name)
        pictures.setdefault(group, (series, []))[1].append(label)
    for (_, parent), (series, members) in pictures.items():
        name = members[0].name if len(members) == 1 else f"{parent}/ ({len(members)} pictures)"
        try:
            if len(series) != 1:
                raise InputError(f"{name}: expected the name of just one series, got that of {len(series)}. {_HINT}")
            mask = labels.read_pictures(members, name, series[0])
            into.add(series[0], replace(mask, files=tuple(one.path for one in members)))
        except InputError as error:
            into.lose(name, series, error)


def _volume(label: Label, series: list[Series], text: str, images: list[Series], into: NamedMask) -> None:
    """Read a NIfTI, MetaImage or NRRD label for the series of that name, or for the only one that it fits."""
    meant = series
    try:
        formats.check_mask_size(label.path, [(one.id, _voxels(one)) for one in series or images])
        volume = formats.read(label.path)
        if len(series) == 1:
            mask = labels.read_volume(volume, label.name, series[0], text)
            into.add(series[0], replace(mask, files=(label.path,)))
            return
        fitting = [one for one in series or images if labels.fits(volume, one)]
        frames = {(one.instances[0].patient_key, one.instances[0].frame_of_reference) for one in fitting}
        # one name for several series (a patient, a folder): all that share grid and frame of reference show the same
        if len(fitting) != 1 and not (series and len(frames) == 1 and next(iter(frames))[1]):
            meant = [one for one in fitting if one in series] or series
            raise GeometryError(
                f"{label.name}: expected a label on the grid of just one of {len(series or images)} series, got "
                f"{labels.describe(volume)}, which fits {', '.join(one.id for one in fitting[:5]) or 'none'}; they are "
                f"{'; '.join(_words(one) for one in (fitting or series or images)[:3])}. {_HINT}"
            )
        for one in fitting:
            into.add(one, replace(labels.read_volume(volume, label.name, one, text), files=(label.path,)))
    except InputError as error:
        into.lose(label.name, meant, error)


def _voxels(series: Series) -> int:
    _, rows, columns = series.instances[0].shape
    return len(series.slices) * rows * columns


def _words(series: Series) -> str:
    return f"{series.id} ({grids.of_series(series.geometry) if series.geometry else 'without positions'})"


def _keys(root: Path, images: list[Series], limits: Limits) -> list[dict[str, list[Series]]]:
    """Series of each name, the surest kind of name first."""
    kinds: list[dict[str, list[Series]]] = [{} for _ in range(5)]
    for series in images:
        names = [PurePosixPath(one.name.replace("!", "/")) for one in series.instances]
        folders = {name.parent.name or root.name for name in names}
        with suppress(InputError), reader.guard(series.id):
            header = reader.read(series.instances[0].path, limits, pixels=False)
            patient = str(header.get("PatientID") or "").strip()
            _enter(kinds[4], {patient, re.sub(r"[^A-Za-z0-9._-]", "_", patient)}, series)
        _enter(kinds[0], {series.id}, series)
        _enter(kinds[1], {series.uid}, series)
        if len(names) == 1:  # one file: its path, then its name
            _enter(kinds[2], {names[0].as_posix(), names[0].with_suffix("").as_posix()}, series)
            _enter(kinds[3], {names[0].name, names[0].stem}, series)
        _enter(kinds[3], folders if len(folders) == 1 else set(), series)
    return kinds


def _enter(table: dict[str, list[Series]], keys: set[str], series: Series) -> None:
    for key in keys - {""}:
        table.setdefault(key, []).append(series)


def _by_name(name: str, keys: list[dict[str, list[Series]]]) -> tuple[list[Series], bool]:
    """Series that a label is named after, and whether its own name says so rather than that of a folder above."""
    path = PurePosixPath(name)
    stems = labels.stems_of(name)
    paths = [(path.parent / stem).as_posix() for stem in stems]
    for table in keys:
        for token in (*paths, *stems):
            if token in table:
                return table[token], True
        for folder in reversed(path.parent.parts):
            if folder in table:
                return table[folder], False
    return [], len(path.parts) == 1
