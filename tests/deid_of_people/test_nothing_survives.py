# SPDX-License-Identifier: Apache-2.0
"""Nothing of a patient survives in any attribute, VR, depth, character set or spelling; intervals of dates do.

What is planted and how it is searched for: ``strewn.py`` and ``own_search.py`` beside this file. The 5,000 data sets
of docs/experiments.md are those of the slow test, by number.
"""

from __future__ import annotations

import io
import os
import random

import pydicom
import pytest

from tests.deid_of_people.own_search import survivors
from tests.deid_of_people.strewn import PROFILES, TAGS, Silent, case, run
from tests.deid_of_people.strewn_patient import SETS, somebody
from umed.deid.engine import Deidentifier

QUICK = 10_000
"""Numbers of the quick data sets begin here, so that they are others than those of the slow test."""


@pytest.mark.parametrize("part", range(3))
def test_nothing_survives_and_intervals_are_exact(part: int) -> None:
    counts, left = run(QUICK + 50 * part, 50)
    assert left == []
    assert counts["data sets"] == 50 and counts["put aside"] <= 3
    assert counts["dates moved rightly"] >= 50 and counts["dates moved wrongly"] == 0


@pytest.mark.slow
@pytest.mark.skipif("UMED_STUDIES" not in os.environ, reason="a study of some minutes: set UMED_STUDIES=1 to run it")
def test_nothing_survives_of_five_thousand() -> None:
    counts, left = run(0, 5_000)
    assert left == []
    assert counts["put aside"] < 100 and counts["dates moved rightly"] > 5_000


def test_the_search_finds_what_was_planted() -> None:
    seen = 0
    with Silent():
        for number in range(QUICK, QUICK + 20):
            patient, source, _ = case(number, PROFILES[number % len(PROFILES)])
            left = {what for _, what in survivors(source, words=patient.words, numbers=patient.numbers)}
            seen += len(left)
            assert len(left) >= 5
    assert seen > 150


def test_without_the_second_pass_something_would_survive(monkeypatch) -> None:
    monkeypatch.setattr(Deidentifier, "remember", lambda *_: None)
    _, left = run(QUICK, 40)
    assert left


def test_every_attribute_and_character_set_has_its_turn() -> None:
    assert len({number * 7919 % len(TAGS) for number in range(20 * 5_000)}) == len(TAGS) > 3_600
    assert {str(somebody(random.Random(number)).sets) for number in range(5_000)} == {str(sets) for sets, _ in SETS}
    depths = []
    with Silent():
        for number in range(60):
            depths.append(_depth(pydicom.dcmread(io.BytesIO(case(4 * number, "basic")[1]))))
    assert {0, 5} <= set(depths) <= set(range(7))


def _depth(ds: pydicom.Dataset) -> int:
    stored = [ds.get_item(tag) for tag in ds.keys()]  # noqa: SIM118 - iterating over a Dataset converts its values
    items = [item for element in stored if element.VR == "SQ" for item in ds[element.tag].value]
    return 1 + max(map(_depth, items)) if items else 0
