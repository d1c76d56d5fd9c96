# SPDX-License-Identifier: Apache-2.0
"""Required attributes (PS3.3, type 1 and 2) are in an output wherever they were in its source.

The tables of modules and attributes are those that highdicom brings along. Conditional attributes (1C, 2C) are left
out, since no table says their conditions.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.misc import is_dicom

from tests.dicom_files import dataset, enhanced, image, save, write_series
from tests.release_files import hospital, make_key, released, volume
from umed.deid.keys import DeidKey
from umed.release.anonymize import anonymize

standard = pytest.importorskip("highdicom._standard_utils")
SERIES = (
    "ct_23x38x3", "ct_24x38x3", "ct_liver_3slice", "dicom2nifti_generic__anatomical__001",
    "dicom2nifti_generic__rgb__001", "dicom2nifti_philips_enhanced__anatomical__001", "rtutils_mock_data",
    "rtutils_oriented_data", "torchio_ct17", "totalseg_ct20",
)  # fmt: skip
PROFILES = ("basic", "longitudinal+device_identity")


@cache
def attributes(module):
    """Of each path in a module: keywords and types of what an item there has."""
    found = defaultdict(list)
    for row in standard.get_module_attribute_map().get(module, ()):
        found[tuple(row["path"])].append((row["keyword"], row["type"]))
    return found


def violations(ds):
    """Required attributes that are missing or empty, each as module, path and what is wrong."""
    sop_class = ds.get("SOPClassUID") or ds.file_meta.get("MediaStorageSOPClassUID")
    iod = standard.get_sop_class_iod_map().get(str(sop_class))
    wrong = set()
    for module in standard.get_iod_module_map()[iod] if iod else ():
        table = attributes(module["key"])
        marks = [keyword for keyword, kind in table[()] if kind == "1"]
        if module["usage"] == "M" or any(keyword in ds for keyword in marks):
            look(ds, table, (), module["key"], wrong)
    return wrong


def look(item, table, path, module, wrong):
    for keyword, kind in table.get(path, ()):
        place = f"{module}: {'.'.join((*path, keyword))}"
        if keyword not in item:
            wrong |= {f"{place} is missing"} if kind in ("1", "2") else set()
            continue
        value = item[keyword].value
        if kind == "1" and (value is None or (hasattr(value, "__len__") and len(value) == 0)):
            wrong.add(f"{place} is empty")
        if item[keyword].VR == "SQ":
            for nested in value or ():
                look(nested, table, (*path, keyword), module, wrong)


def worse(source, output, key):
    """What is wrong in outputs only, with the name of the source; and the number of pairs."""
    secret, found, pairs = DeidKey.load(key), released(output), 0
    new = {}
    for path in sorted(source.rglob("*")):
        if not path.is_file() or not is_dicom(path):
            continue
        old = pydicom.dcmread(path)
        old_uid = old.get("SOPInstanceUID") or old.file_meta.get("MediaStorageSOPInstanceUID", "")
        after = found.get(secret.uid(str(old_uid)))
        if after is not None:
            pairs += 1
            more = violations(after) - violations(old)
            if more:
                new[path.name] = sorted(more)
    return new, pairs


def full_ct(folder):
    """A CT file with most attributes of its modules, some of them of type 1 and identifying."""
    ds = image(volume()[0], series="full", StudyDescription="Abdomen of Erika", SeriesDescription="native")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.KVP = "19640812", "F", "S1", 120
    ds.PositionReferenceIndicator, ds.AcquisitionNumber, ds.SliceThickness = "", 1, 2.5
    ds.RescaleType, ds.DeviceSerialNumber, ds.SoftwareVersions = "HU", "SN1", "V1"
    ds.ContrastBolusAgent, ds.ClinicalTrialSponsorName, ds.ClinicalTrialProtocolID = "Iomeron", "Sponsor", "P-1"
    ds.ClinicalTrialProtocolName, ds.ClinicalTrialSiteID, ds.ClinicalTrialSubjectID = "Name", "Site", "4711-X"
    for keyword in ("RequestAttributesSequence", "ProcedureCodeSequence", "ReferencedImageSequence"):
        setattr(ds, keyword, [Dataset()])
    ds.RequestAttributesSequence[0].RequestedProcedureID = "ACC-77"
    ds.RequestAttributesSequence[0].ScheduledProcedureStepID = "ACC-77"
    code = ds.ProcedureCodeSequence[0]
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99LOCAL", "Abdomen of Erika"
    ds.ReferencedImageSequence[0].ReferencedSOPClassUID = ds.SOPClassUID
    ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = ds.SOPInstanceUID
    return save(ds, folder / "full.dcm")


def presentation(folder):
    """A presentation state, whose ContentLabel is required and whose creator is a name."""
    ds = dataset("PR", series="pr")
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "ERIKA", "of Muster", "Haus^Gregor"
    ds.PresentationCreationDate, ds.PresentationCreationTime, ds.InstanceNumber = "20240229", "101500", 1
    series, one, area = Dataset(), Dataset(), Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.8.498.3"
    series.SeriesInstanceUID, series.ReferencedImageSequence = "1.2.826.0.1.3680043.8.498.4", [one]
    ds.ReferencedSeriesSequence = [series]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [40, 44]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    ds.DisplayedAreaSelectionSequence, ds.PresentationLUTShape = [area], "IDENTITY"
    return save(ds, folder / "pr.dcm")


@pytest.mark.parametrize("profile", PROFILES)
def test_made_up_files_lose_nothing_that_is_required(tmp_path, profile):
    source, key = hospital(tmp_path / "in"), make_key(tmp_path)
    (source / "cut.dcm").unlink()
    full_ct(source / "b")
    presentation(source)
    write_series(source / "mr", volume(1, dtype=np.uint16), "MR", study=2, series=2)
    save(enhanced(volume(2), series="e"), source / "e.dcm")
    anonymize(source, tmp_path / "out", key_file=key, profile=profile, report=False)
    new, pairs = worse(source, tmp_path / "out", key)
    assert (new, pairs) == ({}, 6 + 1 + 1 + 1 + 6 + 1)


def test_protection_adds_only_what_is_complete(tmp_path):
    source, key = hospital(tmp_path / "in"), make_key(tmp_path)
    anonymize(source, tmp_path / "out", key_file=key, protect=True, method="checkerboard", report=False)
    (source / "cut.dcm").unlink()
    new, pairs = worse(source, tmp_path / "out", key)
    assert (new, pairs) == ({}, 7)
    derived = [ds for ds in released(tmp_path / "out").values() if "DERIVED" in str(ds.get("ImageType"))]
    one = next(ds for ds in derived if ds.Modality == "CT")
    assert not [text for text in violations(one) if "ContributingEquipment" in text or "Derivation" in text]


@pytest.mark.parametrize("name", SERIES)
def test_real_series_lose_nothing_that_is_required(shared_data, tmp_path, name):
    source, key = shared_data / "dicom_series" / name, make_key(tmp_path)
    if not source.is_dir():
        pytest.skip(f"no dicom_series/{name} beside the repository")
    anonymize(source, tmp_path / "out", key_file=key, accept_burned_in=True, report=False)
    new, pairs = worse(source, tmp_path / "out", key)
    assert pairs and new == {}


@pytest.mark.slow
def test_the_zoo_loses_nothing_that_is_required(dicom_zoo, tmp_path):
    source, key = dicom_zoo, make_key(tmp_path)
    anonymize(source, tmp_path / "out", key_file=key, accept_burned_in=True, report=False)
    new, pairs = worse(source, tmp_path / "out", key)
    assert pairs > 80 and new == {}


def test_the_table_finds_what_is_missing():
    ds = image(volume()[0])
    assert {text for text in violations(ds) if text.startswith("image-plane")} == {
        "image-plane: SliceThickness is missing"
    }
    ds.PatientName = None
    del ds.PatientID
    assert "patient: PatientID is missing" in violations(ds)
    assert not any("PatientName" in text for text in violations(ds))
    ds.ImagePositionPatient = None
    assert "image-plane: ImagePositionPatient is empty" in violations(ds)
