# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import umed
from umed.benchmark.price.detector import auc, describe, detectability, fit_logistic
from umed.benchmark.price.features import compare, drift, features
from umed.benchmark.price.fidelity import fidelity, ms_ssim
from umed.benchmark.price.leakage import energy, leakage, overlap
from umed.benchmark.price.measure import Price, measure_price
from umed.benchmark.price.pairs import Pair, read_pairs, slices
from umed.benchmark.price.spectrum import radial, spectra
from umed.core.errors import InputError


def smooth(seed: int, shape: tuple[int, ...] = (48, 48)) -> np.ndarray:
    """A smooth picture with a little noise."""
    rng = np.random.default_rng(seed)
    grid = np.add.outer(np.linspace(0, 2, shape[0]), np.linspace(0, 3, shape[1]))
    return (0.5 + 0.2 * np.sin(grid + seed) + 0.002 * rng.standard_normal(shape)).astype(np.float32)[None]


def pairs_of(amplitude: float, count: int = 10) -> list[Pair]:
    """Smooth pictures with a checkerboard in a disc."""
    rows, columns = np.indices((48, 48))
    board = 1 - 2 * ((rows + columns) % 2)
    found = []
    for seed in range(count):
        roi = (rows - 20 - seed % 5) ** 2 + (columns - 24) ** 2 <= (9 + seed % 3) ** 2
        before = smooth(seed)
        after = (before + amplitude * board * roi).astype(np.float32)
        figures = {"psnr": 40.0, "psnr_roi": 30.0, "ssim": 0.9, "roi_share": 0.1, "largest_step": 4, "bound_stored": 4}
        figures |= {"delta_e": 0.1, "delta_e_99": 1.0, "delta_e_roi": 0.5, "delta_e_roi_99": 1.5}
        found.append(Pair(f"case{seed}", before, after, roi, (before != after).any(0), figures))
    return found


def test_a_checkerboard_is_found_by_the_detector_and_gives_the_mask_away() -> None:
    marked, same = pairs_of(4 / 255), pairs_of(0)
    found = detectability(marked)
    assert found["auc"] > 0.95 and found["low"] > 0.8 and found["high"] <= 1 and found["cases"] == 10
    told = leakage(marked)
    assert told["oracle"] > 0.95 and told["blind"] > 0.8 and told["blind_auc"] > 0.95
    assert told["blind_original"] < 0.6 and told["oracle"] > told["blind_original"]
    assert leakage(same)["oracle"] == 0
    assert leakage(marked[:3]) == dict.fromkeys(told) and detectability(marked[:3])["auc"] is None


def test_identical_images_cannot_be_told_apart() -> None:
    same = pairs_of(0)
    assert detectability(same)["auc"] == pytest.approx(0.5)
    for figures in drift(same).values():
        assert figures["drift"] == 0 and figures["ccc"] == pytest.approx(1)
    assert max(spectra(same)["difference"]) == 0
    assert fidelity([replace(pair, figures={**pair.figures, "psnr": None}) for pair in same])["psnr"] is None
    assert fidelity(same)["ms_ssim"] == 1 and fidelity(same)["voxels_changed"] == 0


def test_everything_is_deterministic() -> None:
    marked = pairs_of(2 / 255)
    assert detectability(marked) == detectability(marked) and leakage(marked) == leakage(marked)


def test_auc_by_hand_and_logistic_regression_separates() -> None:
    assert auc(np.array([1.0, 2.0, 3.0]), np.array([2.5, 0.0])) == pytest.approx(2 / 6)
    x = np.random.default_rng(0).standard_normal((40, 3))
    y = (x[:, 0] > 0).astype(float)
    weights, mean, spread = fit_logistic(x, y)
    assert (((x - mean) / spread @ weights[:-1] + weights[-1] > 0) == (y > 0)).mean() > 0.9
    assert describe(np.zeros((3, 16, 16), np.float32)).shape == describe(smooth(0)).shape


def test_the_spectrum_puts_waves_where_they_belong() -> None:
    rows, columns = np.indices((64, 64))
    board = (1.0 - 2 * ((rows + columns) % 2)).astype(np.float32)[None]
    wave = np.cos(2 * np.pi * rows / 8).astype(np.float32)[None]
    assert radial(board).argmax() == 31 and radial(board)[31] > 0 and radial(board)[:31].max() < 1e-9
    assert radial(wave).argmax() == 8  # 1/8 cycles a pixel, 64 steps of 1/64 up to 0.5
    total = spectra(pairs_of(4 / 255))
    assert np.argmax(total["difference"]) >= 30 and len(total["frequency"]) == len(total["original"]) == 32
    assert total["frequency"][0] > 0 and total["frequency"][-1] < 0.5


