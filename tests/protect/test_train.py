# SPDX-License-Identifier: Apache-2.0
"""A universal generator is trained on DICOM series: which slices, what is left out, and what gets into its files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

import umed
from tests.dicom_files import image, save, write_series
from tests.mask_files import nifti
from tests.release_files import SHAPE, hospital, labels, volume, write_seg
from umed.cases.opening import open_source
from umed.cases.source import Request
from umed.core.config import Settings, make_settings
from umed.core.errors import ConfigError, InputError
from umed.dicom.read.scan import scan
from umed.methods.unseg.colour_pictures import ColourPicture, SamplePictures
from umed.plan.planning import Plan
from umed.protect.train import WORK, Trained, train_generator
from umed.protect.verify import verify
from umed.training.samples import training_samples

PERSONAL = (b"Muster", b"Erika", b"4711", b"ACC-77", b"Gregor", b"19640812", b"20240229", b"1.2.826.0.1.3680043")
"""What :mod:`tests.dicom_files` writes about the patient, and the root of all its UIDs."""
BROKEN = pydicom.encaps.encapsulate([b"\x01\x00\x00\x00" + b"\xff" * 60])


def settings(iterations: int = 4, **more: object) -> Settings:
    training = {"iterations": iterations, "batch_size": 1}
    return make_settings("unseg", {"method_options": {"encoder": "tiny", "epochs": 4}, "training": training, **more})


def train(data: Path, out: Path, iterations: int = 4, **more: object) -> Trained:
    return train_generator(data, out, settings=settings(iterations), **more)  # type: ignore[arg-type]


def pictures(source: Path, masks: Path | None = None) -> tuple[list[ColourPicture], dict[str, str], Plan]:
    """What is shown to the trainer, what is left out, and the plan."""
    chosen = settings(support="full")  # whole slices, not the parts with labels
    with open_source(Request(source, chosen, masks=masks)) as found:
        plan = found.make_plan(chosen)
        told: list[tuple[str, int, int]] = []
        samples, left_out = training_samples(found, plan, public=False, progress=lambda *one: told.append(one))
        count = len(found.trainable())
        assert told == [("read for training", done, count) for done in range(count + 1)]  # all are read, which takes
        return list(SamplePictures(samples, plan.slice_axis)), dict(left_out), plan


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "unseg.pt", weights_only=True)["weights"]
    return found


def everything(folder: Path) -> bytes:
    """Names and contents of all files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"\n".join(
        part for path in files for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes())
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return hospital(tmp_path / "in")


def test_each_labelled_slice_of_a_series_is_a_picture(source: Path) -> None:
    found, left_out, plan = pictures(source)
    assert plan.spatial_dims == 2 and plan.slice_axis == 0 and isinstance(plan.range, tuple)
    low, high = plan.range
    assert len(found) == SHAPE[0] - 2  # all but the first and the last hold the block
    for number, picture in enumerate(found, 1):
        hounsfield = volume()[number].astype(np.float32) - 1024
        assert np.array_equal(picture.labels, labels()[number])
        assert np.allclose(picture.image[0], np.clip((hounsfield - low) / (high - low), 0, 1), atol=1e-5)
    assert set(left_out) == {"report.dcm", "cut.dcm"}  # notes.txt is no DICOM file, so nobody misses it


def test_a_folder_with_seg_is_trained_on_and_its_generator_applied(source: Path, tmp_path: Path) -> None:
    done = train(source, tmp_path / "generator")
    assert done.pictures == SHAPE[0] - 2
    assert sorted(path.name for path in done.folder.iterdir()) == ["training.json", "unseg.pt"]
    record = json.loads((done.folder / "training.json").read_text())
    assert record["pictures"] == SHAPE[0] - 2 and record["plan"]["slice_axis"] == 0
    umed.protect(source, tmp_path / "out", method="unseg", generators=done.folder, report=False)
    assert verify(source, tmp_path / "out").ok


