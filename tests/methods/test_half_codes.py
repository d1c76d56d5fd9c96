# SPDX-License-Identifier: Apache-2.0
"""Codes for evidence: half of each object carries them, another half in each case, and every promise still holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import umed
from umed.cli.main import main
from umed.data import formats
from umed.data.phantom import make_phantom
from umed.methods.half_codes import half_of
from umed.trace.challenge import challenge

PLAIN = {"training": {"iterations": 0}, "report": False, "evidence": True}


def labels_of(shape: tuple[int, ...]) -> np.ndarray:
    """Two classes, three objects, one of them a single voxel."""
    labels = np.zeros(shape, np.int16)
    labels[(slice(3, 15), slice(4, 18), *[slice(1, None)] * (len(shape) - 2))] = 1
    labels[(slice(20, 26), slice(22, 28), *[slice(0, -1)] * (len(shape) - 2))] = 1
    labels[(slice(20, 30), slice(3, 9), *[slice(None)] * (len(shape) - 2))] = 2
    labels[(1, 25, *[0] * (len(shape) - 2))] = 2
    return labels


@pytest.mark.parametrize(("shape", "axis"), [((34, 30), -1), ((34, 30, 6), -1), ((34, 30, 6), 0)])
def test_half_of_every_object_in_every_slice(shape: tuple[int, ...], axis: int) -> None:
    labels = labels_of(shape)
    coded = half_of(labels, np.random.default_rng(4), axis)
    assert coded.shape == labels.shape and coded.dtype == bool
    walked = axis % len(shape)
    for number in (1, 2):
        objects, count = ndimage.label(labels == number, np.ones((3,) * len(shape)))
        for one in range(1, count + 1):
            slices = [np.take(objects == one, place, walked) for place in range(shape[walked])]
            if len(shape) == 2:
                slices = [objects == one]
            kept = [coded if len(shape) == 2 else np.take(coded, place, walked) for place in range(len(slices))]
            for mine, half in zip(slices, kept, strict=True):
                if mine.sum() > 1:
                    share = half[mine].mean()
                    assert 0.5 <= share <= 0.75, (number, one, share)
                elif mine.any():
                    assert half[mine].all()


def test_another_draw_is_another_half_and_the_band_goes_with_its_object() -> None:
    labels = labels_of((34, 30))
    one, again, other = (half_of(labels, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == again).all() and 0.1 < (one != other)[labels > 0].mean() < 0.9
    beside = (labels == 0) & ndimage.binary_dilation(labels > 0)
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    assert (one[beside] == one[tuple(nearest)][beside]).all() and not one[beside].all() and one[beside].any()


def pictures(root: Path, count: int = 4) -> Path:
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(60, 190, (48, 56, 3), dtype=np.uint8)).save(root / "images" / f"c{number}.png")
        mask = np.zeros((48, 56), np.uint8)
        mask[10:38, 12:44] = 255
        Image.fromarray(mask).save(root / "masks" / f"c{number}.png")
    return root


def test_a_release_for_evidence_keeps_every_promise(tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    assert all(one.status == "protected" for one in umed.protect(source, out, **PLAIN).outcomes)
    assert umed.verify(source, out).ok and umed.check_release(out, original=source).ok
    inside = np.asarray(Image.open(source / "masks" / "c0.png")) > 0
    halves = []
    for number in range(4):
        before, after = (formats.read(root / "images" / f"c{number}.png").stored.astype(int) for root in (source, out))
        moved = (before != after).any(-1)
        assert 0.4 < moved[inside].mean() < 0.65, "one half of the object, no more"
        halves.append(moved[inside])
    assert all((halves[0] != one).mean() > 0.02 for one in halves[1:]), "another half in each case"
    whole = tmp_path / "whole"
    umed.protect(source, whole, **{**PLAIN, "evidence": False})
    assert (formats.read(whole / "images" / "c0.png").stored != formats.read(source / "images" / "c0.png").stored)[
        inside
    ].any(-1).mean() > 0.9


def test_the_copies_of_a_challenge_are_other_halves(tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    umed.protect(source, out, **PLAIN)
    queries, given = tmp_path / "q", {"private": tmp_path / "out-private", "output": out}
    done = challenge(source, queries, flips=1, decoys=0, twins=3, **given)
    assert done.count == 4 * 4 and not done.left_out
    original = {path.stem: formats.read(path).stored.astype(int) for path in (source / "images").iterdir()}
    moved = set()
    for path in (queries / "images").iterdir():
        stored = formats.read(path).stored.astype(int)
        case = min(original, key=lambda name: np.abs(original[name] - stored).sum())
        moved.add((case, (stored != original[case]).any(-1).tobytes()))
    assert len(moved) == 16


def test_the_plan_says_what_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pictures(tmp_path / "in")
    assert main(["plan", str(source), "--evidence", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("protection: given up for evidence") and "another half of each object" in said
    assert main(["plan", str(source), "--quiet", "--set", "method_options.carriers=[2]"]) == 0  # a number, in YAML
    capsys.readouterr()
    assert "at 4/255 umed trace found little in trials: add --strength strong" in said
    wrong = "evidence: expected method umed with secret carriers"
    for words, why in (
        (["--evidence", "--method", "random"], wrong),
        (["--evidence", "--set", "method_options.carriers=[2]"], wrong),
        (["--evidence", "--set", "method_options.carriers=[auto]"], wrong),
        (["--evidence", "--set", "method_options.half=false"], "method_options.half: expected to be left out"),
        (["--set", "method_options.half=true"], "method_options.half: expected to be left out"),
    ):
        assert main(["plan", str(source), "--quiet", *words]) == 2, words
        assert why in capsys.readouterr().err


def test_almost_every_labelled_slice_of_a_volume_is_changed(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    make_phantom(source, cases=2)
    umed.protect(source, out, **PLAIN)
    assert umed.check_release(out, original=source).ok
    for path in (source / "imagesTr").glob("*.nii.gz"):
        before, after = (formats.read(root / "imagesTr" / path.name).stored for root in (source, out))
        labels = formats.read(source / "labelsTr" / path.name).stored
        moved = [(before[..., z] != after[..., z])[labels[..., z] > 0] for z in np.flatnonzero(labels.any((0, 1)))]
        assert np.mean([one.any() for one in moved]) > 0.9 and 0.35 < np.concatenate(moved).mean() < 0.65


def test_generators_of_another_run_do_not_bring_the_half_along(tmp_path: Path) -> None:
    source = pictures(tmp_path / "in")
    umed.protect(source, tmp_path / "a", training={"iterations": 1}, report=False)
    umed.protect(source, tmp_path / "b", generators=tmp_path / "a-private" / "generators", report=False, evidence=True)
    inside = np.asarray(Image.open(source / "masks" / "c1.png")) > 0
    before, after = (formats.read(root / "images" / "c1.png").stored for root in (source, tmp_path / "b"))
    assert 0.4 < (before != after).any(-1)[inside].mean() < 0.65
    assert umed.verify(source, tmp_path / "b").ok
