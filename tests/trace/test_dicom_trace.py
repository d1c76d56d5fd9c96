# SPDX-License-Identifier: Apache-2.0
"""A trace of a DICOM release: whose copy it was, and queries that hold pixels and geometry and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID, JPEG2000Lossless

import umed
from tests.dicom_files import image, save, write_series
from tests.release_files import labels, make_key, volume, write_seg
from umed.cases.spans import MOST_SLICES
from umed.cli.main import main
from umed.core.errors import ConfigError, InputError
from umed.data import formats
from umed.release.anonymize import anonymize
from umed.trace.challenge import challenge
from umed.trace.judge import judge

SERIES = 12
SHAPE = (5, 36, 44)
PLAIN = {"training": {"iterations": 0}, "report": False, "check": False}


def queries_of(queries: Path, private: Path) -> dict[str, dict[str, Any]]:
    """What the owner knows of each query."""
    name = json.loads((queries / "challenge.json").read_text())["challenge"]
    found: dict[str, dict[str, Any]] = json.loads((private / "challenges" / name / "queries.json").read_text())
    return found["queries"]


def stack(files: list[Path]) -> np.ndarray:
    """Stored values of a series ``(slices, rows, columns)``, as pydicom reads them."""
    slices = sorted(map(pydicom.dcmread, files), key=lambda ds: float(ds.ImagePositionPatient[2]))
    return np.stack([ds.pixel_array for ds in slices])


def answer(queries: Path, private: Path, answers: Path, mask: np.ndarray, right: Callable[[str], bool]) -> None:
    """A network that finds all of the mask where ``right`` says so of the role, and loses a part elsewhere."""
    answers.mkdir()
    for name, query in queries_of(queries, private).items():
        said = mask.copy()
        if not right(query["role"]):
            said[:, 10:14] = 0
        said = np.flip(said.transpose(2, 1, 0), query["flips"])
        nib.save(nib.Nifti1Image(said, np.eye(4)), answers / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve CT series with a SEG each, and copies for Marianne and Leopold, made by the command line."""
    root = tmp_path_factory.mktemp("dicom")
    for number in range(SERIES):
        folder = root / "in" / f"ct{number:02d}"
        paths = write_series(folder, volume(number, SHAPE), study=number, series=number, bits=16)
        write_seg(paths, labels(SHAPE), folder / "seg.dcm", 78 + number)
    make_key(root)
    for name in ("Marianne", "Leopold"):
        words = ["anonymize", str(root / "in"), str(root / name), "--protect", "--key-file", str(root / "project.key")]
        assert main([*words, "--recipient", name, "--set", "training.iterations=0", "--quiet"]) == 0
        words = [
            "trace",
            "challenge",
            str(root / "in"),
            str(root / f"q{name}"),
            "--private",
            str(root / f"{name}-private"),
        ]
        assert main([*words, "--key-file", str(root / "project.key"), "--output", str(root / name), "--quiet"]) == 0
    return root


def test_the_verdict_names_the_recipient_of_a_dicom_copy(copies: Path, tmp_path: Path) -> None:
    """Two anonymized copies under one key; the network knows Leopold's."""
    for name in ("Marianne", "Leopold"):
        knows = {"Marianne": "neither", "Leopold": "published"}[name]
        answer(copies / f"q{name}", copies / f"{name}-private", tmp_path / name, labels(SHAPE), knows.__eq__)
    words = [
        "trace",
        "judge",
        str(copies / "qMarianne"),
        str(tmp_path / "Marianne"),
        "--private",
        str(copies / "Marianne-private"),
    ]
    words += ["--also", str(copies / "qLeopold"), str(tmp_path / "Leopold"), str(copies / "Leopold-private")]
    words += ["--key-file", str(copies / "project.key"), "--output", str(copies / "Marianne")]
    assert main([*words, "--verdict", str(tmp_path / "v"), "--quiet"]) == 0
    said = json.loads((tmp_path / "v" / "trace.json").read_text())
    assert said["whose"] == "whose copy: Leopold"
    assert [one["evidence"] for one in said["releases"]] == [False, True]
    assert said["releases"][1]["p"] == pytest.approx(2 * 9.0**-SERIES)


