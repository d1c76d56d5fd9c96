# SPDX-License-Identifier: Apache-2.0
"""Series and studies whose files are of several patients: they would get several pseudonyms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from umed.dicom.objects import Instance, Scan
from umed.dicom.one_patient import differing

LISTED = 5


def mixed_series(scan: Scan) -> dict[str, str]:
    """Series that must be put aside, since files of their SeriesInstanceUID are of several patients.

    Args:
        scan: all series of the input.

    Returns:
        By id, the reason in one line: the attributes that differ, never a value.
    """
    files: dict[str, list[Instance]] = defaultdict(list)
    for series in scan.series:  # one SeriesInstanceUID may be several series of one grid each
        files[series.uid] += series.instances
    found = {}
    for uid, instances in files.items():
        if tags := _tags(instances):
            found[uid] = (
                f"files of its series differ in {' and '.join(tags)}: they are of several patients, or of one under "
                "several names. Correct them at the source or split the series, and run it again"
            )
    return {series.id: found[series.uid] for series in scan.series if series.uid in found}


def mixed_studies(scan: Scan, aside: Collection[str]) -> tuple[str, ...]:
    """Warnings about studies of several patients, whose one StudyInstanceUID joins pseudonyms, and series of several.

    Args:
        scan: all series of the input.
        aside: ids of series that are not released.

    Returns:
        One line each.
    """
    studies: dict[str, dict[str, list[Instance]]] = defaultdict(dict)
    warnings = []
    for series in scan.series:
        if series.id in aside:
            continue
        for instance in series.instances:
            studies[instance.study_uid].setdefault(series.id, []).append(instance)
        if len({instance.study_uid for instance in series.instances}) > 1:
            apart = len({instance.patient_key for instance in series.instances}) > 1
            warnings.append(
                f"{series.id}: its files differ in StudyInstanceUID (0020,000D): they are released as several studies"
                f"{', and as several patients since none is named' if apart else ''}. Look whether they belong together"
            )
    for groups in studies.values():
        if tags := _tags([instance for group in groups.values() for instance in group]):
            names = [*sorted(groups)[:LISTED], *(["..."] if len(groups) > LISTED else [])]
            warnings.append(
                f"files of one study ({', '.join(names)}) differ in {' and '.join(tags)}: they are released as several "
                "patients with one StudyInstanceUID. Look whether a file was put into the wrong study"
            )
    return tuple(warnings)


def _tags(instances: Sequence[Instance]) -> tuple[str, ...]:
    """What differs; also where nothing but the spelling of a name does, if that makes two pseudonyms."""
    tags = differing(instance.person for instance in instances)
    named = any(instance.person.name.strip("^= ") for instance in instances)  # else nobody says who it is
    if tags or not named or len({instance.patient_key for instance in instances}) == 1:
        return tags
    return ("PatientName (0010,0010)",)
