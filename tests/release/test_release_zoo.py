# SPDX-License-Identifier: Apache-2.0
"""Odd real files: each is released or put aside with a reason, nothing is left, every promise holds."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement

from tests.dicom_files import image, save, write_series
from tests.release_files import all_bytes, labels, make_key, released, volume, write_seg
from umed.core.errors import InputError
from umed.deid.check import check
from umed.dicom.read.scan import scan
from umed.protect.verify import verify
from umed.release.anonymize import anonymize

FEW = (  # one or two of each transfer syntax and kind, and broken ones
    "dcm4che__Tag-0040-A170-VR-CS.dcm",
    "dicom-test-files__data__WG04__JPLY__MR4_JPLY",
    "fo-dicom__GH364.dcm",
    "fo-dicom__GH538-jpeg1.dcm",
    "highdicom__seg_image_sm_dots.dcm",
    "pydicom-data__MR2_J2KI.dcm",
    "pydicom-data__SC_rgb_expb.dcm",
    "pydicom-data__emri_small_jpeg_2k_lossless_too_short.dcm",
    "pydicom-data__emri_small_jpeg_ls_lossless.dcm",
    "pydicom-data__liver_rle.dcm",
    "pydicom-data__parametric_map_double_float.dcm",
    "pydicom__test_files__ExplVR_BigEndNoMeta.dcm",
    "pydicom__test_files__MR_small_RLE.dcm",
    "pydicom__test_files__MR_small_implicit.dcm",
    "pydicom__test_files__MR_truncated.dcm",
    "pydicom__test_files__SC_ybr_full_422_uncompressed.dcm",
    "pydicom__test_files__dicomdirtests__DICOMDIR-implicit",
    "pydicom__test_files__image_dfl.dcm",
    "pydicom__test_files__test-SR.dcm",
    "pydicom__charset_files__chrRuss.dcm",
    "pydicom__test_files__dicomdirtests__98892003__MR2__4981",
    "fo-dicom__GH184.dcm",
    "pydicom__test_files__rtstruct.dcm",
    "pydicom__test_files__rtdose_rle.dcm",
    "pydicom__test_files__dicomdirtests__98892001__CT5N__2062",
    "dicom-test-files__data__WG04__JLSN__MR4_JLSN",
)
MORE = tuple(
    f"pydicom__test_files__{name}"
    for name in "CT_small.dcm MR_small.dcm MR_small_jpeg_ls_lossless.dcm JPEG2000.dcm rtplan.dcm liver_1frame.dcm "
    "examples_palette.dcm SC_rgb_rle_2frame.dcm SC_rgb_jpeg_dcmtk.dcm waveform_ecg.dcm rtdose.dcm "
    "dicomdirtests__77654033__CT2__17136 dicomdirtests__98892003__MR1__4919 "
    "dicomdirtests__98892003__MR700__4648".split()
)
ACCEPTED = "PatientIdentityRemoved is not YES"  # true where burned-in text is said to be there, and was accepted


@pytest.fixture
def zoo(shared_data):
    """All of it, which pydicom's own files are no stand-in for: some name patients as umed's report names things."""
    folder = shared_data / "dicom_zoo"
    if not folder.is_dir():
        pytest.skip("no dicom_zoo beside the repository")
    return folder


@pytest.fixture
def few(dicom_zoo, tmp_path):
    source = tmp_path / "few"
    source.mkdir()
    names = [name for name in FEW if (dicom_zoo / name).is_file()]
    if len(names) < len(FEW):  # without the real test data: more of what comes with pydicom
        names += [name for name in MORE if (dicom_zoo / name).is_file()]
    if len(names) < len(FEW) // 2:
        pytest.skip("another dicom_zoo than this test knows")
    for name in names:
        shutil.copyfile(dicom_zoo / name, source / name)
    return source


def draw_masks(source, folder, work):
    """A rectangle on every slice of every image series that has pixels."""
    for series in scan(source).series:
        if series.kind != "image":
            continue
        (folder / series.id).mkdir(parents=True)
        _, rows, columns = series.instances[0].shape
        mask = np.zeros((rows, columns), np.uint8)
        mask[rows // 4 : rows // 2 + 1, columns // 4 : columns // 2 + 1] = 255
        for file, frame in series.slices:
            name = series.instances[file].sop_uid if len(series.instances) > 1 else f"frame_{frame + 1}"
            Image.fromarray(mask).save(folder / series.id / f"{name}.png")
    return folder


def release(source, output, key, **options):
    """Anonymize, and every check that there is."""
    done = anonymize(source, output, key_file=key, **options)
    inside = [path for path in source.rglob("*") if path.is_file()]
    assert done.written + len(done.quarantine) == len(inside)
    for entry in done.quarantine:
        assert len(entry.reason) > 10 and "\n" not in entry.reason and "object at 0x" not in entry.reason, entry
    before = all_bytes(output)
    assert not [name for name in before if name.rsplit("/", 1)[-1].startswith(".")]
    again = anonymize(source, output, key_file=key, resume=True, **options)
    assert again.written == done.written and all_bytes(output) == before
    accepted = options.get("accept_burned_in", False)
    assert [one for one in check(output, source) if not (accepted and one.kind == ACCEPTED)] == []
    proof = verify(source, output, key_file=key, masks=options.get("masks"))
    assert proof.ok, proof.summary()
    return done


def test_a_few_odd_files(few, tmp_path):
    done = release(few, tmp_path / "out", make_key(tmp_path), report=False)
    assert done.written >= 8 and done.exit_code == 3
    categories = {entry.name: entry.category for entry in done.quarantine}
    if (few / "fo-dicom__GH364.dcm").is_file():
        assert categories["fo-dicom__GH364.dcm"] == "burned-in"
    assert categories["pydicom__test_files__MR_truncated.dcm"] == "file"
    assert categories["pydicom__test_files__test-SR.dcm"] == "file"


def test_a_few_odd_files_with_report_and_accepted_burned_in_text(few, tmp_path):
    done = release(few, tmp_path / "out", make_key(tmp_path), accept_burned_in=True)
    assert done.written >= 12
    assert not [entry for entry in done.quarantine if entry.category == "burned-in"]


def test_a_few_odd_files_are_protected(few, tmp_path):
    masks = draw_masks(few, tmp_path / "masks", tmp_path / "work")
    done = release(
        few, tmp_path / "out", make_key(tmp_path), accept_burned_in=True, protect=True, method="checkerboard",
        masks=masks, report=False,
    )  # fmt: skip
    assert sum(outcome.status == "protected" for outcome in done.outcomes) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("accept", [False, True])
def test_the_whole_zoo_at_once(zoo, tmp_path, accept):
    done = release(zoo, tmp_path / "out", make_key(tmp_path), accept_burned_in=accept)
    assert done.written > 80


@pytest.mark.slow
def test_the_whole_zoo_is_protected(zoo, tmp_path):
    masks = draw_masks(zoo, tmp_path / "masks", tmp_path / "work")
    done = release(
        zoo, tmp_path / "out", make_key(tmp_path), accept_burned_in=True, protect=True, method="checkerboard",
        masks=masks, report=False,
    )  # fmt: skip
    assert sum(outcome.status == "protected" for outcome in done.outcomes) > 40


@pytest.mark.slow
def test_every_file_of_the_zoo_on_its_own(zoo, tmp_path):
    """Many share their UIDs, so that they hide each other when all are given at once."""
    key = make_key(tmp_path)
    released = 0
    for number, path in enumerate(sorted(zoo.iterdir())):
        source = tmp_path / f"in{number}"
        source.mkdir()
        shutil.copyfile(path, source / path.name)
        try:
            done = release(source, tmp_path / f"out{number}", key, accept_burned_in=True, report=False)
        except InputError as error:  # nothing in it that can be released
            assert "\n" not in str(error) and path.name in str(error)
            continue
        released += done.written
    assert released > 120


def test_pixels_that_cannot_be_decoded_are_carried_over_and_proven_byte_by_byte(tmp_path):
    """YBR_FULL_422 without compression has two pixels in four bytes; nothing needs to be decoded to keep them."""
    rng = np.random.default_rng(0)
    ds = image(rng.integers(0, 255, (8, 8, 3), np.uint8), "MR", photometric="YBR_FULL_422")
    ds.PixelData = rng.integers(0, 255, 128, np.uint8).tobytes()
    source, output, key = save(ds, tmp_path / "in" / "a.dcm").parent, tmp_path / "out", make_key(tmp_path)
    assert anonymize(source, output, key_file=key, accept_burned_in=True, report=False).written == 1
    [new] = released(output).values()
    assert new.PixelData == ds.PixelData and new.PhotometricInterpretation == "YBR_FULL_422"
    assert verify(source, output, key_file=key).ok
    path = next(output.rglob("*.dcm"))
    new.PixelData = bytes(128)
    new.save_as(path)
    assert "expected the pixels of the source" in verify(source, output, key_file=key).summary()


def test_an_element_that_nobody_can_read_does_not_stop_the_proof(tmp_path):
    ds = image(np.arange(64, dtype=np.int16).reshape(8, 8))
    ds.InstanceCreationTime = "zz:zz"
    ds.add(DataElement(0x00181151, "DS", "1", validation_mode=IGNORE))
    path = save(ds, tmp_path / "in" / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"\x18\x00\x51\x11DS\x02\x00", b"\x18\x00\x51\x11QQ\x02\x00"))
    key = make_key(tmp_path)
    done = anonymize(tmp_path / "in", tmp_path / "out", key_file=key, report=False)
    assert done.written + len(done.quarantine) == 1
    if done.written:
        assert verify(tmp_path / "in", tmp_path / "out", key_file=key).ok


def test_a_series_in_which_nothing_can_change_is_put_aside_and_not_called_protected(tmp_path):
    """Its values lie beyond the range: released as protected it would be as useful for training as before."""
    source, output, key = tmp_path / "in", tmp_path / "out", make_key(tmp_path)
    write_seg(write_series(source / "ct", volume() + 2500), labels(), source / "seg.dcm")
    other = write_seg(write_series(source / "soft", volume(1), study=2, series=2), labels(), source / "soft.dcm")
    ds = pydicom.dcmread(other)
    ds.SOPInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.79", "1.2.826.0.1.3680043.8.498.80"
    save(ds, other)
    done = anonymize(
        source, output, key_file=key, protect=True, method="checkerboard", range=[-500, 1300], report=False
    )
    assert sorted(outcome.status for outcome in done.outcomes) == ["carried", "carried", "failed", "protected"]
    assert {entry.category for entry in done.quarantine} == {"protection"} and len(done.quarantine) == 6
    assert "expected values that meet the range [-500, 1300]" in done.quarantine[0].reason
    assert verify(source, output, key_file=key).ok
