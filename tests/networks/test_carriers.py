# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from umed.networks.carriers import carrier_bank, parse_carrier


@pytest.mark.parametrize("name", ["2", "4", "0x2", "2x4c"])
def test_values_are_plus_and_minus_one_and_balanced(name: str) -> None:
    bank = carrier_bank([name], 3, (8, 8))
    assert set(bank.unique().tolist()) == {-1.0, 1.0}
    assert bank.sum() == 0 or not name.endswith("c")


@pytest.mark.parametrize("name", ["2", "4x2x0", "0x0x2", "6"])
def test_a_crop_keeps_the_phase_of_the_whole(name: str) -> None:
    name = name if "x" in name else f"{name}x{name}x{name}"
    whole = carrier_bank([name], 2, (12, 14, 10))
    crop = carrier_bank([name], 2, (5, 6, 7), origin=(3, 5, 1))
    assert torch.equal(crop, whole[:, :, 3:8, 5:11, 1:8])


def test_colour_alternates_over_channels() -> None:
    bank = carrier_bank(["2c"], 3, (4, 4))[0]
    assert torch.equal(bank[0], -bank[1]) and torch.equal(bank[0], bank[2])


def test_interslice_is_constant_in_plane() -> None:
    bank = carrier_bank(["0x0x2"], 1, (4, 4, 4))[0, 0]
    assert torch.equal(bank[0, 0], bank[3, 2]) and bank[0, 0].tolist() == [1, -1, 1, -1]


@pytest.mark.parametrize("name", ["", "3", "1", "2x2x2", "2cc", "-2", "a"])
def test_bad_names_are_refused_with_an_example(name: str) -> None:
    with pytest.raises(ValueError, match="such as '2'"):
        parse_carrier(name, 2)
