# SPDX-License-Identifier: Apache-2.0
"""Row 2: numbers stay in cleaned text beside a unit or term only, and never several in a row."""

from __future__ import annotations

import re

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deid_of_people.text_release import anonymized, picture
from umed.deid.kept_text import keep_terms
from umed.deid.text_dates import without_long_numbers

SEPARATORS = st.sampled_from([" ", "-", "/", ".", " - ", ") ", "", "  ", "_", "\t", "\u00a0", "\u2013"])
AROUND = st.sampled_from(
    ["{}", "CT chest {}", "{} head", "T1 {} 2.5 mm", "tel. {}", "phase 3, {}", "no {}, 3T", "({})"]
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("tel 044 255 11 11", ""),
        ("CT head 03/05/41", "CT head"),
        ("CT head 05.03.41", "CT head"),
        ("accession 881-234-5", ""),
        ("liver, 97 y", "liver"),
        ("liver 45-year-old", "liver"),
        ("CT 2.5 mm", "CT 2.5 mm"),
        ("AX T1 3T", "AX T1 3T"),
        ("kernel 40", "kernel 40"),
        ("120 kV", "120 kV"),
        ("phase 3", "phase 3"),
        ("DWI b 1000", "DWI b 1000"),
        ("b. 1941", ""),
        ("spine L5/S1 C7", "spine L5 S1 C7"),
        ("TE 90", "TE 90"),
        ("slice 5", "slice 5"),
        ("2.5 x 2.5 x 3 mm", "2.5x2.5x3 mm"),
        ("three phases", "phases"),
    ],
)
def test_a_description_keeps_numbers_that_mean_something(tmp_path, text: str, kept: str) -> None:
    code, files = anonymized(tmp_path, picture(StudyDescription=text, ImageComments=text), "clean_descriptors")
    ds = pydicom.dcmread(files[0])
    assert code == 0
    assert (ds.get("StudyDescription") or "", ds.get("ImageComments") or "") == (kept, kept)


def test_ages_stay_in_text_only_with_the_patients_characteristics_and_below_90(tmp_path) -> None:
    profile = "clean_descriptors+patient_characteristics"
    _, files = anonymized(tmp_path, picture(StudyDescription="liver 45 y", SeriesDescription="liver 97 y"), profile)
    ds = pydicom.dcmread(files[0])
    assert (ds.StudyDescription, ds.SeriesDescription) == ("liver 45 y", "liver")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 9999).map(str), min_size=2, max_size=6),
    st.lists(SEPARATORS, min_size=6, max_size=6),
    AROUND,
)
def test_no_number_in_groups_survives(groups: list[str], separators: list[str], around: str) -> None:
    phone = "".join(a + b for a, b in zip(groups, separators, strict=False))[
        : -len(separators[len(groups) - 1]) or None
    ]
    if sum(map(len, groups)) < 7:
        phone = "0" + phone + separators[0] + "55551"
    left = keep_terms(around.format(phone))
    numbers = re.findall(r"(?<![A-Za-z])\d+(?:\.\d+)?(?!\w)(?! ?mm)", left)
    assert [one for one in numbers if one not in ("3",)] == [], left


@settings(max_examples=150, deadline=None)
@given(st.from_regex(r"0[1-9]{2}[ /-][1-9]{3}[ -][0-9]{2}[ -][0-9]{2}", fullmatch=True), AROUND)
def test_no_phone_survives_in_trusted_text(phone: str, around: str) -> None:
    assert not set(re.findall(r"\d{2,}", phone)) & set(
        re.findall(r"\d{2,}", without_long_numbers(around.format(phone)))
    )


@given(st.text(max_size=60))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = keep_terms(text)
    assert keep_terms(once) == once


def test_a_long_text_takes_time_by_its_length_only() -> None:
    import time

    took = []
    for size in (4_000, 32_000):
        text = "1 2 3/4-5 mm x Qx9 - - jun " * (size // 27)
        start = time.perf_counter()
        keep_terms(text)
        without_long_numbers(text)
        took.append(time.perf_counter() - start)
    assert took[1] < 40 * took[0] + 0.5
