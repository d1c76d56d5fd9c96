# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umed.deid import values
from umed.deid.kept_text import bounds
from umed.deid.matcher import Matcher
from umed.deid.removed import Removed

UNITS = {*bounds("units"), *bounds("terms")}
DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31))


@given(DATES, DATES, st.integers(-3650, -1))
def test_moving_keeps_the_days_between_dates(first: datetime.date, second: datetime.date, days: int) -> None:
    moved = [values.move_date(day.strftime("%Y%m%d"), days) for day in (first, second)]
    one, other = (datetime.date(int(m[:4]), int(m[4:6]), int(m[6:])) for m in moved)
    assert one - other == first - second
    assert one == first + datetime.timedelta(days=days)


@pytest.mark.parametrize("text", ["", "20241301", "20240230", "2024", "Doe", "20240101-20240202", "0000", "19000101x"])
def test_what_is_no_date_does_not_pass(text: str) -> None:
    assert values.move_date(text, -1) == ""


@pytest.mark.parametrize("text", ["20240101Doe", "2024010199999999", "x", "202401011015+1", "20240101 10:15"])
def test_what_is_no_datetime_does_not_pass(text: str) -> None:
    assert values.move_datetime(text, -1) == ""


@pytest.mark.parametrize(("text", "good"), [("101530.123", True), ("10:15:30", True), ("", True), ("Doe", False)])
def test_times(text: str, good: bool) -> None:
    assert values.is_time(text) is good


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_cleaned_text_holds_only_listed_words(text: str) -> None:
    cleaned = values.keep_terms(text)
    assert values.is_ordinary(cleaned)
    for word in cleaned.split():
        assert word.lower() in {*values.vocabulary(), *UNITS} or any(map(str.isdigit, word))


@given(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyzäßñ", min_size=4, max_size=12),
    st.sampled_from([str.upper, str.title, str]),
)
def test_scrubbing_takes_a_name_out_in_any_case(name: str, case) -> None:
    for text in (f"for {case(name)}.", f"{case(name)}", f"x_{case(name)}-y", f"({case(name)})"):
        assert name.lower() not in values.scrub(text, [name]).lower()


def test_scrubbing_leaves_other_text_alone() -> None:
    for text in ("B30f", "syngo CT 2012B", "CT  Abdomen", "VB17A", "1.5.2", "2.25", "LightSpeed VCT", "Marian"):
        assert values.scrub(text, ["Mari", "Doe", "4711"]) == text


@pytest.mark.parametrize(
    "text",
    [
        "on 2024-03-01",
        "on 01.03.2024",
        "20240301",
        "2024/03/01",
        "3/1/2024",
        "1.2.840.113619.2.55.3.1",
        "a.b@c.org",
        "https://x.org/doe",
    ],
)
def test_dates_uids_and_addresses_go_from_any_text(text: str) -> None:
    assert text.split()[-1] not in values.scrub(text, ())


def test_spellings_are_of_that_date_only() -> None:
    assert {"20240301", "2024-03-01", "01.03.2024", "03/01/2024"} <= set(values.spellings("20240301"))
    assert values.spellings("2024.03.01") == values.spellings("20240301") == values.spellings("20240301101500.0")
    assert values.spellings("1015") == []


@pytest.mark.parametrize("keyword", ["InstitutionName", "AccessionNumber", "PatientID"])
def test_identifiers_count_and_technique_does_not(keyword: str) -> None:
    assert values.identifying(keyword, "LO", ["Zauberberg"]) == {"Zauberberg"}
    assert values.identifying(keyword, "LO", ["CT Abdomen", "ABC"]) == set()
    assert values.identifying("ProtocolName", "LO", ["Zauberberg"]) == set()


def test_answers_are_remembered_within_bounds():
    matcher = Matcher(["Doe"])
    assert values.scrub("seen by Doe", matcher) == "seen by" == matcher.scrubbed["seen by Doe"]
    values.scrub("Doe" * 2000, matcher)
    for number in range(3000):
        values.scrub(f"x{number}", matcher)
    assert len(matcher.scrubbed) <= 1024 and all(len(text) <= 1024 for text in matcher.scrubbed)
    assert values.scrub_all(["x2999", "Doe"], matcher) == ["x2999", ""]


def test_what_is_known_holds_what_adds_nothing():
    known, other = Removed(), Removed()
    known.add("PatientName", "PN", ["Doe^Jane"])
    known.add("StudyDate", "DA", ["20240229"])
    other.add("PatientName", "PN", ["Doe^Jane"])
    assert known.holds(other) and known.holds(Removed())
    other.add("StudyDate", "DA", ["20240301"])
    assert not known.holds(other)
    full = Removed()
    full.full = True
    assert not known.holds(full) and full.holds(Removed())
