# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from umed.plan import metrics


def psnr(before, after, *, peak, mask=None):
    """PSNR in dB, in the whole image or in a mask."""
    count = before.size if mask is None else int(mask.sum()) * before.shape[0]
    return metrics._decibel(metrics.squared_error(before, after, mask), count, peak)
