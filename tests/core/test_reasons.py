# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from umed.core.reasons import MOST_KINDS, group_reasons, reason_kind


def test_names_paths_numbers_and_quotations_are_taken_out() -> None:
    one = "images/a 1.png: expected uint8 of (20, 30), got 'RGBA' in a.tif; use 8.5/255"
    two = "images/b.png: expected uint16 of (7, 30), got 'LA' in x/y.nii.gz; use 9e-3"
    assert reason_kind(one)[0] == reason_kind(two)[0]
    assert reason_kind(one)[0] != reason_kind(one.replace("expected", "wanted"))[0]
    assert reason_kind("anna meier: no mask", "anna meier")[0] == reason_kind("john: no mask", "john")[0]


def test_252_missing_files_are_one_line() -> None:
    why = "imagesTr/{0}.nii.gz: expected a file, got nothing there. Check the name, or drop it from the data set."
    lines = group_reasons([(f"liver_{n}", why.format(f"liver_{n}")) for n in range(252)], unit="cases")
    assert lines == [
        "252 cases: expected a file, got nothing there. Check the name, or drop it from the data set "
        "(liver_0, liver_1, liver_2; and 249 more)"
    ]


def test_what_all_members_share_is_kept_and_one_alone_is_said_as_it_is() -> None:
    two = [("a.png", "a.png: expected 3 channels, got 2."), ("b.png", "b.png: expected 3 channels, got 4.")]
    assert group_reasons(two) == ["2 files: expected 3 channels, got ... (a.png, b.png)"]
    assert group_reasons([("a", "expected 3 channels, got 2.")]) == ["a: expected 3 channels, got 2."]
    assert group_reasons([]) == []


def test_hostile_names_make_few_and_printable_lines() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    lines = group_reasons([(f"{one}\n\x1b[2J", f"{one * 3} is\nodd") for one in letters])
    assert len(lines) == MOST_KINDS + 1 and all(line.isprintable() for line in lines)
    assert lines[-1] == f"{len(letters) - MOST_KINDS} files more for {len(letters) - MOST_KINDS} other reasons"


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=30)), max_size=20))
def test_every_item_is_counted_once(found: list[tuple[str, str]]) -> None:
    lines = group_reasons(found)
    assert all(line.isprintable() for line in lines)
    assert len(lines) <= min(len(found), MOST_KINDS + 1)
