# SPDX-License-Identifier: Apache-2.0
"""The ten actions that the MIDI-B challenge scores, each on planted values; docs/dicom-proofs.md names these tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests.dicom_files import image, save, uid, write_series
from tests.release_files import make_key, volume
from umed.deid.keys import DeidKey, is_standard_uid
from umed.release.anonymize import anonymize

PATIENTS = {
    "one": {"PatientID": "GX-40513", "PatientName": "Abendroth^Ilse", "PatientBirthDate": "19580327"},
    "two": {"PatientID": "GX-40514", "PatientName": "Brunner^Ottokar", "PatientBirthDate": "19710914"},
}
PLANTED = {  # what each attribute says, and the words that must not come through
    "StudyDescription": ("CT Chest for Abendroth, call 044 312 55 19", ("abendroth", "044", "312", "55", "19")),
    "SeriesDescription": ("Chest 2.5 mm MRN GX-40513", ("gx-40513", "40513", "mrn")),
    "ImageComments": ("seen 27.03.1958 by Dr. Zwicky, Rosengasse 9", ("27.03.1958", "1958", "zwicky", "rosengasse")),
    "PatientComments": ("ilse@example.org, insurance CH-7781-22", ("ilse", "example", "7781", "22")),
    "AdditionalPatientHistory": ("daughter of Otmar Abendroth, born in Winkelstadt", ("otmar", "winkelstadt")),
    "ProtocolName": ("Chest routine Zwicky", ("zwicky",)),
    "InstitutionName": ("Klinik Sonnenberg Winkelstadt", ("klinik", "sonnenberg")),
    "OperatorsName": ("Zwicky^Alma", ("zwicky", "alma")),
    "DeviceSerialNumber": ("SN-99120", ("99120",)),
    "AccessionNumber": ("A-5512078", ("5512078",)),
}
KEPT = {"StudyDescription": ("CT", "Chest"), "SeriesDescription": ("Chest", "2.5", "mm"), "ProtocolName": ("Chest",)}
DATES = {"StudyDate": "20220118", "SeriesDate": "20220118", "AcquisitionDate": "20220119", "ContentDate": "20220119"}


class Outcome:
    """Pairs of originals and files of the release, and the key."""

    def __init__(self, root: Path, profile: str) -> None:
        source = root / "in"
        for number, (name, person) in enumerate(PATIENTS.items(), 1):
            said = {keyword: text for keyword, (text, _) in PLANTED.items()} if number == 1 else {}
            slices = volume(number, (3, 16, 18))
            paths = write_series(source / name, slices, study=number, series=number, **person, **said, **DATES)
            for place, path in enumerate(paths):
                ds = pydicom.dcmread(path)
                reference = Dataset()
                reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
                    ds.SOPClassUID,
                    uid("i", number, number, 1),
                )
                ds.SourceImageSequence = [reference]
                ds.AcquisitionDateTime = f"2022011910{place:02d}00"
                ds.PatientWeight, ds.PatientSex, ds.PatientAge, ds.KVP = "71.5", "F", "063Y", "120"
                save(ds, path)
        self.key = DeidKey.load(make_key(root))
        anonymize(source, root / "out", key_file=root / "project.key", profile=profile, report=False)
        found = {str(ds.SOPInstanceUID): ds for ds in map(pydicom.dcmread, sorted((root / "out").rglob("*.dcm")))}
        originals = [pydicom.dcmread(path) for path in sorted(source.rglob("*")) if path.is_file()]
        self.pairs = [(ds, found[self.key.uid(str(ds.SOPInstanceUID))]) for ds in originals]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return Outcome(tmp_path_factory.mktemp("midi"), "research")


def every(ds: Dataset) -> Iterator[DataElement]:
    """All attributes at every depth, those of the file meta information too."""
    yield from getattr(ds, "file_meta", Dataset())
    yield from ds.iterall()


def words(ds: Dataset) -> str:
    """All values of a data set, in small letters."""
    return "\n".join(str(one.value) for one in every(ds) if one.VR not in ("SQ", "OW", "OB", "UI")).lower()


def test_date_shifted(outcome: Outcome) -> None:
    shifts = {}
    for old, new in outcome.pairs:
        for keyword, value in {**DATES, "AcquisitionDateTime": str(old.AcquisitionDateTime)}.items():
            assert new[keyword].value and value not in str(new[keyword].value)
        assert not [one for one in every(new) if set(DATES.values()) & {str(one.value)[:8]}]
        moved = np.datetime64(_iso(new.StudyDate)) - np.datetime64(_iso(old.StudyDate))
        shifts.setdefault(str(old.PatientID), set()).add(moved.astype(int))
        assert np.datetime64(_iso(new.ContentDate)) - np.datetime64(_iso(new.StudyDate)) == np.timedelta64(1, "D")
    assert [len(found) for found in shifts.values()] == [1, 1]


def _iso(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def test_uid_changed(outcome: Outcome) -> None:
    for old, new in outcome.pairs:
        before = {str(one.value) for one in every(old) if one.VR == "UI" and not is_standard_uid(str(one.value))}
        after = {str(one.value) for one in every(new) if one.VR == "UI"}
        assert len(before) >= 4 and not before & after


def test_uid_consistent(outcome: Outcome) -> None:
    mapped: dict[str, set[str]] = {}
    for old, new in outcome.pairs:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            mapped.setdefault(str(old[keyword].value), set()).add(str(new[keyword].value))
        inner = [ds.SourceImageSequence[0].ReferencedSOPInstanceUID for ds in (old, new)]
        mapped.setdefault(str(inner[0]), set()).add(str(inner[1]))
        assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    assert all(found == {outcome.key.uid(uid_)} for uid_, found in mapped.items())
    assert len({next(iter(found)) for found in mapped.values()}) == len(mapped)


def test_patid_consistent(outcome: Outcome) -> None:
    found: dict[str, set[str]] = {}
    for old, new in outcome.pairs:
        found.setdefault(str(old.PatientID), set()).add(str(new.PatientID))
    assert [len(ids) for ids in found.values()] == [1, 1]
    assert len(set.union(*found.values())) == 2 and not set.union(*found.values()) & set(found)


@pytest.mark.parametrize("keyword", PLANTED)
def test_text_removed(outcome: Outcome, keyword: str) -> None:
    for old, new in outcome.pairs:
        if keyword in old and old[keyword].value == PLANTED[keyword][0]:
            left = str(new.get(keyword, "")).lower()
            assert not [word for word in PLANTED[keyword][1] if word in left]
            said = words(new)
            assert not [word for word in PLANTED[keyword][1] if len(word) > 4 and word in said]


@pytest.mark.parametrize("keyword", KEPT)
def test_text_retained(outcome: Outcome, keyword: str) -> None:
    kept = [str(new[keyword].value) for old, new in outcome.pairs if old.PatientID == "GX-40513"]
    assert len(kept) == 3 and all(word in text for word in KEPT[keyword] for text in kept)


def test_tag_retained(outcome: Outcome) -> None:
    # Those of type 1 and 2 of every module are compared in tests/release/test_iods.py.
    keywords = (
        "PatientWeight PatientSex PatientAge KVP PixelSpacing ImagePositionPatient RescaleSlope Manufacturer".split()
    )
    for old, new in outcome.pairs:
        for keyword in keywords:
            assert keyword not in old or new[keyword].value == old[keyword].value, keyword
        for keyword in ("StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate"):
            assert keyword in new


def test_text_notnull(outcome: Outcome) -> None:
    needed = (
        "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality ImageType PatientID PatientName".split()
    )
    for old, new in outcome.pairs:
        assert [keyword for keyword in needed if keyword in old and not new[keyword].value] == []
        assert not [
            one for one in every(new) if one.VR == "SQ" and one.keyword == "SourceImageSequence" and not one.value
        ]


def test_pixels_retained(outcome: Outcome) -> None:
    for old, new in outcome.pairs:
        assert hashlib.md5(new.PixelData).digest() == hashlib.md5(old.PixelData).digest()
        assert new.file_meta.TransferSyntaxUID == old.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("frames", [1, 3])
def test_pixels_hidden(tmp_path: Path, frames: int) -> None:
    """Put aside as a rule; where a rule of the site says where the text is, blanked there and nowhere else."""
    pixels = np.random.default_rng(0).integers(40, 255, (frames, 20, 24)[1 - (frames > 1) :], np.uint8)
    save(image(pixels, "US", position=None, PatientID="GX-40513", Manufacturer="ACME"), tmp_path / "in" / "us.dcm")
    key = make_key(tmp_path)
    write_series(tmp_path / "in" / "ct", volume(1, (2, 16, 18)), study=7, series=7)
    anonymize(tmp_path / "in", tmp_path / "aside", key_file=key, profile="research", report=False)
    [listed] = json.loads((tmp_path / "aside-private" / "quarantine.json").read_text())["files"]
    assert (listed["name"], listed["category"]) == ("us.dcm", "burned-in")
    rule = tmp_path / "site.yaml"
    rule.write_text(
        "profile: research\nburned_in: [{manufacturer: ACME, rows: 20, columns: 24, rectangles: [[0, 2, 5, 9]]}]\n"
    )
    anonymize(tmp_path / "in", tmp_path / "out", key_file=key, profile=rule, report=False)
    [shown] = [ds for ds in map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm")) if ds.Modality == "US"]
    want = pixels.copy()
    want[..., 0:5, 2:11] = pixels.min()
    np.testing.assert_array_equal(shown.pixel_array, want)