def test_copies_for_two_recipients_differ_and_name_nobody(copies: Path) -> None:
    images = {}
    for name in ("Marianne", "Leopold"):
        images[name] = {path.relative_to(copies / name): path for path in (copies / name).rglob("*.dcm")}
        assert not any(name.encode() in path.read_bytes() for path in (copies / name).rglob("*") if path.is_file())
    assert images["Marianne"].keys() == images["Leopold"].keys()
    pairs = [
        (pydicom.dcmread(one), pydicom.dcmread(images["Leopold"][name])) for name, one in images["Marianne"].items()
    ]
    differing = [(a.pixel_array != b.pixel_array).any() for a, b in pairs if a.Modality == "CT"]
    assert sum(differing) == SERIES * 3  # the slices with a mask


def test_queries_hold_the_released_pixels_on_their_own_grid(copies: Path) -> None:
    folders = {stack(sorted(folder.glob("*.dcm"))).tobytes(): folder for folder in (copies / "Marianne").glob("*/*/*")
               if pydicom.dcmread(next(folder.glob("*.dcm"))).Modality == "CT"}  # fmt: skip
    assert len(folders) == SERIES
    found = 0
    for name, query in queries_of(copies / "qMarianne", copies / "Marianne-private").items():
        path = copies / "qMarianne" / "images" / f"{name}.nii.gz"
        read = nib.load(path)
        np.testing.assert_allclose(
            read.affine, [[-0.7, 0, 0, 10], [0, -0.8, 0, -5], [0, 0, 2.5, 100], [0, 0, 0, 1]], atol=1e-5
        )
        assert (float(read.dataobj.slope), float(read.dataobj.inter)) == (1, -1024)
        stored = np.flip(formats.read(path).stored, query["flips"]).transpose(2, 1, 0).astype(np.int16)
        assert (stored.tobytes() in folders) == (query["role"] == "published")
        found += query["role"] == "published"
    assert found == 4 * SERIES


@pytest.mark.parametrize(
    ("orientation", "step"),
    [
        ((1, 0, 0, 0, 1, 0), (0, 0.6, 2.5)),  # a gantry tilt
        ((0, 1, 0, 0, 0, -1), (3, 0, 0)),  # sagittal
        ((0.8, 0.6, 0, -0.6, 0.8, 0), (0, 0, -2)),  # oblique, from the head down
    ],
)
def test_a_query_lies_where_its_slices_lie(
    tmp_path: Path, orientation: tuple[float, ...], step: tuple[float, ...]
) -> None:
    paths = write_series(tmp_path / "in" / "ct", volume(2, SHAPE), orientation=orientation, step=step, bits=16)
    write_seg(paths, labels(SHAPE), tmp_path / "in" / "seg.dcm")
    umed.protect(tmp_path / "in", tmp_path / "out", **PLAIN)
    challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private", flips=1, decoys=0)
    known = queries_of(tmp_path / "q", tmp_path / "out-private")
    name = next(name for name, query in known.items() if query["role"] == "published")
    read = nib.load(tmp_path / "q" / "images" / f"{name}.nii.gz")
    voxels = np.asarray(read.dataobj)
    seen = 0
    for path in (tmp_path / "out" / "ct" / path.name for path in paths):
        ds = pydicom.dcmread(path)
        row, column = np.array(ds.ImageOrientationPatient[:3]), np.array(ds.ImageOrientationPatient[3:])
        for index in range(SHAPE[0]):
            first = (read.affine @ [0, 0, index, 1])[:3] * (-1, -1, 1)
            if np.allclose(first, ds.ImagePositionPatient, atol=1e-3):
                seen += 1
                assert (voxels[:, :, index].T == ds.pixel_array + ds.RescaleIntercept).all()
                np.testing.assert_allclose((read.affine[:3, 0] * (-1, -1, 1)), 0.7 * row, atol=1e-5)
                np.testing.assert_allclose((read.affine[:3, 1] * (-1, -1, 1)), 0.8 * column, atol=1e-5)
    assert seen == SHAPE[0]


def test_nothing_in_the_queries_tells_the_copies_apart(copies: Path) -> None:
    files = sorted((copies / "qMarianne" / "images").iterdir())
    known = queries_of(copies / "qMarianne", copies / "Marianne-private")
    assert {path.name.removesuffix(".nii.gz") for path in files} == set(known)
    assert len({path.stat().st_mtime_ns for path in files}) == 1
    heads = {formats.read(path).header.head for path in files}
    assert len(heads) == 1  # one geometry, and nothing else before the voxels
    assert not any(formats.read(path).header.tail for path in files)
    note = json.loads((copies / "qMarianne" / "challenge.json").read_text())
    assert set(note) == {"challenge", "queries"}