def test_a_zip_gives_the_generator_of_its_folder(source: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", source))
    one, two = (weights(train(given, tmp_path / given.stem / "g").folder) for given in (source, archive))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_masks_of_another_folder_in_any_layout(source: Path, tmp_path: Path) -> None:
    (source / "seg.dcm").unlink()
    [series] = (one for one in scan(source).series if one.kind == "image")
    other = labels().copy()
    other[1] = 0
    nifti(tmp_path / "masks" / f"{series.id}.nii.gz", series, other)
    found, _, _ = pictures(source, tmp_path / "masks")
    assert [int((one.labels > 0).sum()) for one in found] == [int(part.sum()) for part in other[2:-1]]
    assert train(source, tmp_path / "generator", masks=tmp_path / "masks").pictures == SHAPE[0] - 3
    with pytest.raises(InputError, match="expected a folder of masks, got nothing"):
        train(source, tmp_path / "none", masks=tmp_path / "nowhere")


def test_what_has_no_mask_or_cannot_be_read_is_named(source: Path, tmp_path: Path) -> None:
    write_series(source / "alone", volume(1), study=2, series=2)
    empty = write_series(source / "empty", volume(2), study=3, series=3)
    write_seg(empty, labels(), source / "empty.dcm", 79)
    blank = pydicom.dcmread(source / "empty.dcm")
    blank.PixelData = b"\0" * len(blank.PixelData)
    blank.save_as(source / "empty.dcm")
    colour = image(np.zeros((40, 44, 3), np.uint8), "CT", study=4, series=4)
    write_seg([save(colour, source / "colour" / "a.dcm")], labels()[2:3], source / "colour.dcm", 80)
    packed = write_series(source / "packed", volume(5), study=5, series=5, syntax="1.2.840.10008.1.2.5")
    write_seg(write_series(tmp_path / "p", volume(5), study=5, series=5), labels(), source / "packed.dcm", 81)
    for path in packed:
        ds = pydicom.dcmread(path)
        ds.PixelData = BROKEN
        ds.save_as(path)
    found, left_out, _ = pictures(source)
    assert len(found) == SHAPE[0] - 2
    uids = {one.uid: one.id for one in scan(source).series}
    alone, nothing, other, cut = (
        left_out.pop(uids[str(pydicom.dcmread(path).SeriesInstanceUID)])
        for path in (next((source / "alone").iterdir()), empty[0], source / "colour" / "a.dcm", packed[0])
    )
    assert "no mask was found" in alone and "mask is empty" in nothing and "expected 1 channels, got 3" in other
    assert "packed/" in cut and "the pixel data are broken" in cut and str(source) not in cut
    assert set(left_out) == {"report.dcm", "cut.dcm"}


def test_a_slice_that_cannot_be_decoded_teaches_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in"
    paths = write_series(source / "ct", volume(2), syntax="1.2.840.10008.1.2.5")
    write_seg(write_series(tmp_path / "plain", volume(2)), labels(), source / "seg.dcm")
    ds = pydicom.dcmread(paths[2])
    ds.PixelData = BROKEN
    ds.save_as(paths[2])
    found, left_out, plan = pictures(source)
    assert isinstance(plan.range, tuple)
    kept = [k for k in range(1, SHAPE[0] - 1) if k != 2]
    low, high = plan.range
    expected = [np.clip((volume(2)[k] - 1024.0 - low) / (high - low), 0, 1) for k in kept]
    assert len(found) == len(kept)
    assert all(np.allclose(one.image[0], wanted, atol=1e-5) for one, wanted in zip(found, expected, strict=True))
    [(name, why)] = left_out.items()
    assert name == "series_0001" and f"1 files that cannot be decoded, such as ct/{paths[2].name}" in why


def test_without_any_mask_nothing_is_trained(source: Path, tmp_path: Path) -> None:
    (source / "seg.dcm").unlink()
    with pytest.raises(InputError, match=r"in: expected at least one image series with a mask that fits, got none .*ser"
                                         r"ies_0001: no mask was found.*Give --masks DIR"):  # fmt: skip
        train(source, tmp_path / "out")
    shutil.rmtree(source / "ct of Erika")
    with pytest.raises(InputError, match=r"in: expected DICOM images, got none that can be read \(cut.dcm"):
        train(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_go_with_dicom_alone(tmp_path: Path, make_pairs) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="--masks .*expected DICOM files as input, got another layout. Leave"):
        train(make_pairs(tmp_path / "pairs"), tmp_path / "out", masks=tmp_path)
    with pytest.raises(InputError, match="nowhere: expected the folder of a data set, got nothing"):
        train(tmp_path / "nowhere", tmp_path / "out", masks=tmp_path)
    assert not (tmp_path / "out").exists()


def stop(text: str, done: int, _total: int) -> None:
    if (text, done) == ("train", 5):
        raise KeyboardInterrupt


def test_a_stopped_training_goes_on_with_the_same_images_and_masks_only(source: Path, tmp_path: Path) -> None:
    whole = weights(train(source, tmp_path / "whole", 8).folder)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        train(source, cut, 8, progress=stop)
    assert list((cut / WORK).glob("*.pt"))
    others = "expected checkpoints of this training, got those of other data"
    seg = (source / "seg.dcm").read_bytes()
    moved = np.roll(labels(), 1, axis=1)
    write_seg(sorted((source / "ct of Erika").iterdir()), moved, source / "seg.dcm")
    with pytest.raises(InputError, match=others):
        train(source, cut, 8)
    (source / "seg.dcm").write_bytes(seg)
    other = write_series(tmp_path / "other" / "ct", volume(), study=7, series=7, bits=16)
    write_seg(other, labels(), tmp_path / "other" / "seg.dcm")  # the same voxels and masks of another series
    with pytest.raises(InputError, match=others):
        train(tmp_path / "other", cut, 8)
    again = weights(train(source, cut, 8).folder)
    assert not (cut / WORK).exists() and all(torch.allclose(whole[key], again[key], atol=1e-6) for key in whole)


def test_nothing_that_is_written_names_anybody(source: Path, tmp_path: Path) -> None:
    (tmp_path / "Erika's masks").mkdir()
    (source / "seg.dcm").rename(tmp_path / "Erika's masks" / "4711-X.dcm")
    more = {"masks": tmp_path / "Erika's masks"}
    secret = (*PERSONAL, b"series_0", b"ct of", os.fsencode(tmp_path))
    before = everything(source) + everything(tmp_path / "Erika's masks")
    assert all(word in before for word in PERSONAL)  # so the search does find them
    with pytest.raises(KeyboardInterrupt):
        train(source, tmp_path / "out", 8, progress=stop, **more)
    assert (tmp_path / "out" / WORK / "run").is_file()
    left = everything(tmp_path / "out")
    assert [word for word in secret if word in left] == []
    train(source, tmp_path / "out", 8, **more)
    left = everything(tmp_path / "out")
    assert b"unseg.pt" in left and [word for word in secret if word in left] == []
