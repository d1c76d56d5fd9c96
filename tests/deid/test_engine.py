# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.dicom_files import dataset, image, uid
from umed.deid.engine import Deidentifier, Quarantine
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile

KEY = DeidKey(bytes(range(32)))
BASIC = Deidentifier(KEY, load_profile("basic"))


def reread(ds: Dataset) -> tuple[Dataset, bytes]:
    """The data set as another program sees it, and its bytes."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue())), buffer.getvalue()


def item(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def test_the_patient_becomes_a_pseudonym_and_the_file_says_so() -> None:
    ds = image(np.zeros((4, 4), np.int16), InstitutionName="Sanatorium", OperatorsName="Castorp^Hans")
    audit = BASIC(ds, "4711-X|issuer")
    ds, raw = reread(ds)
    assert ds.PatientID == ds.PatientName == KEY.pseudonym("4711-X|issuer")
    assert ds.PatientBirthDate == ds.PatientSex == ds.StudyDate == ds.AccessionNumber == ""
    assert ds.PatientIdentityRemoved == "YES" and ds.LongitudinalTemporalInformationModified == "REMOVED"
    assert [code.CodeValue for code in ds.DeidentificationMethodCodeSequence] == ["113100"]
    assert "InstitutionName" not in ds and "OperatorsName" not in ds
    for secret in (b"Muster", b"Erika", b"4711-X", b"19640812", b"Haus", b"Castorp", b"Sanatorium", b"20240229"):
        assert secret not in raw
    assert audit["(0010,0010)", "Z"] == 1 and audit["(0008,0018)", "U"] == 1
    assert "Muster" not in str(audit)


def test_what_images_need_is_not_touched() -> None:
    ds = image(
        np.arange(16, dtype=np.int16).reshape(4, 4), RescaleSlope="2", RescaleIntercept="-1024", RescaleType="HU"
    )
    ds.PixelPaddingValue, ds.WindowCenter, ds.ImageType = -2000, [40, 300], ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ConvolutionKernel, ds.GantryDetectorTilt, ds.KVP = "B30f", "12.5", "120"
    kept = {
        element.tag: element.value for element in ds if element.tag.group in (0x0028, 0x7FE0) or element.VR in ("DS",)
    }
    BASIC(ds, "x")
    ds, _ = reread(ds)
    assert {tag: ds[tag].value for tag in kept} == kept
    assert ds.ImageType == ["ORIGINAL", "PRIMARY", "AXIAL"] and ds.ConvolutionKernel == "B30f"
    assert ds.Manufacturer == "Maker" and ds.ManufacturerModelName == "Model 1"


def test_every_reference_follows_the_same_map_at_any_depth() -> None:
    ds = dataset("PR")
    reference = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=uid("i", 1, 1, 1))
    ds.ReferencedSeriesSequence = [item(SeriesInstanceUID=uid("se", 1, 1), ReferencedImageSequence=[reference])]
    ds.ReferencedImageSequence = [item(ReferencedSOPInstanceUID=uid("i", 1, 1, 1))]
    ds.SourceImageSequence = [item(ReferencedSOPInstanceUID=uid("i", 1, 1, 2))]
    ds.FailedSOPInstanceUIDList = [uid("a"), uid("b")]
    BASIC(ds, "x")
    ds, _ = reread(ds)
    nested = ds.ReferencedSeriesSequence[0]
    assert nested.SeriesInstanceUID == KEY.uid(uid("se", 1, 1))
    assert nested.ReferencedImageSequence[0].ReferencedSOPInstanceUID == KEY.uid(uid("i", 1, 1, 1))
    assert nested.ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID == KEY.uid(uid("i", 1, 1, 1))
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == KEY.uid(uid("i", 1, 1, 2))
    assert list(ds.FailedSOPInstanceUIDList) == [KEY.uid(uid("a")), KEY.uid(uid("b"))]
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == KEY.uid(uid("i", 1, 1, 1))


def test_kept_text_loses_what_was_removed_elsewhere() -> None:
    ds = dataset(SoftwareVersions=["VB17A", "for ACC-77", "Erika MUSTER 29.02.2024"])
    ds.SegmentSequence = [item(SegmentLabel="Liver of muster_erika", SegmentNumber=1), item(SegmentLabel="Liver")]
    ds.SeriesNumber = "778899"
    ds.OtherPatientIDs = "778899"
    BASIC(ds, "x")
    ds, raw = reread(ds)
    assert ds.SoftwareVersions == ["VB17A", "for", "REMOVED"]
    assert [segment.SegmentLabel for segment in ds.SegmentSequence] == ["Liver of", "Liver"]
    assert ds.SeriesNumber == 0
    assert b"778899" not in raw


def test_a_patient_who_is_called_like_an_imaging_term_is_taken_out_too() -> None:
    ds = dataset(PatientName="White^Ray", SegmentLabel="white of ray", StudyDescription="Brain White 3D", Modality="MR")
    Deidentifier(KEY, load_profile("clean_descriptors"))(ds, "x")
    assert (ds.SegmentLabel, ds.StudyDescription, ds.Modality) == ("of", "Brain 3D", "MR")


def test_a_flood_of_names_takes_little_time_and_hides_nothing() -> None:
    ds = dataset(SoftwareVersions="syngo of Person4711x")
    ds.ReferencedSeriesSequence = [item(OperatorsName=f"Person{number}x^Given{number}y") for number in range(3000)]
    BASIC(ds, "x")
    assert ds.SoftwareVersions == "syngo of"


def test_file_meta_preamble_curves_overlays_and_strange_groups_are_emptied() -> None:
    ds = image(np.zeros((4, 4), np.uint8), preamble=b"Muster Erika".ljust(128, b" "))
    ds.preamble = b"Muster Erika".ljust(128, b" ")
    ds.file_meta.SourceApplicationEntityTitle = "MUSTER_AE"
    ds.file_meta.PrivateInformationCreatorUID, ds.file_meta.PrivateInformation = "1.2.3", b"Erika"
    ds.add_new(0x60020010, "US", 4)
    ds.add_new(0x60021500, "LO", "Muster label")
    ds.add_new(0x60023000, "OW", b"Erika!")
    ds.add_new(0x50003000, "OW", b"Erika!")
    ds.add_new(0x04000500, "SQ", [item(EncryptedContent=b"Erika!")])
    ds.add_new(0xFFFCFFFC, "OB", b"Erika!")
    BASIC(ds, "x")
    ds, raw = reread(ds)
    assert b"Erika" not in raw and b"uster" not in raw.replace(b"Cluster", b"") and b"MUSTER" not in raw
    assert ds.preamble == bytes(128)
    assert {element.tag.group for element in ds} <= {0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x7FE0}
    assert ds.file_meta.ImplementationVersionName == "UMED"


def test_private_and_unknown_go_and_sequences_in_un_are_read() -> None:
    ds = dataset()
    block = ds.private_block(0x0029, "ERIKA MUSTER PRIVATE", create=True)
    block.add_new(0x10, "UN", b"Muster^Erika")
    block.add_new(0x11, "SQ", [item(PatientName="Muster^Erika")])
    ds.add_new(0x00107777, "LO", "Muster")
    ds.add_new(0x00107778, "SQ", [item(PatientName="Muster^Erika")])
    ds.add_new(0x00189999, "UN", b"Muster")
    BASIC(ds, "x")
    ds, raw = reread(ds)
    assert b"uster" not in raw and b"MUSTER" not in raw
    assert not any(element.tag.is_private for element in ds)


def implicit(ds: Dataset) -> bytes:
    """Items of a sequence as implicit VR little endian, as UN holds them (PS3.5 6.2.2)."""
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    pydicom.filewriter.write_sequence(buffer, DataElement(0x00081140, "SQ", Sequence([ds])), ["iso8859"])
    return buffer.getvalue()


def test_a_known_sequence_hidden_in_un_is_cleaned_like_any_other() -> None:
    hidden = implicit(item(ReferencedSOPInstanceUID="1.3.999.1", PatientName="Muster^Erika"))
    ds = dataset()
    tag = pydicom.tag.Tag(0x0008114A)
    ds[tag] = pydicom.dataelem.RawDataElement(tag, "UN", len(hidden), hidden, 0, False, True)
    first, _ = reread(ds)
    BASIC(first, "x")
    second, raw = reread(first)
    assert b"uster" not in raw and b"1.3.999.1" not in raw
    assert second[0x0008114A].value[0].ReferencedSOPInstanceUID == KEY.uid("1.3.999.1")


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00280010, "LO", "Muster"),  # Rows as text
        (0x00181160, "DS", "12"),
        (0x00200013, "LO", "Zauberberg 12"),  # InstanceNumber as text
        (0x00281053, "UT", "Zauberberg"),
        (0x00281053, "OB", b"Zauberberg"),
        (0x00280011, "OB", b"Zauberberg"),
        (0x00280101, "OW", b"Zauberberg"),
    ],
)
def test_a_value_stored_with_a_wrong_vr_hides_nothing(tag: int, vr: str, value: str) -> None:
    ds = dataset()
    ds.add_new(tag, vr, value)
    BASIC(ds, "x")
    _, raw = reread(ds)
    assert b"Zauberberg" not in raw and b"Muster" not in raw


def test_text_in_numbers_goes_and_numbers_stay() -> None:
    ds = dataset()
    for tag, vr, value in (
        (0x00180050, "DS", b"2.5 "),
        (0x00180088, "DS", b"Zauberberg"),
        (0x00200012, "IS", b"Castorp "),
    ):
        ds[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True)
    BASIC(ds, "x")
    ds, raw = reread(ds)
    assert b"Zauberberg" not in raw and b"Castorp" not in raw
    assert ds.SliceThickness == 2.5 and "SpacingBetweenSlices" not in ds


@pytest.mark.parametrize(
    ("sop_class", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.11", "structured report"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "encapsulated document"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "waveform"),
        ("1.2.840.10008.5.1.4.1.1.66", "raw data"),
        ("1.2.840.10008.1.3.10", "DICOMDIR"),
        ("1.3.12.2.1107.5.9.1", "private SOP class"),
    ],
)
def test_what_cannot_be_cleaned_is_put_aside(sop_class: str, reason: str) -> None:
    with pytest.raises(Quarantine, match=reason) as caught:
        BASIC(dataset(SOPClassUID=sop_class), "x")
    assert "\n" not in str(caught.value)


def test_segmentations_and_registrations_are_no_raw_data() -> None:
    for tail in ("66.1", "66.4", "66.7", "481.3", "11.1"):
        ds = dataset(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{tail}")
        BASIC(ds, "x")
        assert ds.PatientIdentityRemoved == "YES"


def test_too_deep_nesting_is_put_aside() -> None:
    ds = inner = dataset()
    for _ in range(70):
        inner.ReferencedSeriesSequence = [Dataset()]
        inner = inner.ReferencedSeriesSequence[0]
    with pytest.raises(Quarantine, match="nested deeper than 64"):
        BASIC(ds, "x")


def test_combined_actions_follow_the_kind_of_object() -> None:
    for kind, series_date in (("CT", None), ("ECT", "19000101")):
        ds = dataset(kind, SeriesDate="20240229", AcquisitionDate="20240229", ContentDate="20240229")
        BASIC(ds, "x")
        assert ds.get("SeriesDate") == series_date
        assert ds.ContentDate in ("", "19000101", None)


def test_longitudinal_moves_all_dates_of_a_patient_by_the_same_days() -> None:
    deidentify = Deidentifier(KEY, load_profile("longitudinal"))
    first, second = (
        dataset(StudyDate="20240229"),
        dataset(StudyDate="20240310", AcquisitionDateTime="20240310101500.00"),
    )
    for ds in (first, second):
        deidentify(ds, "p")
    days = [pydicom.valuerep.DA(ds.StudyDate) for ds in (first, second)]
    assert (days[1] - days[0]).days == 10
    assert str(second.AcquisitionDateTime) == second.StudyDate + "101500.00"
    assert first.LongitudinalTemporalInformationModified == "MODIFIED" and first.PatientBirthDate in ("", None)
    assert [code.CodeValue for code in first.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert first.StudyTime == "101500"


def test_options_keep_what_they_say_and_only_that() -> None:
    ds = dataset(
        PatientAge="097Y", PatientSex="F", PatientWeight="70.5", StationName="CTX9", StudyDescription="Abdomen of Erika"
    )
    Deidentifier(KEY, load_profile("patient_characteristics+device_identity+clean_descriptors"))(ds, "x")
    ds, raw = reread(ds)
    assert (ds.PatientAge, ds.PatientSex, ds.PatientWeight, ds.StationName) == ("090Y", "F", 70.5, "CTX9")
    assert ds.StudyDescription == "Abdomen of"
    assert b"Erika" not in raw and ds.StudyDate == ""


def test_safe_private_needs_creator_place_and_a_value_that_fits() -> None:
    ds = dataset()
    siemens = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    siemens.add_new(0x0C, "IS", "1000")
    siemens.add_new(0x0D, "LO", "Muster^Erika")
    siemens.add_new(0x0F, "SH", "Erika")
    ds.private_block(0x0019, "ACME", create=True).add_new(0x0C, "IS", "77")
    ds.private_block(0x0021, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "77")
    ds, _ = reread(ds)
    Deidentifier(KEY, load_profile("safe_private"))(ds, "x")
    ds, raw = reread(ds)
    assert [int(element.tag) for element in ds if element.tag.is_private] == [0x00190010, 0x0019100C]
    assert ds.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000
    assert b"Erika" not in raw


@pytest.mark.parametrize(("burned", "blanked", "removed", "says"), [
    ("YES", False, "NO", "YES"), ("YES", True, "YES", "NO"), ("NO", False, "YES", "NO"), (None, True, "YES", "NO"),
])  # fmt: skip
def test_what_it_says_about_burned_in_text_is_true(burned, blanked, removed, says) -> None:
    ds = dataset()
    if burned:
        ds.BurnedInAnnotation = burned
    BASIC(ds, "x", blanked=blanked)
    assert (ds.PatientIdentityRemoved, ds.BurnedInAnnotation) == (removed, says)
    codes = [code.CodeValue for code in ds.DeidentificationMethodCodeSequence]
    assert ("113101" in codes) is blanked


def test_other_character_sets_survive_and_hide_no_name() -> None:
    ds = dataset(
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Grüßner^Jörg",
        Manufacturer="Gerät für Jörg",
        SoftwareVersions="Ünit",
    )
    ds, _ = reread(ds)
    BASIC(ds, "x")
    ds, raw = reread(ds)
    assert ds.Manufacturer == "Gerät für" and ds.SoftwareVersions == "Ünit"
    assert "Jörg".encode() not in raw and "Jörg".encode("latin-1") not in raw


def test_twice_gives_the_same_bytes() -> None:
    results = []
    for _ in range(2):
        ds = image(np.zeros((4, 4), np.int16), SoftwareVersions=["Erika", "2"])
        Deidentifier(KEY, load_profile("longitudinal"))(ds, "p")
        results.append(reread(ds)[1])
    assert results[0] == results[1]


def test_items_in_implicit_vr_within_an_explicit_file_are_written() -> None:
    ds = dataset(CTDIPhantomTypeCodeSequence=[Dataset()])
    code = ds.CTDIPhantomTypeCodeSequence[0]
    for tag, value in ((0x00080100, b"113691"), (0x00080102, b"DCM "), (0x00081150, b"1.2.840.10008.5.1.4.1.1.2\0")):
        code[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), None, len(value), value, 0, True, True)
    BASIC(ds, "x")
    ds, _ = reread(ds)
    assert ds.CTDIPhantomTypeCodeSequence[0].CodeValue == "113691"


def test_cleaning_leaves_a_value_where_an_object_must_have_one() -> None:
    structures = "1.2.840.10008.5.1.4.1.1.481.3"
    ds = dataset(SOPClassUID=structures, StructureSetLabel="Erika", StudyDescription="Erika", ProtocolName="")
    Deidentifier(KEY, load_profile("clean_descriptors"))(ds, "x")
    ds, _ = reread(ds)
    assert ds.StructureSetLabel == "REMOVED"  # type 1 in PS3.3 C.8.8.5
    assert ds.StudyDescription == ds.ProtocolName == ""  # type 3, and one that said nothing before


def test_safe_private_numbers_do_not_repeat_an_identifier() -> None:
    ds = dataset(PatientID="AB-0048213", PatientBirthDate="19640812")
    philips = ds.private_block(0x2001, "Philips Imaging DD 001", create=True)
    philips.add_new(0x08, "IS", ["48213", "2"])
    philips.add_new(0x84, "DS", "19640812")
    philips.add_new(0x55, "UL", 48213)
    philips.add_new(0x03, "FL", 1000.0)
    philips.add_new(0xC1, "LO", "anything")
    ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.5)
    ds, _ = reread(ds)
    Deidentifier(KEY, load_profile("safe_private"))(ds, "x")
    ds, raw = reread(ds)
    kept = ds.private_block(0x2001, "Philips Imaging DD 001")
    assert list(kept[0x08].value) == [0, 2] and kept[0x84].value == 0 and kept[0x55].value == 0
    assert kept[0x03].value == 1000 and ds.private_block(0x2005, "Philips MR Imaging DD 001")[0x0E].value == 0.5
    assert 0xC1 not in kept and b"48213" not in raw and b"19640812" not in raw
