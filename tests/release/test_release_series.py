# SPDX-License-Identifier: Apache-2.0
"""Real series: masks follow their images, voxel by voxel; how the source was packed makes no difference."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from PIL import Image
from pydicom.misc import is_dicom

from tests.release_files import make_key, released
from umed.deid.keys import DeidKey
from umed.dicom.masks import series_masks
from umed.dicom.pixels import pixel_data
from umed.dicom.read.reader import read
from umed.dicom.read.scan import scan
from umed.protect.verify import verify
from umed.release.anonymize import anonymize

PACKED = ("", "_jpeg", "_j2k", "_jpegls", "_rle")
REFERRING = ("ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID", "FrameOfReferenceUID")


@pytest.fixture
def folder(shared_data):
    def find(name):
        path = shared_data / "dicom_series" / name
        if not path.is_dir():
            pytest.skip(f"no dicom_series/{name} beside the repository")
        return path

    return find


def voxels(root, work):
    """For each mask file by its UID: classes of the image series that it lies on, by SeriesInstanceUID and grid."""
    found = scan(root)
    drawn = {}
    for one in found.series:
        for instance in one.instances if one.kind in ("seg", "rtstruct") else ():
            alone = replace(one, instances=(instance,))  # several at once are merged in the order of their names
            images = [series for series in found.series if series.kind == "image"]
            chosen, _ = series_masks.find(replace(found, series=(*images, alone)))
            for series in images:
                if series.id in chosen:
                    mask = chosen[series.id]
                    place = (instance.sop_uid, series.uid, len(series.slices))
                    drawn[place] = mask.slices(0, len(series.slices)), sorted(mask.classes)
    return drawn


def sources(root):
    """All DICOM files of a folder."""
    return [pydicom.dcmread(path) for path in sorted(root.rglob("*")) if path.is_file() and is_dicom(path)]


def values(dataset, keyword):
    return {str(element.value) for element in dataset.iterall() if element.keyword == keyword and element.value}


@pytest.mark.parametrize("protect", [False, True])
@pytest.mark.parametrize("name", ["ct_liver_3slice", "ct_23x38x3", "ct_24x38x3", "rtutils_mock_data"])
def test_masks_follow_their_images_and_are_the_same_voxel_by_voxel(folder, tmp_path, name, protect):
    source, output, key = folder(name), tmp_path / "out", make_key(tmp_path)
    options = {"protect": True, "method": "checkerboard"} if protect else {}
    done = anonymize(source, output, key_file=key, report=False, **options)
    secret = DeidKey.load(key)
    before, after = voxels(source, tmp_path / "a"), voxels(output, tmp_path / "b")
    quarantined = {entry.name for entry in done.quarantine}
    renamed = {(secret.uid(mask), secret.uid(uid), n): drawn for (mask, uid, n), drawn in before.items()}
    assert renamed and renamed.keys() == after.keys(), quarantined
    for place, (classes, numbers) in renamed.items():
        assert classes.any() and np.array_equal(classes, after[place][0])
        assert numbers == after[place][1]
    statuses = {outcome.status for outcome in done.outcomes if outcome.measures}
    assert statuses == ({"protected", "carried"} if protect else {"unchanged", "carried"})
    assert verify(source, output, key_file=key).ok


@pytest.mark.parametrize("name", ["ct_liver_3slice", "ct_23x38x3", "ct_24x38x3", "rtutils_mock_data"])
def test_every_reference_that_led_to_a_file_leads_to_its_new_one(folder, tmp_path, name):
    source, output, key = folder(name), tmp_path / "out", make_key(tmp_path)
    anonymize(source, output, key_file=key, protect=True, method="checkerboard", report=False)
    secret, found = DeidKey.load(key), released(output)
    checked, olds = 0, sources(source)
    for old in olds:
        new = found.get(secret.uid(str(old.SOPInstanceUID)))
        if new is None:  # put aside
            continue
        for keyword in REFERRING:
            assert values(new, keyword) == {secret.uid(uid) for uid in values(old, keyword)}
        checked += 1
    assert checked == len(found)
    segments = [ds for ds in found.values() if ds.Modality in ("SEG", "RTSTRUCT")]
    originals = {secret.uid(str(ds.SOPInstanceUID)) for ds in olds}
    for ds in segments:
        named = values(ds, "ReferencedSOPInstanceUID")
        assert named and named & originals <= found.keys()
    if name != "rtutils_mock_data":  # there one referenced slice is absent in the source, too
        assert all(values(ds, "ReferencedSOPInstanceUID") <= found.keys() for ds in segments)


def test_highdicom_reads_the_segmentations(folder, tmp_path):
    source, output, key = folder("ct_liver_3slice"), tmp_path / "out", make_key(tmp_path)
    anonymize(source, output, key_file=key, protect=True, method="checkerboard", report=False)
    secret = DeidKey.load(key)
    found = [segread(path) for path in sorted(output.rglob("*.dcm")) if pydicom.dcmread(path).Modality == "SEG"]
    before = [segread(path) for path in sorted(source.rglob("*.dcm")) if pydicom.dcmread(path).Modality == "SEG"]
    assert len(found) == len(before) == 2
    by_uid = {str(seg.SOPInstanceUID): seg for seg in found}
    for old in before:
        new = by_uid[secret.uid(str(old.SOPInstanceUID))]
        uids = [str(uid) for _, _, uid in old.get_source_image_uids()]
        assert [str(uid) for _, _, uid in new.get_source_image_uids()] == [secret.uid(uid) for uid in uids]
        options = {"assert_missing_frames_are_empty": True, "ignore_spatial_locations": True}
        first = old.get_pixels_by_source_instance(uids, **options)
        second = new.get_pixels_by_source_instance([secret.uid(uid) for uid in uids], **options)
        assert first.any() and np.array_equal(first, second)
        assert new.number_of_segments == old.number_of_segments


def test_five_packings_of_a_series_come_out_with_the_same_pixels(folder, tmp_path):
    stacks = []
    for kind in PACKED:
        source = folder(f"dicom2nifti_generic__compressed{kind}__001")
        home = tmp_path / f"k{kind}"
        home.mkdir()
        output = home / "out"
        done = anonymize(source, output, key_file=make_key(home), report=False)
        assert (done.written, done.quarantine) == (4, ())
        images = sorted(map(pydicom.dcmread, output.rglob("*.dcm")), key=lambda ds: int(ds.InstanceNumber))
        assert {ds.file_meta.TransferSyntaxUID for ds in images} == {"1.2.840.10008.1.2.1"}
        stacks.append(np.stack([ds.pixel_array for ds in images]))
    assert all(np.array_equal(stack, stacks[0]) for stack in stacks) and stacks[0].std() > 1
    plain = sorted(folder("dicom2nifti_generic__compressed__001").iterdir())
    decoded = [pixel_data.decode(read(path, pixels=True))[0] for path in plain]
    assert sorted(map(np.ndarray.tobytes, decoded)) == sorted(frame.tobytes() for frame in stacks[0])


def test_five_packings_are_protected_with_the_same_changes(folder, tmp_path):
    """The same key and the same UIDs: then every byte of the pixels is the same."""
    stacks = []
    key = make_key(tmp_path)
    for kind in PACKED[:1] + PACKED[2:4]:
        source = folder(f"dicom2nifti_generic__compressed{kind}__001")
        copy = tmp_path / f"in{kind}"
        shutil.copytree(source, copy)
        first = pydicom.dcmread(sorted(source.iterdir())[0])
        draw(copy, tmp_path / f"masks{kind}", (int(first.Rows), int(first.Columns)), tmp_path / f"work{kind}")
        output = tmp_path / f"out{kind}"
        options = {"masks": tmp_path / f"masks{kind}"}
        done = anonymize(copy, output, key_file=key, report=False, protect=True, method="checkerboard", **options)
        assert [outcome.status for outcome in done.outcomes] == ["protected"], done.quarantine
        images = sorted(map(pydicom.dcmread, output.rglob("*.dcm")), key=lambda ds: int(ds.InstanceNumber))
        stacks.append(np.stack([ds.pixel_array for ds in images]))
        assert verify(copy, output, key_file=key, **options).ok
    assert all(np.array_equal(stack, stacks[0]) for stack in stacks)


def draw(source, target, size, work):
    """The same rectangle as a picture for each slice, named by InstanceNumber."""
    [series] = scan(source).series
    (target / series.id).mkdir(parents=True)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 3 : size[0] // 2, size[1] // 3 : size[1] // 2] = 255
    for instance in series.instances:
        Image.fromarray(mask).save(target / series.id / f"slice_{instance.number}.png")
