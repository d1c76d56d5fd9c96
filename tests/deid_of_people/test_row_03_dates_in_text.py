# SPDX-License-Identifier: Apache-2.0
"""Row 3: beside moved dates no date stays in any text, in any spelling, of any day."""

from __future__ import annotations

import datetime
import re

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary

from tests.deid_of_people.text_release import EVERYTHING, anonymized, cleaned, item, loose, picture, text
from umed.deid.kept_text import keep_terms
from umed.deid.policy import Policy
from umed.deid.profile import load_profile
from umed.deid.text_dates import without_dates

DAY = datetime.date(2023, 6, 15)
FORMATS = [
    *"%Y%m%d %Y-%m-%d %Y/%m/%d %Y.%m.%d %Y_%m_%d %Y:%m:%d %d.%m.%Y %d/%m/%Y %m/%d/%Y %m-%d-%Y %d.%m.%y".split(),
    *"%m/%d/%y %d/%m/%y %y%m%d %d%m%y %m%d%y %d%m%Y %m%d%Y %y-%m-%d %d%b%y %d%b%Y %d-%b-%Y %Y%b%d %b%d%Y".split(),
    *"%d.VI.%Y %Y-%j %Y%j %Y-W24-4 %YW24 %m/%Y %Y-%m %d/%m %Y%m%d%H%M%S %Y-%m-%dT10:15 %Y年6月%d日 %Y년6월%d일".split(),
    *("%Y %m %d", "%m %d %y", "%d. %m. %Y", "%d %B %Y", "%B %d, %Y", "%B %dth, %Y", "%dth of %B %y", "%b %d %y"),
    *("%d. Juni %Y", "%d juin %Y", "%d de junio de %Y", "%d июня %Y", "%d Ιουνίου %Y", "%B %Y", "%d czerwca %y"),
]
SPELLINGS = [DAY.strftime(form) for form in FORMATS]
TRACE = re.compile(r"(?<!\d)(?:20)?23(?!\d)|(?<!\d)15(?!\d)|(?<!\d)166|0615|1506|2306|jun|июн|ιουν|czer", re.IGNORECASE)
TEXTS = {"LO", "SH", "LT", "ST", "UC", "UT", "CS"}
POLICY = Policy(load_profile(EVERYTHING))
KEPT = [
    tag
    for tag in DicomDictionary
    if tag >> 16 >= 8 and tag != 0x00080005 and set(DicomDictionary[tag][0].split(" or ")) <= TEXTS
    and POLICY[tag].acts[0] in ("text", "code", "C", "K")
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_planted_date_stays_in_no_text_that_is_kept(spelling: str) -> None:
    ds = picture(StudyDate="20230615", SpecificCharacterSet="ISO_IR 192")
    keep = {0x00080008, 0x00080060, 0x00080016}
    for tag in KEPT:
        vr = DicomDictionary[tag][0].split(" or ")[0]
        if tag not in keep and (vr != "CS" or tag >> 16 != 0x0028):  # these say what the pixels are
            loose(ds, tag, vr, spelling.upper() if vr == "CS" else f"CT chest {spelling}")
    ds.ReferencedSeriesSequence = [item(SeriesDescription=spelling, Manufacturer=f"Maker {spelling}")]
    assert len(KEPT) > 700
    ds = cleaned(ds, EVERYTHING)
    moved = ds.StudyDate
    found = {(str(one.tag), str(one.value)) for one in ds if str(one.value) != moved and TRACE.search(str(one.value))
             and one.VR in TEXTS and one.tag.group != 0x0012}  # fmt: skip
    assert found == set()
    assert not TRACE.search(text(ds.ReferencedSeriesSequence[0]))


@pytest.mark.parametrize(
    "text",
    ["15 มิถุนายน 2566", "15 Mehefin 2023", "二〇二三年六月十五日", "令和5年6月15日", "١٥/٦/٢٠٢٣",
     "２０２３－０６－１５", "15 ביוני 2023",
     "2023\u200b-06-15", "15 يونيو 2023", "CTJune 15, 2023", "R5.06.15", "20230615T101530Z", "Date:2023-06-15 10:15"],
)  # fmt: skip
def test_dates_of_other_scripts_and_calendars(text: str) -> None:
    for left in (without_dates(text), keep_terms(text)):
        assert not re.search(r"\d|[〇一二三五六十]", left.replace("10:15", "")), left


@pytest.mark.parametrize("profile", ["longitudinal+clean_descriptors", "longitudinal", "clean_descriptors"])
def test_the_shift_does_not_follow_from_a_description(tmp_path, profile: str) -> None:
    ds = picture(
        StudyDate="20230615", SeriesDescription="CT chest 06/15/23", SoftwareVersions="VB17A 15JUN23",
        ProtocolName="head 15. Juni 2023", SeriesNumber=20230615,
    )  # fmt: skip
    code, files = anonymized(tmp_path, ds, profile)
    ds = pydicom.dcmread(files[0])
    assert code == 0
    words = ("SeriesDescription", "SoftwareVersions", "ProtocolName", "SeriesNumber")
    assert not TRACE.search("\n".join(str(ds.get(word)) for word in words))
    assert b"20230615" not in files[0].read_bytes()
    assert ds.SoftwareVersions == "VB17A"
    if "clean_descriptors" in profile:
        assert (ds.SeriesDescription, ds.ProtocolName) == ("CT chest", "head")


@settings(max_examples=200, deadline=None)
@given(
    st.dates(datetime.date(1920, 1, 1), datetime.date(2039, 12, 31)),
    st.sampled_from(
        [
            one
            for one in FORMATS
            if "VI" not in one
            and "月" not in one
            and "W24" not in one
            and "월" not in one
            and not re.search(r"[Jj]u[ni]|июня|Ιουνίου|czerwca", one)
        ]
    ),
    st.sampled_from(["{}", "VB17A {}", "CT {} x", "T1_{}_y", "({})", "from {}, T2"]),
)
def test_no_date_survives_in_any_spelling(day: datetime.date, form: str, around: str) -> None:
    spelling = day.strftime(form)
    trusted = without_dates(around.format(spelling))
    assert spelling not in trusted
    digits = [one for one in re.findall(r"\d+", spelling) if len(one) > 1]
    left = re.findall(r"\d+", trusted)
    assert not [one for one in digits if one in left and one != "17"], trusted
    assert not re.search(r"\d", keep_terms(around.format(spelling)).replace("T1", "").replace("T2", ""))


@pytest.mark.parametrize(
    "harmless",
    ["B30f", "syngo CT 2012B", "VB17A", "1.5.2", "LightSpeed VCT", "T2 TSE TRA 3 mm", "16x16", "MRT50H1", "4.9.3.1331",
     "DV24.0_R02_1607.b", "*fl3d1_ns", "RGB(102, 198, 85)", "0.984:1", "iMAR", "3.2.1"],
)  # fmt: skip
def test_versions_kernels_and_sizes_are_no_dates(harmless: str) -> None:
    assert without_dates(harmless) == harmless
