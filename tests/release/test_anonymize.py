# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import json
import shutil
import tempfile
import zipfile

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from PIL import Image

import umed
from tests.dicom_files import enhanced, image, save, write_series
from tests.release_files import SHAPE, all_bytes, hospital, labels, make_key, released, volume, write_seg
from tests.unseg_files import loud_generator
from umed.cases import series_writer as running
from umed.core.errors import ConfigError, InputError, UmedError
from umed.deid.check import check
from umed.deid.keys import DeidKey
from umed.dicom.objects import Limits
from umed.protect import run as ending
from umed.protect.verify import verify
from umed.release.anonymize import anonymize

SECRETS = (
    b"Muster",
    b"Erika",
    b"4711-X",
    b"SN-4711",
    b"ACC-77",
    b"Gregor",
    b"19640812",
    b"20240229",
    b"1.2.826.0.1.3680043",
)
OPTIONS = {"protect": True, "method": "checkerboard", "report": False}


@pytest.fixture
def source(tmp_path):
    return hospital(tmp_path / "in")


@pytest.fixture
def key(tmp_path):
    return make_key(tmp_path)


def images(output):
    return {uid: ds for uid, ds in released(output).items() if ds.Modality == "CT"}


def test_images_are_protected_within_the_bound_and_the_segmentation_still_points_to_them(source, key, tmp_path):
    output = tmp_path / "out"
    done = anonymize(source, output, key_file=key, **{**OPTIONS, "report": True})
    assert done.exit_code == 3  # the report and the cut file are put aside
    assert {entry.name for entry in done.quarantine} == {"notes.txt", "report.dcm", "cut.dcm"}
    found = images(output)
    secret = DeidKey.load(key)
    old = {secret.uid(str(ds.SOPInstanceUID)): ds for ds in map(pydicom.dcmread, (source / "ct of Erika").iterdir())}
    assert found.keys() == old.keys()
    steps = [int(np.abs(ds.pixel_array.astype(int) - old[uid].pixel_array).max()) for uid, ds in found.items()]
    assert max(steps) == 6 and min(steps) == 0  # 4/255 of 400 HU is 6.27; the ends have no ROI
    seg = segread(next(path for path in output.rglob("*.dcm") if pydicom.dcmread(path).Modality == "SEG"))
    assert {str(uid) for _, _, uid in seg.get_source_image_uids()} == found.keys()
    order = sorted(found.values(), key=lambda ds: float(ds.ImagePositionPatient[2]))
    pixels = seg.get_pixels_by_source_instance([ds.SOPInstanceUID for ds in order], combine_segments=True)
    assert np.array_equal(pixels, labels())
    assert verify(source, output, key_file=key).ok


def test_nothing_of_the_patient_is_left_in_any_byte_of_the_output(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **{**OPTIONS, "report": True})
    for name, content in all_bytes(output).items():
        assert not [secret for secret in SECRETS if secret in content or secret in name.encode()], name
    kept = json.loads((tmp_path / "out-private" / "quarantine.json").read_text())["files"]
    assert {entry["name"] for entry in kept} == {"notes.txt", "report.dcm", "cut.dcm"}


