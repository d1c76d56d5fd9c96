# SPDX-License-Identifier: Apache-2.0
"""LSP, AR and VoxShield against their papers' formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import umed
from umed.core.errors import ConfigError
from umed.core.keyfile import Key, Secret
from umed.methods.autoregressive import Autoregressive, coefficients, write
from umed.methods.base import Method, make_method
from umed.methods.linear_separable import LinearSeparable
from umed.methods.voxshield import VoxShield, slice_consistency
from umed.plan.planning import Plan
from umed.plan.regions import make_regions
from umed.training.bilevel import normalise
from umed.training.patches import Sample

SECRET = Secret(Key(bytes(range(32))), "test")


def keyed(method: Method) -> Any:
    """The method with a secret."""
    method.secret = SECRET
    return method


def regions_of(shape: tuple[int, ...], **more: Any):
    labels = np.zeros(shape, np.int16)
    labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1
    return make_regions(labels, radius=2, **more)


def drawn(method, shape: tuple[int, ...], channels: int = 1, case: str = "a", **more: Any):
    regions = regions_of(shape, **more)
    image = torch.rand(channels, *regions.labels.shape)
    return keyed(method).direction(image, regions, SECRET.draw("case", case)).numpy(), regions


def test_lsp_is_blocks_of_one_value_in_step_with_the_file() -> None:
    found, regions = drawn(LinearSeparable(patch=4), (40, 48), 3, full=True)
    inside = regions.labels > 0
    assert found.shape == (3, 40, 48) and np.abs(found).max() <= 1
    for block in (found[:, 12:16, 12:16], found[:, 0:4, 44:48]):
        assert np.ptp(block.reshape(3, -1), axis=1).max() == 0
    part, cut = drawn(LinearSeparable(patch=4), (40, 48), 3)  # the crop around the ROI alone
    assert np.array_equal(part[:, cut.labels > 0], found[:, inside])


def test_lsp_points_are_separable_by_the_vertices_and_differ_by_case() -> None:
    method = keyed(LinearSeparable(patch=2, period=4, separation=10))
    inner, outer = (method.vertex(label, 1, 2).ravel() for label in (1, 0))
    assert set(np.unique(inner)) == {-1, 1} and not np.array_equal(inner, outer)
    one, regions = drawn(method, (32, 32), case="a", full=True)
    two, _ = drawn(method, (32, 32), case="b", full=True)
    assert not np.array_equal(one, two) and np.array_equal(np.sign(one), np.sign(two))
    blocks = one[0, 8:16, 8:16][::2, ::2].ravel()  # one period inside the ROI
    assert np.all(blocks @ inner > np.abs(blocks @ outer)) and regions.frames is not None
    assert np.abs(blocks / blocks.std() - inner * np.abs(blocks / blocks.std())).max() < 1e-6


def test_lsp_may_give_each_label_its_own_point_and_goes_into_volumes() -> None:
    labels = np.zeros((24, 24, 24), np.int16)
    labels[4:20, 4:12], labels[4:20, 12:20] = 1, 2
    regions = make_regions(labels, radius=2)
    image = torch.rand(1, *regions.labels.shape)
    both = [
        keyed(LinearSeparable(patch=2, classes=kind)).direction(image, regions, SECRET.draw("case", "a")).numpy()
        for kind in ("roi", "label")
    ]
    assert np.array_equal(both[0][0, regions.labels == 1], both[1][0, regions.labels == 1])
    assert not np.array_equal(both[0][0, regions.labels == 2], both[1][0, regions.labels == 2])


@pytest.mark.parametrize("label", [0, 1])
def test_ar_noise_satisfies_its_equation(label: int) -> None:
    drawn_once = coefficients(np.random.default_rng(label))
    beta = np.array(drawn_once)
    assert beta[0, 0] == 0 and beta.sum() == pytest.approx(1)
    noise = write(drawn_once, (40, 30), 2, np.random.default_rng(0))
    assert noise.shape == (2, 40, 30) and noise.std() > 0
    for i in range(2, 40):
        for j in range(2, 30):
            window = noise[:, i - 2 : i + 1, j - 2 : j + 1][:, ::-1, ::-1]
            assert np.allclose(noise[:, i, j], (window * beta).sum((1, 2)), atol=1e-8)


def test_ar_has_one_process_a_class_and_another_start_a_case() -> None:
    method = keyed(Autoregressive())
    assert method.process(0, 0) != method.process(1, 0) != method.process(1, 1)
    assert keyed(Autoregressive()).process(1, 0) == method.process(1, 0) != keyed(Autoregressive(seed=1)).process(1, 0)
    one, regions = drawn(Autoregressive(), (48, 40), 3, case="a", full=True)
    two, _ = drawn(Autoregressive(), (48, 40), 3, case="b", full=True)
    assert not np.array_equal(one, two) and np.abs(one).max() == 1 and regions.frames is not None
    again, _ = drawn(Autoregressive(), (48, 40), 3, case="a", full=True)
    assert np.array_equal(one, again)
    volume, _ = drawn(Autoregressive(), (20, 24, 9))
    assert not np.array_equal(volume[..., 3], volume[..., 4])  # each slice has a start of its own


def test_slice_consistency_by_hand() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 1, 6, 8, 4)).astype(np.float32)
    spectra = np.abs(np.fft.fft2(noise, axes=(2, 3)))
    expected = np.sqrt(((spectra[..., 1:] - spectra[..., :-1]) ** 2).sum((2, 3))).mean()
    assert float(slice_consistency(torch.from_numpy(noise))) == pytest.approx(float(expected), rel=1e-4)
    same = torch.from_numpy(noise[..., :1]).expand(-1, -1, -1, -1, 4)
    assert float(slice_consistency(same)) < 1e-5


def test_voxshield_adds_its_two_terms_and_they_reach_the_generator(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    regions = regions_of((32, 32, 32))
    image = rng.random((1, *regions.labels.shape), np.float32)
    training = umed.core.config.Training(iterations=2, batch_size=1, patch_size=(32, 32, 32))
    plan = Plan(method="voxshield", spatial_dims=3, classes=2, channels=1, training=training)
    method = make_method(plan, SECRET)
    trainer = method.make_trainer([Sample(image, regions, "a", (None,))], plan)  # type: ignore[attr-defined]
    batch = trainer.loader.batches[0]
    for surrogate in trainer.surrogates:
        surrogate.eval()
    published = trainer.protect(batch)
    noise = published - batch.image
    assert float((noise * ~batch.support).abs().max()) < 1e-7 and float(noise.abs().max()) <= plan.epsilon + 1e-6
    extra = trainer.extra_loss(published, batch)
    change = [(s(normalise(published)) - s(normalise(batch.image))).abs().mean() for s in trainer.surrogates]
    expected = -0.2 * slice_consistency(noise) - 0.05 * torch.stack(change).mean()
    assert float(extra) == pytest.approx(float(expected), rel=1e-4) and float(extra) < 0
    extra.backward()
    assert float(sum(w.grad.abs().sum() for w in trainer.generator.parameters() if w.grad is not None)) > 0


@pytest.mark.parametrize("name", ["linear_separable", "autoregressive", "voxshield"])
@pytest.mark.parametrize("support", ["roi", "full"])
def test_through_files(name: str, support: str, phantom: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    training = {"iterations": 2, "batch_size": 1, "patch_size": [32, 32, 32]}
    result = umed.protect(phantom, out, method=name, support=support, training=training, report=False)
    assert all(outcome.status == "protected" for outcome in result.outcomes)
    assert umed.verify(phantom, out).ok
    share = result.outcomes[0].measures["files"][0]["voxels_changed"] / (24 * 24 * 16)
    assert share > 0.2 if support == "full" else share < 0.2


def test_voxshield_refuses_pictures_and_negative_weights() -> None:
    with pytest.raises(ConfigError, match="expected spatial_dims 3, got 2"):
        make_method(Plan(method="voxshield", spatial_dims=2))
    with pytest.raises(ConfigError, match="weights of 0 or more"):
        VoxShield(semantic=-1)


@pytest.mark.parametrize(
    ("cls", "wrong", "message"),
    [
        (LinearSeparable, {"patch": 0}, "patch and period of at least 1"),
        (LinearSeparable, {"separation": 0}, "separation: expected a positive"),
        (LinearSeparable, {"classes": "lable"}, "Did you mean 'label'"),
        (Autoregressive, {"classes": "rio"}, "Did you mean 'roi'"),
    ],
)
def test_wrong_options_are_refused(cls: type, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cls(**wrong)