def test_features_by_hand() -> None:
    image = np.zeros((1, 8, 8), np.float32)
    image[0, :, 4:] = 0.5
    roi = np.ones((8, 8), bool)
    found = features(image, roi)
    assert found["mean"] == pytest.approx(0.25) and found["sd"] == pytest.approx(0.25)
    assert found["entropy"] == pytest.approx(1) and found["skewness"] == pytest.approx(0)
    flat = features(np.full((1, 8, 8), 0.3, np.float32), roi)
    assert (flat["contrast"], flat["homogeneity"], flat["energy"]) == (0, 1, 1) and flat["kurtosis"] == 0
    board = features(np.indices((8, 8)).sum(0)[None] % 2 * np.float32(0.99), roi)
    assert board["contrast"] == pytest.approx(31**2 / 2)  # differs along rows and columns, agrees along diagonals
    inside = roi.copy()
    inside[:, 4:] = False
    assert features(image, inside)["contrast"] == 0  # pairs across the border of the ROI do not count
    volume = np.stack([image[0]] * 5, -1)[None]
    assert features(volume, np.stack([roi] * 5, -1))["contrast"] == pytest.approx(found["contrast"])


def test_drift_is_measured_in_deviations_between_cases() -> None:
    before, after = [{"f": 0.0}, {"f": 2.0}], [{"f": 0.5}, {"f": 2.5}]
    found = compare(before, after, "f")
    assert found["drift"] == 0.5  # moved by 0.5 where cases differ by a deviation of 1
    assert found["ccc"] == pytest.approx(2 * 1 / (1 + 1 + 0.25), abs=1e-4)
    assert compare([{"f": 1.0}], [{"f": 1.0}], "f") == {"drift": None, "ccc": None}


def test_ms_ssim_falls_with_noise_and_takes_small_pictures() -> None:
    clean, rng = smooth(1), np.random.default_rng(0)
    one, two = (clean + s * rng.standard_normal(clean.shape).astype(np.float32) for s in (0.01, 0.05))
    assert 1 == ms_ssim(clean, clean) > ms_ssim(clean, one) > ms_ssim(clean, two) > 0
    assert ms_ssim(clean[:, :9, :9], clean[:, :9, :9]) == 1
    volume = np.repeat(clean[..., None], 12, -1)
    assert slices(volume).shape == (8, 48, 48) and ms_ssim(volume, volume) == 1


def test_energy_is_high_where_texture_is() -> None:
    marked = pairs_of(4 / 255)[0]
    ranks = energy(marked.after)
    assert ranks.min() == 0 and ranks.max() == 1 and ranks[marked.roi].mean() > 0.9
    assert overlap(marked.roi, marked.roi) == 1 and overlap(~marked.roi, marked.roi) == 0
    assert overlap(np.zeros(3, bool), np.zeros(3, bool)) == 0


def test_pictures_from_their_files(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(6):
        picture = np.repeat((smooth(number)[0] * 255)[..., None], 3, -1).astype(np.uint8)
        mask = np.zeros((48, 48), np.uint8)
        mask[12 : 30 + number, 14:34] = 255
        Image.fromarray(picture).save(root / "images" / f"p{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"p{number}.png")
    umed.protect(root, tmp_path / "out", method="checkerboard", report=False)
    manifest = json.loads((tmp_path / "out-private/release.json").read_text())
    ids = [case["id"] for case in manifest["cases"]]

    def half_right(image: torch.Tensor) -> torch.Tensor:
        answer = torch.zeros(image.shape[1:], dtype=torch.uint8)
        answer[12:30, 14 : 34 if float(image.sum()) % 2 else 24] = 1
        return answer

    price = measure_price(root, tmp_path / "out", ids, unseen=ids[:2], predict=half_right)
    records = [case["files"][0] for case in manifest["cases"]]
    for name in ("psnr", "psnr_roi", "ssim", "roi_share", "delta_e", "delta_e_99", "delta_e_roi", "delta_e_roi_99"):
        assert price.fidelity[name] == pytest.approx(np.mean([record[name] for record in records]), abs=1e-3)
    assert price.fidelity["largest_step"] == price.fidelity["bound"] == 4
    assert price.clean_model["cases"] == 2 and 0 < price.clean_model["original"] <= 1
    assert price.clean_model["difference"] == pytest.approx(
        price.clean_model["protected"] - price.clean_model["original"], abs=1e-4
    )
    assert price.detectability["auc"] > 0.9 and price.leakage["oracle"] > 0.7 and price.cases == 6
    assert json.loads(json.dumps(price.to_dict())) == price.to_dict()


def test_volumes_from_their_files_and_limits(phantom: Path, tmp_path: Path) -> None:
    umed.protect(phantom, tmp_path / "out", method="random", report=False)
    ids = [f"phantom_{number:03d}" for number in range(5)]
    price = measure_price(phantom, tmp_path / "out", ids, limit=4)
    assert price.cases == 4 and price.clean_model["original"] is None and isinstance(price, Price)
    assert set(price.features) >= {"mean", "entropy", "contrast"} and price.fidelity["psnr"] > 40
    (pair,) = read_pairs(phantom, tmp_path / "out", ids[:1])
    assert pair.before.shape == (1, 24, 24, 16) and pair.changed.any() and not pair.changed.all()
    with pytest.raises(InputError, match="expected case 'nobody'"):
        read_pairs(phantom, tmp_path / "out", ["nobody"])
    with pytest.raises(InputError, match="at least one published case"):
        measure_price(phantom, tmp_path / "out", [])
