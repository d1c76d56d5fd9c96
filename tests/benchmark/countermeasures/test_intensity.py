# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch

from umed.benchmark.countermeasures.intensity import MinMax, Percentile, Window


def test_a_window_clips_to_values_or_percentiles_of_each_channel() -> None:
    scan = torch.linspace(-1000, 1000, 512).reshape(1, 8, 8, 8)
    clipped = Window(low=-160, high=240, unit="value").image(scan, 400.0)
    assert float(clipped.min()) == -160 and float(clipped.max()) == 240
    inside = (scan > -160) & (scan < 240)
    assert torch.equal(clipped[inside], scan[inside])
    two = torch.stack([torch.arange(101.0), 10 * torch.arange(101.0)])[..., None]
    done = Window(low=10, high=90).image(two, 1000.0)
    assert [(float(c.min()), float(c.max())) for c in done] == [(10.0, 90.0), (100.0, 900.0)]


def test_percentiles_become_0_and_1_and_the_factor_is_what_values_were_scaled_by() -> None:
    noise = torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(0))
    image = noise * torch.tensor([1.0, 50.0])[:, None, None]
    done, factor = Percentile(low=5, high=95).normalise(image)
    assert float(done.min()) == 0 and float(done.max()) == 1 and factor.shape == (2, 1, 1)
    low, high = np.percentile(image.flatten(1).numpy(), (5, 95), axis=1)
    assert np.allclose(factor.flatten(), 1 / (high - low), rtol=1e-4)
    moved, _ = Percentile(low=5, high=95).normalise(image)
    middle = (done > 0.2) & (done < 0.8)
    assert torch.equal(moved, done) and torch.allclose(
        (done / factor)[middle], (image - torch.from_numpy(low).float()[:, None, None])[middle], atol=1e-3
    )


def test_minmax_uses_the_whole_range_and_a_constant_stays_finite() -> None:
    done, factor = MinMax().normalise(torch.tensor([[[2.0, 6.0]], [[5.0, 5.0]]]))
    assert done.tolist() == [[[0.0, 1.0]], [[0.0, 0.0]]] and float(factor[0]) == 0.25
