# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from umed.benchmark.victims.schedule import decay, is_flat


def test_flat_means_flat() -> None:
    assert is_flat([1 / (1 + step) for step in range(1000)])
    assert not is_flat([1 - step / 1000 for step in range(1000)])
    assert not is_flat([1.0] * 5)


def falling(travelled: np.ndarray, kind: str) -> np.ndarray:
    """Losses over the share of the distance that was travelled."""
    return {"straight": 1 - travelled, "early": np.exp(-8 * travelled), "slow": np.exp(-1.5 * travelled)}[kind]


@pytest.mark.parametrize(("kind", "flat"), [("straight", False), ("slow", False), ("early", True)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_decaying_rate_does_not_make_a_falling_loss_flat(kind: str, flat: bool, noise: float) -> None:
    rates = [decay(step, 1000) for step in range(1000)]
    loss = falling(np.cumsum(rates) / np.sum(rates), kind) + noise * np.random.default_rng(0).standard_normal(1000)
    assert is_flat(loss, rates) is flat
    assert is_flat(loss, [2e-3 * rate for rate in rates]) is flat


@pytest.mark.parametrize("kind", ["straight", "slow", "early"])
def test_over_the_steps_alone_every_loss_levels_off(kind: str) -> None:
    rates = [decay(step, 1000) for step in range(1000)]
    assert is_flat(falling(np.cumsum(rates) / np.sum(rates), kind))  # so a test that is blind to the rate says nothing


def test_a_constant_rate_leaves_the_test_on_steps() -> None:
    draw = np.random.default_rng(1)
    for fall in np.linspace(0.05, 3, 20):
        loss = np.exp(-fall * np.arange(400) / 100) + 0.01 * draw.standard_normal(400)
        assert is_flat(loss) == is_flat(loss, [1.0] * 400) == is_flat(loss, [0.5] * 400)


def test_a_loss_that_is_flat_at_full_rate_and_falls_as_the_rate_does_is_not_flat() -> None:
    rates = np.array([decay(step, 1000) for step in range(1000)])
    loss = np.maximum(1 - np.arange(1000) / 100, 0.5) * np.minimum(1, rates / 0.4)
    assert not is_flat(loss, rates)
