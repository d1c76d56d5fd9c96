# SPDX-License-Identifier: Apache-2.0
"""Names of ranges, how a range is chosen for each channel, and what does not fit it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from umed.cases.series_facts import slice_plan
from umed.core.config import Settings, make_settings
from umed.core.errors import ConfigError, InputError
from umed.core.ranges import parse_range, range_words
from umed.core.types import Encoding, Volume
from umed.plan.channel_values import ChannelValues, channel_values
from umed.plan.facts import CaseFacts, Facts
from umed.plan.planning import Plan, make_plan
from umed.plan.range_choice import choose_ranges, is_ct
from umed.plan.range_fit import check_fit, misfit

HU = ChannelValues(True, -1024, 2000, -1000, 900, 60.0, (0.0, 60.0, 120.0), (-32768, 32767))
UNIT = ChannelValues(False, 0, 1, 0, 1, 0.5, (0.4, 0.5, 0.6))
RANGE = [(-160.0, 240.0), "percentile"]


def facts(*cases: tuple[ChannelValues, ...], modality: tuple[str, ...] = (), files: int = 1) -> Facts:
    """Of a data set of volumes."""
    rows = tuple(CaseFacts(f"c{number}", (9, 9, 9), values=values) for number, values in enumerate(cases))
    base = Facts("set", "nnunet", modality, rows, len(rows), shape=(40, 40, 40), spacing=(1.0, 1.0, 1.0))
    return replace(base, channels=len(cases[0]), parts=files)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ct:soft", "ct:soft"),
        ("-160,240", [-160.0, 240.0]),
        ("0:1/2", [0.0, 0.5]),
        ("ct:lung,percentile,0:20", ["ct:lung", "percentile", [0.0, 20.0]]),
        ("auto,auto", ["auto", "auto"]),
    ],
)
def test_names_of_ranges(text: str, expected: object) -> None:
    assert parse_range(text) == expected
    made = make_settings(overrides={"range": parse_range(text)})
    assert Plan.from_json(Plan(**vars(made) | {"spatial_dims": 3}).to_json()).range == made.range


@pytest.mark.parametrize("text", ["soft", "ct:soft,percentil", "1,2,3", "5:1", "ct:", "", "1,", "x:y", "0:1,5:2"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ConfigError, match="range"):
        make_settings(overrides={"range": parse_range(text)})


def test_old_settings_keep_their_meaning() -> None:
    for value in ("percentile", "dtype", [0, 100], "ct:bone"):
        chosen = choose_ranges(facts((HU, UNIT)), make_settings(overrides={"range": value}))
        assert chosen.range == {"ct:bone": (-500.0, 1300.0)}.get(
            str(value), tuple(value) if value == [0, 100] else value
        )
    assert range_words(("percentile", (0.0, 2.0), "percentile")) == "percentile for channels 0, 2, [0, 2] for channel 1"


def test_modalities_by_name() -> None:
    words = {True: "CT ct CTA CT_1 NCCT", False: "CTP CT_CBF PET/CT PT SUV MRI T1w T2-FLAIR US zscore noNorm OCT other"}
    assert all(is_ct(name.replace("_", " ")) is wanted for wanted, names in words.items() for name in names.split())
    assert all(is_ct(name) is None for name in ("", "0", "image", "channel_3"))


def test_channels_are_chosen_one_by_one() -> None:
    for files in (1, 2):
        chosen = choose_ranges(facts((HU, UNIT), modality=("CT", "PET"), files=files), Settings())
        assert list(chosen.range) == RANGE and chosen.seen == ((-1024.0, 2000.0), None)
        assert [text.split(":")[0] for text in chosen.why] == [
            "range [-160, 240] HU for channel 0 (CT)",
            "range percentile for channel 1 (PET)",
        ]
    assert choose_ranges(facts((HU, HU), modality=("CT", "CT")), Settings()).range == (-160.0, 240.0)
    assert choose_ranges(facts((UNIT, UNIT), files=2), Settings()).range == "percentile"
    assert choose_ranges(facts((UNIT, UNIT)), Settings()).range == ("percentile", "percentile")
    asked = choose_ranges(facts((HU, UNIT)), Settings(range=("auto", (0.0, 2.0))))
    assert asked.range == ((-160.0, 240.0), (0.0, 2.0))


@pytest.mark.parametrize(
    ("looks", "others", "found"), [(3, 1, "HU"), (2, 1, "HU"), (1, 1, ""), (1, 2, ""), (1, 4, "%")]
)
def test_where_nothing_is_declared_the_majority_decides_or_nobody(looks: int, others: int, found: str) -> None:
    mixed = facts(*[(HU,)] * looks, *[(UNIT,)] * others)
    if not found:
        with pytest.raises(ConfigError, match=f"{looks} of {looks + others} cases look like CT.*--range"):
            make_plan(mixed, Settings())
        return
    assert make_plan(mixed, Settings()).range == ((-160.0, 240.0) if found == "HU" else "percentile")


def test_seen_decides_no_byte() -> None:
    made = make_plan(facts((HU,), modality=("CT",)), Settings())
    assert made.seen == ((-1024.0, 2000.0),) and replace(made, seen=()).fingerprint == made.fingerprint
    assert Plan.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("values", "own", "seen", "words"),
    [
        (HU, (-160.0, 240.0), (-1000.0, 2000.0), ""),
        (UNIT, (-160.0, 240.0), None, "fill the range [-160, 240], got floats from 0 to 1"),
        (UNIT, (-160.0, 240.0), (-1000.0, 2000.0), "the other cases reach from -1000 to 2000"),
        (replace(HU, least=0, most=255, low=0), (-160.0, 240.0), (-1000.0, 2000.0), "none below 0"),
        (replace(HU, least=0, most=255, low=0), (-160.0, 240.0), None, ""),
        (replace(HU, least=500, low=600), (-160.0, 240.0), None, "less than 0.5 %"),
        (UNIT, "percentile", None, ""),
        (UNIT, "dtype", (0.0, 255.0), "whole numbers"),
        (replace(HU, least=0, most=1, ends=(0.0, 255.0)), "dtype", None, "full scale of their type, which is 255 wide"),
    ],
)
def test_what_fits(values: ChannelValues, own: object, seen: tuple[float, float] | None, words: str) -> None:
    text = misfit(values, own, seen)  # type: ignore[arg-type]
    assert words in text and bool(text) == bool(words)


def test_values_are_physical_and_what_is_not_finite_does_not_count() -> None:
    stored = np.array([[1.0, np.nan], [np.inf, 3.0]], np.float32)
    volume = Volume(stored, Encoding("<f4", -2.0, 1.0), (1.0, 1.0), "mm", False, Path("a"))
    [found] = channel_values(volume, np.ones((2, 2), np.uint8))
    assert (found.least, found.most, found.foreground, found.whole) == (-5.0, -1.0, -3.0, None)
    [none] = channel_values(replace(volume, stored=np.full((2, 2), np.nan, np.float32)), None)
    assert (none.least, none.most) == (0.0, 0.0)
    with pytest.raises(InputError, match="a: expected values that fill"):
        check_fit([volume], "ct:soft", ())


def test_series_have_one_range_each() -> None:
    rows = [CaseFacts(name, (9, 9, 9), modality=name) for name in ("CT", "PT", "MR")]
    scan = replace(facts((HU,)), layout="dicom", cases=tuple(rows))
    assert slice_plan(scan, Settings()).range == "auto"
    made = slice_plan(scan, Settings(range="ct:soft"))
    assert made.range == "ct:soft" and "MR, PT take their own percentiles, since Modality says so" in made.why[0]
    with pytest.raises(ConfigError, match="no series says Modality CT"):
        slice_plan(replace(scan, cases=tuple(rows[1:2]), modality=("PT",)), Settings(range="ct:soft"))
    with pytest.raises(ConfigError, match="one for DICOM"):
        slice_plan(scan, Settings(range=("ct:soft", "percentile")))
