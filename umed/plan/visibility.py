# SPDX-License-Identifier: Apache-2.0
"""How visible a grating is: its contrast in multiples of the eye's threshold, on the texture that it stands on.

Brightness is band-pass: the closed form of Mannos and Sakrison 1974, doi 10.1109/TIT.1974.1055250, at a peak
sensitivity of 200. Opponent colours are low-pass and end near 12 cycles per degree: an exponential through the ends of
the curve in Mullen 1985, doi 10.1113/jphysiol.1985.sp015591. Texture of the same band masks: the threshold grows with
the power 0.7 of what nature has there (Legge and Foley 1980, doi 10.1364/JOSA.70.001458).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

PER_DEGREE = 32
"""Pixels per degree: a screen of 96 dpi seen from half a metre."""
LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in brightness (ITU-R BT.709)."""
_PEAK, _COLOUR_PEAK, _COLOUR_DECAY, _MASKING = 200.0, 300.0, 2.0, 0.7
_MEAN = 0.5  # of the range: what a contrast refers to


def brightness_sensitivity(cycles: float) -> float:
    """One over the smallest contrast of brightness that is seen, at some cycles per degree."""
    return _PEAK * 2.6 * (0.0192 + 0.114 * cycles) * math.exp(-math.pow(0.114 * cycles, 1.1))


def colour_sensitivity(cycles: float) -> float:
    """One over the smallest contrast of red against green that is seen, at some cycles per degree."""
    return _COLOUR_PEAK * math.exp(-cycles / _COLOUR_DECAY)


def visibility(
    period: float, signs: Sequence[float], amplitude: float, brightness: float = 0.0, colour: float = 0.0
) -> float:
    """How far a grating is above the threshold of the eye; 1 is just visible when one looks for it.

    Args:
        period: in px, shown pixel by pixel.
        signs: amplitude in each channel; three are red, green and blue, any others are shown as grey values.
        amplitude: rms of the grating, as a share of the range.
        brightness: rms of nature's brightness in the band, as a share of the range.
        colour: rms of nature's opponent colours.

    Returns:
        Multiples of the threshold: the root of the squares in brightness and in colour.
    """
    cycles = PER_DEGREE / period
    weights = LUMA if len(signs) == 3 else (1.0,)
    light = abs(sum(w * s for w, s in zip(weights, signs, strict=False)))
    opponent = abs(signs[0] - signs[1]) / 2 if len(signs) == 3 else 0.0
    seen = (
        _above(brightness_sensitivity(cycles), amplitude * light, brightness),
        _above(colour_sensitivity(cycles), amplitude * opponent, colour),
    )
    return math.hypot(*seen)


def _above(sensitivity: float, amplitude: float, nature: float) -> float:
    masked = max(1.0, math.pow(sensitivity * nature / _MEAN, _MASKING))
    return sensitivity * amplitude / _MEAN / masked