def test_a_series_of_many_spans_is_one_case(tmp_path: Path) -> None:
    """Each span has draws of its own; the published copy is made of all published ones, each twin of others."""
    shape = (2 * MOST_SLICES + 3, 24, 28)
    mask = np.zeros(shape, np.uint8)
    mask[:, 6:18, 8:20] = 1
    paths = write_series(tmp_path / "in" / "ct", volume(1, shape), bits=16)
    write_seg(paths, mask, tmp_path / "in" / "seg.dcm")
    umed.protect(tmp_path / "in", tmp_path / "out", **PLAIN)
    private = tmp_path / "out-private"
    [units] = json.loads((private / "trace.json").read_text())["cases"].values()
    assert len(units) == 3
    done = challenge(tmp_path / "in", tmp_path / "q", private=private, flips=1, decoys=1)
    assert (done.cases, done.count, done.left_out) == (1, 10, ())
    out = stack([tmp_path / "out" / "ct" / path.name for path in paths])
    original = stack(paths)
    found = {
        query["role"]: formats.read(tmp_path / "q" / "images" / f"{name}.nii.gz").stored.transpose(2, 1, 0)
        for name, query in queries_of(tmp_path / "q", private).items()
    }
    assert (found["published"] == out).all()
    for start in range(0, shape[0], MOST_SLICES):
        part = slice(start, start + MOST_SLICES)
        for role in set(found) - {"published"}:
            assert (found[role][part] != out[part]).any()
        moved = [np.abs(found[role][part].astype(int) - original[part]).max() for role in sorted(found)]
        assert 0 < min(moved) and max(moved) <= 1.01 * min(moved)  # none of them is bolder than the others


