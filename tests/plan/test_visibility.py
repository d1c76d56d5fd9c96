# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from umed.plan.visibility import brightness_sensitivity, colour_sensitivity, visibility


def test_brightness_is_band_pass_and_colour_low_pass() -> None:
    cycles = np.linspace(0.25, 16, 200)
    light = [brightness_sensitivity(one) for one in cycles]
    assert 6 < cycles[int(np.argmax(light))] < 10 and 190 < max(light) < 205  # 8 cycles, as Mannos and Sakrison found
    colour = [colour_sensitivity(one) for one in cycles]
    assert sorted(colour, reverse=True) == colour
    assert colour_sensitivity(11.5) == pytest.approx(1, abs=0.1), "where Mullen's subjects saw no colour any more"
    assert colour_sensitivity(0.5) > brightness_sensitivity(0.5), "coarse colour is a tint"


def test_opponent_colours_are_quieter_when_fine_and_louder_when_coarse() -> None:
    fine, coarse = (visibility(period, (1, -1, 1), 4 / 255) for period in (4, 28))
    assert coarse > fine
    assert visibility(4, (1, -1, 1), 4 / 255) < visibility(4, (1, 1, 1), 4 / 255)
    tint = visibility(12, (1, -1, 1), 8 / 255 * 0.85, brightness=5 / 255, colour=0.7 / 255)
    assert 3.5 < tint < 6, "8/255 at an eighth of a ROI of 96 px: anybody sees it"


def test_texture_masks_and_amplitude_scales() -> None:
    bare, masked = (visibility(6, (1,), 4 / 255, brightness=nature) for nature in (0.0, 10 / 255))
    assert masked < bare / 3
    assert visibility(6, (1,), 8 / 255) == pytest.approx(2 * bare)
    assert visibility(6, (1, 1), 4 / 255) == visibility(6, (1,), 4 / 255), "channels that are no colours: grey values"