def test_what_was_done_is_said_in_the_file(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    one = max(images(output).values(), key=lambda ds: "DERIVED" in str(ds.get("ImageType")))
    assert one.PatientIdentityRemoved == "YES"
    assert one.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert one.ImageType[0] == "DERIVED" and "umed" in one.DerivationDescription
    assert one.DerivationCodeSequence[0].CodeValue == "113042"
    assert {item.PurposeOfReferenceCodeSequence[0].CodeValue for item in one.ContributingEquipmentSequence} == {
        "109103",
        "109104",
    }
    assert one.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (one.RescaleSlope, one.RescaleIntercept, list(one.PixelSpacing)) == (1, -1024, [0.8, 0.7])


def test_a_resumed_run_ends_in_the_same_bytes(source, key, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    anonymize(source, whole, key_file=key, **OPTIONS)
    real, calls = running.write_instance, []

    def killed(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(running, "write_instance", killed)
    with pytest.raises(KeyboardInterrupt):
        anonymize(source, broken, key_file=key, **OPTIONS)
    monkeypatch.setattr(running, "write_instance", real)
    done = anonymize(source, broken, key_file=key, resume=True, **OPTIONS)
    assert done.exit_code == 3
    assert all_bytes(broken) == all_bytes(whole)


def test_a_resumed_run_does_not_write_again_what_stands(source, key, tmp_path, monkeypatch):
    output = tmp_path / "out"
    first = anonymize(source, output, key_file=key, **OPTIONS)
    monkeypatch.setattr(running, "write_instance", lambda *a, **k: pytest.fail("written again"))
    again = anonymize(source, output, key_file=key, resume=True, **OPTIONS)
    assert [o.status for o in again.outcomes] == [o.status for o in first.outcomes]
    assert again.actions == first.actions


def test_a_resumed_run_keeps_the_reasons_in_the_private_list(source, key, tmp_path):
    write_series(source / "second", volume(1), study=2, series=2, kind="MR")
    private = tmp_path / "out-private" / "quarantine.json"
    anonymize(source, tmp_path / "out", key_file=key, **OPTIONS)
    before = private.read_bytes()
    assert b"no mask" in before
    anonymize(source, tmp_path / "out", key_file=key, resume=True, **OPTIONS)
    assert private.read_bytes() == before


def test_another_mask_is_done_again(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    other = np.roll(labels(), 5, axis=1)
    write_seg(sorted((source / "ct of Erika").iterdir()), other, source / "seg.dcm")
    anonymize(source, output, key_file=key, resume=True, **OPTIONS)
    assert verify(source, output, key_file=key).ok


def test_resume_with_another_key_or_setting_names_what_differs(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    (tmp_path / "other").mkdir()
    other = make_key(tmp_path / "other")
    with pytest.raises(ConfigError, match="got another key"):
        anonymize(source, output, key_file=other, resume=True, **OPTIONS)
    with pytest.raises(ConfigError, match=r"plan\.epsilon"):
        anonymize(source, output, key_file=key, resume=True, epsilon="8/255", **OPTIONS)


def test_overwrite_deletes_only_what_umed_wrote(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    before = all_bytes(output)
    (output / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="--resume to go on or --overwrite"):
        anonymize(source, output, key_file=key, **OPTIONS)
    anonymize(source, output, key_file=key, overwrite=True, **OPTIONS)
    assert (output / "mine.txt").read_text() == "keep me"
    assert {name: data for name, data in all_bytes(output).items() if name != "mine.txt"} == before


def test_a_series_without_mask_is_put_aside_when_protection_was_asked_for(source, key, tmp_path):
    write_series(source / "second", volume(1), study=2, series=2, kind="MR")
    done = anonymize(source, tmp_path / "out", key_file=key, **OPTIONS)
    assert sum(entry.category == "mask" for entry in done.quarantine) == SHAPE[0]
    assert {ds.Modality for ds in released(tmp_path / "out").values()} == {"CT", "SEG"}
    plain = anonymize(source, tmp_path / "plain", key_file=key, report=False)
    assert {ds.Modality for ds in released(tmp_path / "plain").values()} == {"CT", "SEG", "MR"}
    assert plain.plan is None and verify(source, tmp_path / "plain", key_file=key).ok


def test_a_broken_pixel_stream_costs_one_file(source, key, tmp_path):
    paths = write_series(
        source / "packed", volume(2, dtype=np.uint16), kind="MR", study=3, series=3, syntax="1.2.840.10008.1.2.5"
    )
    ds = pydicom.dcmread(paths[2])
    ds.PixelData = pydicom.encaps.encapsulate([b"\x01\x00\x00\x00" + b"\xff" * 60])
    ds.save_as(paths[2])
    done = anonymize(source, tmp_path / "out", key_file=key, report=False)
    bad = [entry for entry in done.quarantine if entry.category == "pixels"]
    assert [entry.name for entry in bad] == [paths[2].relative_to(source).as_posix()]
    assert len([d for d in released(tmp_path / "out").values() if d.Modality == "MR"]) == SHAPE[0] - 1
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_a_broken_slice_of_a_protected_series_does_not_stop_its_neighbours(tmp_path, key):
    source = tmp_path / "in"
    paths = write_series(source / "ct", volume(2), syntax="1.2.840.10008.1.2.5")
    write_seg(write_series(tmp_path / "plain", volume(2)), labels(), source / "seg.dcm")
    ds = pydicom.dcmread(paths[2])
    ds.PixelData = pydicom.encaps.encapsulate([b"\x01\x00\x00\x00" + b"\xff" * 60])
    ds.save_as(paths[2])
    done = anonymize(source, tmp_path / "out", key_file=key, **OPTIONS)
    assert [entry.category for entry in done.quarantine] == ["pixels"]
    assert len(images(tmp_path / "out")) == SHAPE[0] - 1
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_a_full_disk_stops_with_one_line_and_leaves_nothing_half_written(source, key, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running, "write_instance", full)
    with pytest.raises(UmedError, match=r"No space left on device.*--resume") as stop:
        anonymize(source, tmp_path / "out", key_file=key, **OPTIONS)
    assert "\n" not in str(stop.value)
    assert not released(tmp_path / "out")


@pytest.mark.parametrize("syntax", ["jpeg2000-lossless", "jpegls", "rle", "deflated"])
def test_other_syntaxes_hold_the_same_pixels(source, key, tmp_path, syntax):
    anonymize(source, tmp_path / "plain", key_file=key, **OPTIONS)
    anonymize(source, tmp_path / "out", key_file=key, transfer_syntax=syntax, **OPTIONS)
    plain, packed = images(tmp_path / "plain"), images(tmp_path / "out")
    assert {ds.file_meta.TransferSyntaxUID for ds in packed.values()} != {"1.2.840.10008.1.2.1"}
    assert all(np.array_equal(ds.pixel_array, plain[uid].pixel_array) for uid, ds in packed.items())
    assert {ds.Modality for ds in released(tmp_path / "out").values()} == {"CT", "SEG"}  # its bits are never packed
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_an_unknown_syntax_is_refused_before_anything_is_written(source, key, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'jpegls'"):
        anonymize(source, tmp_path / "out", key_file=key, transfer_syntax="jpeg-ls", **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_a_key_inside_the_output_is_refused(source, tmp_path):
    (tmp_path / "out").mkdir()
    key = make_key(tmp_path / "out")
    with pytest.raises(ConfigError, match="outside the output"):
        anonymize(source, tmp_path / "out", key_file=key, **OPTIONS)


def test_slices_of_different_slopes_each_keep_their_own_bound(tmp_path, key):
    source = tmp_path / "in"
    slopes = [0.5, 1.0, 2.0, 2.0, 0.25, 1.0]
    rng = np.random.default_rng(3)
    for number, slope in enumerate(slopes):
        physical = rng.normal(500, 60, SHAPE[1:])
        ds = image(
            np.rint(physical / slope).astype(np.int16), "MR", position=(0, 0, 3.0 * number), instance=number + 1,
            RescaleSlope=slope, RescaleIntercept=0,
        )  # fmt: skip
        save(ds, source / f"{number}.dcm")
    write_seg([source / f"{n}.dcm" for n in range(6)], labels(), source / "seg.dcm")
    done = anonymize(source, tmp_path / "out", key_file=key, range=[300.0, 700.0], **OPTIONS)
    assert not done.quarantine
    secret = DeidKey.load(key)
    found = released(tmp_path / "out")
    for number, slope in enumerate(slopes):
        old = pydicom.dcmread(source / f"{number}.dcm")
        new = found[secret.uid(str(old.SOPInstanceUID))]
        steps = np.abs(new.pixel_array.astype(int) - old.pixel_array).max()
        assert steps == (int(4 / 255 * 400 / slope) if 0 < number < 5 else 0)
        assert new.RescaleSlope == slope
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_padding_is_never_touched(tmp_path, key):
    source = tmp_path / "in"
    values = volume(4)
    values[:, 15:20, 15:20] = 1000  # within the range, within the mask
    paths = write_series(source / "ct", values, PixelPaddingValue=1000)
    write_seg(paths, labels(), source / "seg.dcm")
    anonymize(source, tmp_path / "out", key_file=key, **OPTIONS)
    for ds in images(tmp_path / "out").values():
        assert (ds.pixel_array[15:20, 15:20] == 1000).all()
        assert ds.PixelPaddingValue == 1000
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_parts_of_a_protected_picture_that_are_blanked_out_do_not_break_its_promises(tmp_path, key):
    source, masks, profile = tmp_path / "in", tmp_path / "masks", tmp_path / "site.yaml"
    pixels = np.random.default_rng(6).integers(60, 200, (40, 48, 3)).astype(np.uint8)
    save(image(pixels, "US", position=None), source / "us.dcm")
    masks.mkdir()
    mask = np.zeros((40, 48), np.uint8)
    mask[4:30, 8:40] = 255
    Image.fromarray(mask).save(masks / "us.png")
    profile.write_text(
        "profile: clean_pixel_data\nburned_in: [{modality: US, rows: 40, columns: 48, rectangles: [[0, 0, 8, 48]]}]\n"
    )
    done = anonymize(source, tmp_path / "out", key_file=key, masks=masks, profile=profile, **OPTIONS)
    assert [(one.status, one.reason) for one in done.outcomes] == [
        ("protected", "parts of its pixels are blanked out, as the profile says")
    ]
    [new] = released(tmp_path / "out").values()
    moved = new.pixel_array.astype(int) - pixels
    assert len(np.unique(new.pixel_array[:8])) == 1 and np.abs(moved[8:]).max() == 4 and not moved[34:].any()
    assert verify(source, tmp_path / "out", key_file=key, masks=masks).ok
    changed = new.pixel_array.copy()
    changed[39, 0] += 1
    new.PixelData = changed.tobytes()
    new.save_as(next((tmp_path / "out").rglob("*.dcm")))
    assert "outside ROI" in verify(source, tmp_path / "out", key_file=key, masks=masks).summary()


def test_frames_of_an_enhanced_image_go_back_into_one_file(tmp_path, key):
    source = tmp_path / "in"
    order = [3, 0, 5, 1, 4, 2]
    values = (volume(5).astype(int) // 2).astype(np.int16)
    save(enhanced(values, order=order), source / "e.dcm")
    classic = write_series(tmp_path / "classic", values)
    (tmp_path / "masks").mkdir()
    write_seg(classic, labels(), tmp_path / "masks" / "seg.dcm")
    done = anonymize(source, tmp_path / "out", key_file=key, masks=tmp_path / "masks", **OPTIONS)
    assert [outcome.status for outcome in done.outcomes] == ["protected"], done.quarantine
    [new] = released(tmp_path / "out").values()
    moved = np.abs(new.pixel_array.astype(int) - values[order])
    inside = labels()[order].astype(bool)
    assert moved.max() == 3 and (moved[inside] > 0).mean() > 0.8  # slope 2: 6.27 HU are 3 steps
    assert not moved[np.isin(order, [0, 5])].any()
    assert verify(source, tmp_path / "out", key_file=key, masks=tmp_path / "masks").ok


def test_verify_finds_what_was_changed_later(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    path = next(path for path in sorted(output.rglob("*.dcm")) if pydicom.dcmread(path).Modality == "CT")
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array.copy()
    pixels[0, 0] += 1
    ds.PixelData = pixels.tobytes()
    ds.RescaleIntercept = -1000
    ds.save_as(path)
    (output / "extra.dcm").write_bytes(b"x")
    found = verify(source, output, key_file=key)
    text = found.summary()
    assert not found.ok
    assert "checksum" in text and "RescaleIntercept" in text and "extra.dcm" in text and "changed pixels" in text


def test_verify_needs_the_right_key(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    with pytest.raises(ConfigError, match="expected the key"):
        verify(source, output)
    (tmp_path / "k").mkdir()
    with pytest.raises(ConfigError, match="Give the key of this release"):
        verify(source, output, key_file=make_key(tmp_path / "k"))


def test_protect_alone_derives_new_images_of_the_same_patient(source, tmp_path):
    output = tmp_path / "out"
    done = umed.protect(source, output, method="checkerboard")
    assert done.counts["protected"] == 1 and done.counts["carried"] == 1
    found = released_any(output)
    assert {str(ds.PatientName) for ds in found} == {"Muster^Erika"}
    seg = next(ds for ds in found if ds.Modality == "SEG")
    new = {str(ds.SOPInstanceUID) for ds in found if ds.Modality == "CT"}
    old = {str(pydicom.dcmread(p).SOPInstanceUID) for p in (source / "ct of Erika").iterdir()}
    assert not new & old
    named = {str(e.value) for e in seg.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    assert named == new
    assert {p.relative_to(output).as_posix() for p in (output / "ct of Erika").iterdir()} == {
        p.relative_to(source).as_posix() for p in (source / "ct of Erika").iterdir()
    }
    assert verify(source, output).ok


def released_any(output):
    files = [path for path in sorted(output.rglob("*")) if path.is_file()]
    return [pydicom.dcmread(path) for path in files if path.relative_to(output).parts[0] != "umed"]


def test_a_trained_method_and_its_generators(source, key, tmp_path):
    options = {"protect": True, "report": False, "training": {"iterations": 2}}
    anonymize(source, tmp_path / "one", key_file=key, **options)
    kept = tmp_path / "one-private" / "generators"
    assert any(kept.iterdir())
    again = anonymize(source, tmp_path / "two", key_file=key, generators=kept, **options)
    assert [outcome.status for outcome in again.outcomes] == ["carried", "protected"] or again.written == 7
    one, two = images(tmp_path / "one"), images(tmp_path / "two")
    assert all(np.array_equal(ds.pixel_array, two[uid].pixel_array) for uid, ds in one.items())
    assert verify(source, tmp_path / "two", key_file=key).ok


def test_a_zip_is_protected_under_uid_names(source, tmp_path):
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in source.rglob("*"):
            name = path.relative_to(source).as_posix()
            packed.write(path, f"../../{name}" if name == "seg.dcm" else name)
    with zipfile.ZipFile(archive) as packed:
        assert "../../seg.dcm" in packed.namelist()
    shutil.copytree(source, tmp_path / "masks")
    output = tmp_path / "out"
    umed.protect(archive, output, method="checkerboard", masks=tmp_path / "masks")
    found = released_any(output)
    assert len(found) == SHAPE[0]  # the member that wants to leave the archive is refused
    assert {path.stem for path in output.rglob("*.dcm")} == {str(ds.SOPInstanceUID) for ds in found}
    assert verify(archive, output, masks=tmp_path / "masks").ok
    assert not (tmp_path.parent / "seg.dcm").exists() and not (tmp_path / "seg.dcm").exists()


def test_nothing_hides_behind_the_last_pixel_or_in_its_spare_bits(tmp_path, key):
    source = tmp_path / "in"
    values = volume(6)[0]
    one = image(values, instance=1)
    one.PixelData += b"Muster^Erika" * 3
    save(one, source / "behind.dcm")
    two = image(np.clip(values, 0, 4095).astype(np.uint16), instance=2, position=(0, 0, 3), bits=12)
    two.PixelData = (two.pixel_array | 0x8000).astype("<u2").tobytes()  # an old overlay in bit 15
    two.add_new(0x60000010, "US", two.Rows)
    two.add_new(0x60000011, "US", two.Columns)
    two.add_new(0x60000100, "US", 16)
    two.add_new(0x60000102, "US", 15)
    save(two, source / "bits.dcm")
    short = image(values, instance=3, position=(0, 0, 6))
    short.PixelData = short.PixelData[:100]
    save(short, source / "short.dcm")
    done = anonymize(source, tmp_path / "out", key_file=key, report=False)
    assert [(entry.name, entry.category) for entry in done.quarantine] == [("short.dcm", "pixels")]
    found = sorted(released(tmp_path / "out").values(), key=lambda ds: ds.InstanceNumber)
    assert len(found[0].PixelData) == values.nbytes and np.array_equal(found[0].pixel_array, values)
    assert int(found[1].pixel_array.max()) < 4096
    assert not any(b"Muster" in content for content in all_bytes(tmp_path / "out").values())


def test_a_rectangle_of_the_profile_is_blanked_and_the_rest_of_the_picture_kept(tmp_path, key):
    source = tmp_path / "in"
    picture = np.random.default_rng(7).integers(30, 255, (48, 64), dtype=np.uint8)
    save(image(picture, "US", position=None, photometric="MONOCHROME1"), source / "us.dcm")
    site = tmp_path / "site.yaml"
    rule = "{manufacturer: Maker, model: Model 1, rows: 48, columns: 64, rectangles: [[0, 0, 8, 64]]}"
    site.write_text(f"profile: basic\nburned_in:\n  - {rule}\n")
    done = anonymize(source, tmp_path / "none", key_file=key, report=False)
    assert [entry.category for entry in done.quarantine] == ["burned-in"] and done.exit_code == 1
    anonymize(source, tmp_path / "out", key_file=key, profile=site, report=False)
    [new] = released(tmp_path / "out").values()
    assert (new.pixel_array[:8] == picture.max()).all()  # dark in MONOCHROME1
    assert np.array_equal(new.pixel_array[8:], picture[8:])
    assert new.BurnedInAnnotation == "NO" and new.PatientIdentityRemoved == "YES"
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_ct_and_mr_in_one_folder_each_take_their_own_range(source, tmp_path, key):
    paths = write_series(source / "mr", volume(8).astype(np.uint16), kind="MR", study=5, series=5)
    (tmp_path / "masks").mkdir()
    write_seg(paths, labels(), tmp_path / "masks" / "mr.dcm", 80)
    done = anonymize(source, tmp_path / "out", key_file=key, masks=tmp_path / "masks", **OPTIONS)
    assert done.plan is not None and done.plan.range == "auto" and "modalities differ" in done.plan.why[0]
    protected = [outcome.measures for outcome in done.outcomes if outcome.status == "protected"]
    bounds = {measures["modality"]: measures["files"][0]["epsilon_steps"] for measures in protected}
    spread = np.subtract(*np.percentile(volume(8).astype(np.uint16), [99.5, 0.5], method="inverted_cdf"))
    assert bounds == {"CT": 6, "MR": int(4 / 255 * spread)}
    assert verify(source, tmp_path / "out", key_file=key, masks=tmp_path / "masks").ok


def test_resume_refuses_other_generators(source, key, tmp_path):
    options = {"protect": True, "report": False, "training": {"iterations": 1}}
    anonymize(source, tmp_path / "one", key_file=key, **options)
    anonymize(source, tmp_path / "two", key_file=key, **{**options, "training": {"iterations": 2}})
    given = tmp_path / "two-private" / "generators"
    with pytest.raises(InputError, match="generators of the resumed run"):
        anonymize(source, tmp_path / "one", key_file=key, generators=given, resume=True, **options)


def test_a_person_of_one_file_goes_from_a_trusted_attribute_of_another(tmp_path, key):
    source = tmp_path / "in"
    save(image(volume()[0], instance=1, OperatorsName="Oberhuber^Anna"), source / "one.dcm")
    save(image(volume()[1], instance=2, position=(0, 0, 3), FilterType="OBERHUBER-F"), source / "two.dcm")
    anonymize(source, tmp_path / "out", key_file=key, report=False)
    assert check(tmp_path / "out", source) == []
    written = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(written) == 2 and all("OBERHUBER" not in str(ds.get("FilterType", "")).upper() for ds in written)


def test_a_full_disk_at_the_very_end_is_one_line_too(source, key, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ending, "conclude", full)
    with pytest.raises(UmedError, match=r"No space left on device.*--resume"):
        anonymize(source, tmp_path / "out", key_file=key, report=False)


def test_a_resumed_run_leaves_nothing_of_sources_that_changed_or_went(tmp_path, key):
    source = tmp_path / "in"
    paths = write_series(source, volume())
    anonymize(source, tmp_path / "out", key_file=key, report=False)
    assert len(released(tmp_path / "out")) == SHAPE[0]
    changed = pydicom.dcmread(paths[1])
    changed.BurnedInAnnotation = "YES"
    changed.save_as(paths[1])
    paths[4].unlink()
    done = anonymize(source, tmp_path / "out", key_file=key, resume=True, report=False)
    assert [entry.category for entry in done.quarantine] == ["burned-in"]
    assert len(released(tmp_path / "out")) == SHAPE[0] - 2
    assert verify(source, tmp_path / "out", key_file=key).ok


@pytest.fixture(scope="module")
def universal(tmp_path_factory):
    return loud_generator(tmp_path_factory.mktemp("unseg"))


def test_unseg_goes_slice_by_slice_with_two_bounds(source, key, tmp_path, universal):
    done = anonymize(source, tmp_path / "out", key_file=key, protect=True, method="unseg", generators=universal)
    assert done.plan.spatial_dims == 2 and done.plan.slice_axis == 0 and done.plan.support == "full"
    secret, found = DeidKey.load(key), images(tmp_path / "out").values()
    inside = outside = 0
    slices = [pydicom.dcmread(path) for path in (source / "ct of Erika").iterdir()]
    for number, old in enumerate(sorted(slices, key=lambda ds: float(ds.ImagePositionPatient[2]))):
        new = next(ds for ds in found if str(ds.SOPInstanceUID) == secret.uid(str(old.SOPInstanceUID)))
        moved = np.abs(new.pixel_array.astype(int) - old.pixel_array.astype(int))
        mask = labels()[number] > 0
        assert mask.any() or not moved.any()  # a slice without a label stays as it is
        inside, outside = max(inside, moved[mask].max(initial=0)), max(outside, moved[~mask].max())
    assert 1 < inside <= 6 and 0 < outside <= 1
    assert verify(source, tmp_path / "out", key_file=key).ok


def test_verify_finds_a_pixel_outside_the_mask_that_moved_too_far(source, key, tmp_path, universal):
    anonymize(source, tmp_path / "out", key_file=key, protect=True, method="unseg", generators=universal, report=False)
    for path in sorted((tmp_path / "out").rglob("*.dcm")):
        ds = pydicom.dcmread(path)
        if ds.Modality == "CT" and "DERIVED" in str(ds.get("ImageType")):
            values = ds.pixel_array.copy()
            values[0, 0] += 4  # within epsilon, but not out there
            ds.PixelData = values.tobytes()
            ds.save_as(path)
            break
    failures = " ".join(f for check in verify(source, tmp_path / "out", key_file=key).cases for f in check.failures)
    assert "at most 6 stored and 1 outside the mask" in failures


@pytest.mark.usefixtures("quick_workers")
def test_series_that_are_done_by_other_processes_have_the_same_bytes(source, key, tmp_path):
    write_series(source / "second", volume(1), study=2, series=2, kind="CT")
    shutil.make_archive(str(tmp_path / "all"), "zip", source)
    alone = anonymize(source, tmp_path / "alone", key_file=key, protect=True, method="random", report=False)
    shared = anonymize(
        source, tmp_path / "shared", key_file=key, protect=True, method="random", report=False, workers=2
    )
    assert all_bytes(tmp_path / "alone") == all_bytes(tmp_path / "shared")
    assert alone.to_dict()["quarantine"] == shared.to_dict()["quarantine"] and alone.actions == shared.actions
    own = {"method": "random", "key_file": key}
    zipped = [umed.protect(tmp_path / "all.zip", tmp_path / f"zip{n}", workers=n, **own) for n in (1, 2)]
    assert zipped[0].counts == zipped[1].counts and zipped[0].counts["protected"] >= 1
    assert all_bytes(tmp_path / "zip1") == all_bytes(tmp_path / "zip2")


def test_workers_leave_nothing_that_a_zip_held_and_keep_the_bounds_of_the_run(source, key, tmp_path, monkeypatch):
    write_series(source / "second", volume(1), study=2, series=2, kind="CT")
    shutil.make_archive(str(tmp_path / "all"), "zip", source)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    small = Limits(pixels_bytes=int(np.prod(SHAPE[1:])))  # 16 bits do not fit: every image is refused
    packed = {"key_file": key, "transfer_syntax": "rle", "report": False}  # so that pixels are decoded
    done = [anonymize(tmp_path / "all.zip", tmp_path / f"small{n}", workers=n, limits=small, **packed) for n in (1, 2)]
    assert all_bytes(tmp_path / "small1") == all_bytes(tmp_path / "small2")
    assert done[0].to_dict()["quarantine"] == done[1].to_dict()["quarantine"]
    whole = anonymize(tmp_path / "all.zip", tmp_path / "whole", workers=2, **packed)
    assert whole.written > done[1].written
    assert list((tmp_path / "temporary").rglob("*.dcm")) == []


def test_an_original_below_the_records_is_found(source, key, tmp_path):
    output = tmp_path / "out"
    anonymize(source, output, key_file=key, **OPTIONS)
    original = next(path for path in sorted(source.rglob("*.dcm")) if path.stat().st_size > 1000)
    for name in ("original.dcm", "original"):
        shutil.copy(original, output / "umed" / name)
        assert f"umed/{name}: expected no such file" in verify(source, output, key_file=key).summary()
        (output / "umed" / name).unlink()


def test_what_makes_no_sense_is_said_before_anything_is_written(source, key, tmp_path):
    with pytest.raises(ConfigError, match="workers: expected at least 1, got 0"):
        anonymize(source, tmp_path / "out", key_file=key, workers=0, **OPTIONS)
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="masks"):
        anonymize(source, tmp_path / "masks" / "out", key_file=key, masks=tmp_path / "masks", **OPTIONS)
    assert not (tmp_path / "out").exists() and list((tmp_path / "masks").iterdir()) == []