def test_pictures_without_a_place_are_asked_about_frame_by_frame(tmp_path: Path) -> None:
    """A colour film of five frames, three of them labelled: PNG, and the mean over its frames counts."""
    pixels = np.random.default_rng(5).integers(30, 220, (5, 40, 48, 3), np.uint8)
    ds = image(pixels, "US", position=None, instance=1)
    save(ds, tmp_path / "in" / "film" / "one.dcm")
    ds = image(pixels[0], "US", position=None, series=2, instance=2)
    ds.compress(UID(JPEG2000Lossless), generate_instance_uid=False)
    save(ds, tmp_path / "in" / "still" / "one.dcm")
    mask = np.zeros((40, 48), np.uint8)
    mask[10:30, 12:36] = 1
    (tmp_path / "masks" / "film").mkdir(parents=True)
    for frame in (2, 3, 5):
        Image.fromarray(mask).save(tmp_path / "masks" / "film" / f"{frame}.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "still.png")
    given = {"masks": tmp_path / "masks"}
    done = umed.protect(tmp_path / "in", tmp_path / "out", **given, **PLAIN)
    assert [one.status for one in done.outcomes] == ["protected", "protected"], done.outcomes
    private = tmp_path / "out-private"
    asked = challenge(tmp_path / "in", tmp_path / "q", private=private, flips=2, decoys=0, **given)
    assert (asked.cases, asked.count) == (2, 4 * 9 * 2)
    out = {ds.SeriesInstanceUID: ds.pixel_array.reshape(-1, 40, 48, 3) for ds in
           map(pydicom.dcmread, (tmp_path / "out").rglob("one.dcm"))}  # fmt: skip
    (tmp_path / "a").mkdir()
    frames = set()
    for name, query in queries_of(tmp_path / "q", private).items():
        frames.add((query["case"], query["frame"]))
        pixels = np.flip(np.asarray(Image.open(tmp_path / "q" / "images" / f"{name}.png")), query["flips"])
        held = any((pixels == one[query["frame"]]).all() for one in out.values() if len(one) > query["frame"])
        assert held == (query["role"] == "published")
        said = mask.copy()
        said[: 0 if query["role"] == "published" else 15] = 0
        Image.fromarray(np.ascontiguousarray(np.flip(said, query["flips"]))).save(tmp_path / "a" / f"{name}.png")
    assert sorted(frame for _, frame in frames) == [0, 1, 2, 4]
    found = judge(tmp_path / "q", tmp_path / "a", private=private).releases[0]
    assert found.result.won == found.cases == 2 and found.mean[0] == 1
    (next((tmp_path / "a").iterdir())).unlink()
    assert judge(tmp_path / "q", tmp_path / "a", private=private).releases[0].cases == 1


def test_slices_that_mean_other_values_become_physical_ones(tmp_path: Path) -> None:
    """NIfTI has one slope for all; PET has one a slice."""
    stored = np.random.default_rng(6).integers(100, 3000, SHAPE).astype(np.uint16)
    slopes = [0.5, 0.75, 1.0, 1.5, 2.0]
    paths = write_series(tmp_path / "in" / "pt", stored.astype(np.int16), "MR", Modality="PT")
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.RescaleSlope, ds.RescaleIntercept = slopes[int(ds.InstanceNumber) - 1], 0
        ds.save_as(path)
    write_seg(paths, labels(SHAPE), tmp_path / "in" / "seg.dcm")
    umed.protect(tmp_path / "in", tmp_path / "out", **PLAIN)
    challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private", flips=1, decoys=0)
    physical = stack([tmp_path / "out" / "pt" / path.name for path in paths]) * np.reshape(slopes, (5, 1, 1))
    for name, query in queries_of(tmp_path / "q", tmp_path / "out-private").items():
        held = np.asarray(nib.load(tmp_path / "q" / "images" / f"{name}.nii.gz").dataobj).transpose(2, 1, 0)
        assert held.dtype == np.float32
        assert np.array_equal(held, physical.astype(np.float32)) == (query["role"] == "published")


@pytest.mark.parametrize("kind", ["colour", "signed"])
def test_colours_in_space_and_signed_pictures_are_nifti(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(8)
    if kind == "colour":
        paths = write_series(tmp_path / "in" / "s", rng.integers(30, 220, (*SHAPE, 3), np.uint8), "MR")
    else:
        pixels = rng.integers(-500, 900, SHAPE[1:]).astype(np.int16)
        paths = [save(image(pixels, "CT", position=None, bits=16), tmp_path / "in" / "s" / "one")]
    (tmp_path / "masks").mkdir()
    mask = labels(SHAPE)
    if kind == "colour":
        write_seg(write_series(tmp_path / "grey", mask, "MR"), mask, tmp_path / "masks" / "seg.dcm")
    else:
        Image.fromarray(mask[1]).save(tmp_path / "masks" / "s.png")
    given = {"masks": tmp_path / "masks"}
    done = umed.protect(tmp_path / "in", tmp_path / "out", **given, **PLAIN)
    assert [one.status for one in done.outcomes if one.status != "carried"] == ["protected"], done.outcomes
    private = tmp_path / "out-private"
    challenge(tmp_path / "in", tmp_path / "q", private=private, flips=2, decoys=0, **given)
    out = [pydicom.dcmread(tmp_path / "out" / "s" / path.name) for path in paths]
    (tmp_path / "a").mkdir()
    for name, query in queries_of(tmp_path / "q", private).items():
        read = formats.read(tmp_path / "q" / "images" / f"{name}.nii.gz")
        stored = np.flip(read.stored, query["flips"])
        if kind == "colour":
            assert (read.channels_last, stored.shape) == (True, (*SHAPE[::-1], 3))
            same = all((stored[:, :, k].transpose(1, 0, 2) == ds.pixel_array).all() for k, ds in enumerate(out))
            truth = mask.transpose(2, 1, 0)
        else:
            assert (read.encoding.inter, stored.shape) == (-1024, SHAPE[:0:-1])
            same, truth = bool((stored.T == out[0].pixel_array).all()), mask[1].T
        assert same == (query["role"] == "published")
        said = truth * np.uint8(same)
        nib.save(nib.Nifti1Image(np.flip(said, query["flips"]), np.eye(4)), tmp_path / "a" / f"{name}.nii.gz")
    found = judge(tmp_path / "q", tmp_path / "a", private=private).releases[0]
    assert (found.cases, found.result.won, found.mean[0]) == (1, 1, 1)


def test_a_series_of_which_files_were_put_aside_is_left_out(tmp_path: Path) -> None:
    """What was not released must not get out by a query: here a picture with text burned in."""
    pixels = np.random.default_rng(9).integers(1000, 1400, (4, 40, 48)).astype(np.int16)
    for number, one in enumerate(pixels):
        more = {"BurnedInAnnotation": "YES"} if number == 2 else {}
        ds = image(one, "CT", position=(0, 0, 2.5 * number), instance=number + 1, bits=16, **more)
        save(ds, tmp_path / "in" / "ct" / f"{number}.dcm")
    mask = np.zeros((4, 40, 48), np.uint8)
    mask[:, 10:30, 12:36] = 1
    write_seg(sorted((tmp_path / "in" / "ct").iterdir()), mask, tmp_path / "in" / "seg.dcm")
    key = make_key(tmp_path)
    done = anonymize(tmp_path / "in", tmp_path / "out", key_file=key, protect=True, **PLAIN)
    assert "protected" in {one.status for one in done.outcomes}
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 4  # three slices and the SEG
    with pytest.raises(InputError, match="1 of its files were put aside and not released"):
        challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private", key_file=key)
    assert not (tmp_path / "q").exists()


def test_what_the_release_blanked_out_is_blank_in_the_queries(tmp_path: Path) -> None:
    """Whoever runs the network must not see a name that the release does not show."""
    pixels = np.random.default_rng(7).integers(30, 220, (40, 48), np.uint8)
    pixels[:5, 2:11] = 250  # "Erika"
    save(image(pixels, "US", position=None, Manufacturer="Acme", ManufacturerModelName="Echo 5"), tmp_path / "in" / "u")
    mask = np.zeros((40, 48), np.uint8)
    mask[12:30, 12:36] = 1
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "in.png")
    rule = "{modality: US, manufacturer: 'Acme', rows: 40, columns: 48, rectangles: [[0, 2, 5, 9]]}"
    (tmp_path / "site.yaml").write_text(f"profile: basic\nburned_in: [{rule}]\n")
    key = make_key(tmp_path)
    done = anonymize(
        tmp_path / "in", tmp_path / "out", key_file=key, profile=tmp_path / "site.yaml", masks=tmp_path / "masks",
        protect=True, **PLAIN,
    )  # fmt: skip
    assert [one.status for one in done.outcomes] == ["protected"], done.outcomes
    given = {"private": tmp_path / "out-private", "key_file": key}
    challenge(tmp_path / "in", tmp_path / "q", masks=tmp_path / "masks", decoys=1, flips=1, **given)
    [out] = [pydicom.dcmread(path).pixel_array for path in (tmp_path / "out").rglob("*.dcm")]
    for name, query in queries_of(tmp_path / "q", tmp_path / "out-private").items():
        held = np.asarray(Image.open(tmp_path / "q" / "images" / f"{name}.png"))
        assert held[:5, 2:11].max() <= 35  # dark, and of one value
        assert len(np.unique(held[:5, 2:11])) == 1
        assert (held == out).all() == (query["role"] == "published")


def test_what_does_not_go_together_is_said_in_one_line(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "trace",
        "challenge",
        str(copies / "in"),
        str(tmp_path / "q"),
        "--private",
        str(copies / "Marianne-private"),
    ]
    key = ["--key-file", str(copies / "project.key")]
    (tmp_path / "map.yaml").write_text("images: x\n")
    for more, code, said in (
        ([], 1, "Give --key-file KEY"),
        ([*key, "--layout", str(tmp_path / "map.yaml")], 2, "expected a release of files"),
        ([*key, "--masks", str(tmp_path / "none")], 1, "expected a folder of masks"),
    ):
        assert main([*words, *more, "--quiet"]) == code
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and said in lines[0], lines
        assert not (tmp_path / "q").exists()


def test_masks_that_the_run_was_given_are_asked_for(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in" / "ct", volume(0, SHAPE), bits=16)
    (tmp_path / "masks").mkdir()
    write_seg(paths, labels(SHAPE), tmp_path / "masks" / "seg.dcm")
    umed.protect(tmp_path / "in", tmp_path / "out", masks=tmp_path / "masks", **PLAIN)
    with pytest.raises(InputError, match="no mask that fits it is here; give --masks as the run did, and every file"):
        challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private")
    done = challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private", masks=tmp_path / "masks")
    assert done.cases == 1
    assert "WARNING: this proves nothing: evidence takes 4 cases or more" in done.summary()
    ds = pydicom.dcmread(paths[2])
    ds.PixelData = bytes(ds.PixelData[:-2]) + b"\x01\x02"
    ds.save_as(paths[2])
    with pytest.raises(InputError, match="not the one that was protected"):
        challenge(tmp_path / "in", tmp_path / "q2", private=tmp_path / "out-private", masks=tmp_path / "masks")


def test_masks_are_for_dicom_and_answers_are_not(copies: Path, tmp_path: Path, phantom: Path) -> None:
    umed.protect(phantom, tmp_path / "out", **PLAIN)
    with pytest.raises(ConfigError, match="expected a release of DICOM series"):
        challenge(phantom, tmp_path / "q", private=tmp_path / "out-private", masks=tmp_path)
    (tmp_path / "a").mkdir()
    name = sorted(queries_of(copies / "qLeopold", copies / "Leopold-private"))[0]
    (tmp_path / "a" / f"{name}.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(InputError, match="got DICOM files. Convert them"):
        judge(copies / "qLeopold", tmp_path / "a", private=copies / "Leopold-private", key_file=copies / "project.key")
