# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umed.deid.code_strings import LONGEST, clean_code_strings
from umed.deid.kept_text import bounds, keep_terms
from umed.deid.text_dates import is_date_number, without_dates, without_long_numbers
from umed.deid.text_tokens import plain, tokens


@given(st.text(max_size=80))
def test_tokens_are_the_text(text: str) -> None:
    found = tokens(text)
    assert "".join(token.text for token in found) == text
    assert all(token.text.isdecimal() == (token.kind == "number") for token in found)


@given(st.text(max_size=80))
def test_taking_dates_out_twice_takes_no_more(text: str) -> None:
    once = without_dates(text)
    assert without_dates(once) == once


@given(st.lists(st.text(max_size=40), max_size=4), st.integers(0, 3), st.booleans())
def test_what_leaves_is_a_code_string(found: list[str], most: int, ages: bool) -> None:
    new = clean_code_strings(found, most, ages)
    assert len(new) == (min(len(found), most) if most else len(found))
    for one, old in zip(new, found, strict=False):
        assert one == old or (len(one) <= LONGEST and one.isascii() and one == one.upper())


def test_digits_of_all_scripts_are_digits() -> None:
    assert plain("٣\u200b４五") == "34五"


@pytest.mark.parametrize("word", sorted(bounds("units")))
def test_every_unit_takes_its_numbers_and_no_more(word: str) -> None:
    most = int(bounds("units")[word][1])
    assert keep_terms(f"{most} {word}").split()[0] == str(most)
    assert str(most + 11111) not in keep_terms(f"{most + 11111} {word}")


@pytest.mark.parametrize("word", sorted(bounds("terms")))
def test_every_term_takes_its_numbers_and_no_more(word: str) -> None:
    least, most, _ = bounds("terms")[word]
    assert keep_terms(f"{word} {int(least)} x").split()[:2] == [word, f"{int(least)}"]
    assert keep_terms(f"{word} {int(most) + 11111}") in ("", word)


@pytest.mark.parametrize(
    ("text", "date"), [("20230615", True), ("15062023", True), ("12345678", False), ("0.2023061", False)]
)
def test_dates_that_are_numbers(text: str, date: bool) -> None:
    assert is_date_number(text) is date


@pytest.mark.parametrize("text", ["4.9.3.1331", "0.0960000 cm", "RGB(102, 198, 85)", "14.13_2.8.2L", "R5.4", "x 12.5"])
def test_versions_and_lists_are_no_long_numbers(text: str) -> None:
    assert without_long_numbers(text) == text
