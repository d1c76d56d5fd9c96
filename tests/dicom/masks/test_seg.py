# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.mask_files import (
    AXIAL,
    ENHANCED_CT,
    TURNED,
    frame_group,
    images,
    item,
    make_seg,
    make_series,
    numbers,
    pixels,
    positions,
    save,
)
from umed.core.errors import GeometryError, InputError
from umed.dicom.masks import seg, seg_file
from umed.dicom.objects import LIMITS
from umed.dicom.read import reader
from umed.dicom.read.scan import scan

SHAPE = (12, 10)


def read(path, series, limits=LIMITS):
    return seg.read(reader.read(path, pixels=True), path.name, series, limits)


def ones(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (count, *SHAPE))


def series_of(tmp_path, count=4, axes=AXIAL, **other):
    make_series(tmp_path / "ct", positions(count, axes=axes), axes=axes, **other)
    return images(tmp_path / "ct", tmp_path / "work")[0]


@pytest.mark.parametrize("axes", [AXIAL, TURNED])
@pytest.mark.parametrize("referenced", [True, False])
def test_binary_subset_in_any_order(tmp_path, axes, referenced):
    series, places = series_of(tmp_path, axes=axes), positions(4, axes=axes)
    array = ones(2)
    groups = [frame_group(places[k], 1, f"1.2.3.4.{k + 1}" if referenced else None) for k in (3, 1)]
    mask = read(make_seg(tmp_path / "s.dcm", array, groups, {1: "liver"}, axes=axes), series)
    expected = np.zeros((4, *SHAPE), np.int16)
    expected[3], expected[1] = array
    assert np.array_equal(mask.slices(0, 4), expected)
    assert mask.extent == (1, 4) and dict(mask.classes) == {1: "liver"} and mask.notes == ()


def test_overlapping_segments_keep_the_higher_class(tmp_path):
    series, places = series_of(tmp_path), positions(4)
    array = ones(4)
    groups = [frame_group(places[k], n) for n in (5, 2) for k in (0, 1)]
    mask = read(make_seg(tmp_path / "s.dcm", array, groups, {2: "a", 5: "b"}), series)
    for k in (0, 1):
        assert np.array_equal(mask.slices(k, k + 1)[0], np.maximum(array[k] * 5, array[k + 2] * 2))


def test_fractional_from_half_of_the_maximum_on(tmp_path):
    series = series_of(tmp_path)
    array = np.zeros((1, *SHAPE))
    array[0, 0, :4] = (99, 100, 101, 200)
    path = make_seg(tmp_path / "s.dcm", array, [frame_group(positions(4)[2], 1)], {1: "x"}, kind="FRACTIONAL")
    assert read(path, series).slices(2, 3)[0, 0].tolist() == [0, 1, 1, 1] + [0] * 6


def test_labelmap_background_and_padding(tmp_path):
    series = series_of(tmp_path)
    array = np.zeros((1, *SHAPE))
    array[0, 0, :4] = (0, 3, 7, 9)
    groups, segments = [frame_group(positions(4)[1])], {0: "Background", 3: "a", 7: "b"}
    path = make_seg(tmp_path / "s.dcm", array, groups, segments, kind="LABELMAP", padding=9)
    mask = read(path, series)
    assert mask.slices(1, 2)[0, 0, :4].tolist() == [0, 3, 7, 0] and dict(mask.classes) == {3: "a", 7: "b"}
    with pytest.raises(InputError, match="values of described segments, got 9"):
        read(make_seg(tmp_path / "t.dcm", array, groups, segments, kind="LABELMAP"), series)


def test_labelmap_segment_zero_that_is_no_background_is_renumbered(tmp_path):
    series = series_of(tmp_path)
    array = np.full((1, *SHAPE), 9)
    array[0, 0, :2] = (0, 4)
    path = make_seg(
        tmp_path / "s.dcm", array, [frame_group(positions(4)[1])], {0: "a", 4: "b"}, kind="LABELMAP", padding=9
    )
    mask = read(path, series)
    assert mask.slices(1, 2)[0, 0, :3].tolist() == [1, 2, 0] and dict(mask.classes) == {1: "a", 2: "b"}


def make_multi_frame(path, places):
    ds = Dataset()
    pixels(ds, np.stack([np.full(SHAPE, k) for k in range(len(places))]))
    ds.NumberOfFrames = len(places)
    ds.SharedFunctionalGroupsSequence = Sequence([frame_group(axes=AXIAL, spacing=(0.5, 0.8))])
    ds.PerFrameFunctionalGroupsSequence = Sequence([frame_group(place) for place in places])
    return save(path, ds, ENHANCED_CT, "1.2.3.8.1", modality="CT", series="1.2.3.8")


@pytest.mark.parametrize("placed", [True, False])
def test_multi_frame_source(tmp_path, placed):
    places = positions(4)
    make_multi_frame(tmp_path / "ct" / "mf.dcm", places[::-1])  # frame 1 lies highest, so it is the last slice
    series = images(tmp_path / "ct", tmp_path / "work")[0]
    array = ones(2)
    groups = [frame_group(places[3 - n + 1] if placed else None, 1, "1.2.3.8.1", number=n) for n in (1, 3)]
    mask = read(make_seg(tmp_path / "s.dcm", array, groups, {1: "x"}), series)
    assert np.array_equal(mask.slices(3, 4)[0], array[0]) and np.array_equal(mask.slices(1, 2)[0], array[1])
    wrong = [frame_group(places[3], 1, "1.2.3.8.1", number=2)]
    with pytest.raises(GeometryError, match="frame 1 on slice 3 of .* refers to, got the position of slice 4"):
        read(make_seg(tmp_path / "t.dcm", ones(1), wrong, {1: "x"}), series)


def test_turned_and_cropped_frames_lie_exactly(tmp_path):
    series, place = series_of(tmp_path), positions(4)[2]
    array = ones(1)[0]
    down = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))  # rows and columns change places
    groups = [frame_group(place, 1)]
    path = make_seg(tmp_path / "s.dcm", array.T[None], groups, {1: "x"}, axes=down, spacing=(0.8, 0.5))
    assert np.array_equal(read(path, series).slices(2, 3)[0], array)
    groups = [frame_group(place + np.array([3 * 0.8, 2 * 0.5, 0]), 1)]
    mask = read(make_seg(tmp_path / "c.dcm", array[None, :5, :4], groups, {1: "x"}), series)
    assert (
        np.array_equal(mask.slices(2, 3)[0, 2:7, 3:7], array[:5, :4]) and mask.slices(2, 3).sum() == array[:5, :4].sum()
    )


@pytest.mark.parametrize("change", ["shift", "spacing", "slices", "beyond"])
def test_another_grid_is_an_error_that_names_both(tmp_path, change):
    series, place, spacing = series_of(tmp_path), positions(4)[0], (0.5, 0.8)
    place = place + {"shift": (0.2, 0, 0), "slices": (0, 0, 1.0), "beyond": (0.8, 0, 0)}.get(change, (0, 0, 0))
    spacing = (1.0, 1.0) if change == "spacing" else spacing
    path = make_seg(tmp_path / "s.dcm", np.ones((1, *SHAPE)), [frame_group(place, 1)], {1: "x"}, spacing=spacing)
    with pytest.raises(GeometryError) as caught:
        read(path, series)
    for part in ("s.dcm", series.id, "shape (4, 12, 10)", "2.5 x 0.5 x 0.8 mm", "shape (1, 12, 10)", "origin"):
        assert part in str(caught.value)


def test_frames_of_absent_images_are_left_out_with_a_note(tmp_path):
    series, places = series_of(tmp_path), positions(7)
    groups = [frame_group(places[k], 1, f"1.2.3.4.{k + 1}") for k in (2, 5, 6)]
    mask = read(make_seg(tmp_path / "s.dcm", np.ones((3, *SHAPE)), groups, {1: "x"}), series)
    assert mask.extent == (2, 3) and "2 frames on slices that are not in" in mask.notes[0]
    with pytest.raises(GeometryError):
        read(make_seg(tmp_path / "t.dcm", np.ones((2, *SHAPE)), groups[1:], {1: "x"}), series)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ds: setattr(ds, "NumberOfFrames", 3),
            "one item of PerFrameFunctionalGroupsSequence a frame, got 2 for 3",
        ),
        (lambda ds: setattr(ds, "PixelData", b"\0\0"), "expected frame [12] to be decoded"),
        (lambda ds: delattr(ds, "SegmentSequence"), "at least one segment"),
        (lambda ds: setattr(ds, "SegmentationType", "ODD"), "SegmentationType BINARY"),
        (lambda ds: setattr(ds, "Rows", 60000), "on the grid of|expected"),
        (lambda ds: setattr(ds.SegmentSequence[0], "SegmentNumber", 4), "got 1 in a frame"),
    ],
)
def test_broken_files_are_one_clear_line(tmp_path, change, message):
    series, places = series_of(tmp_path), positions(4)
    path = make_seg(tmp_path / "s.dcm", ones(2), [frame_group(places[k], 1) for k in (0, 1)], {1: "x"})
    ds = reader.read(path, pixels=True)
    change(ds)
    with pytest.raises(InputError, match=message) as caught:
        seg.read(ds, "s.dcm", series)
    assert "\n" not in str(caught.value)


def test_limits(tmp_path):
    from umed.dicom.objects import Limits

    series = series_of(tmp_path)
    path = make_seg(tmp_path / "s.dcm", ones(2), [frame_group(positions(4)[k], 1) for k in (0, 1)], {1: "x"})
    with pytest.raises(InputError, match="expected 1 to 80 voxels, got 2 frames of 12 x 10"):
        seg.read(reader.read(path, pixels=True), "s.dcm", series, Limits(pixels_bytes=10))


def test_what_highdicom_makes_and_refuses_is_read(tmp_path):
    """Same masks with highdicom, and by the way around it for a file that it refuses."""
    highdicom = pytest.importorskip("highdicom")
    from highdicom.sr.coding import CodedConcept

    series = series_of(tmp_path)
    sources = [reader.read(instance.path, pixels=True) for instance in series.instances]
    for source in sources:
        source.StudyID = source.AccessionNumber = source.PatientBirthDate = source.PatientSex = ""
        source.StudyDate, source.StudyTime = "20200101", "000000"
    array = (np.random.default_rng(5).random((4, *SHAPE, 2)) > 0.6).astype(np.uint8)
    code = CodedConcept("85756007", "SCT", "Tissue")
    described = [
        highdicom.seg.SegmentDescription(n, f"s{n}", code, code, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
        for n in (1, 2)
    ]
    for kind in ("BINARY", "FRACTIONAL"):
        made = highdicom.seg.Segmentation(
            sources, array.copy(), kind, described, "1.2.3.77", 1, f"1.2.3.77.{len(kind)}", 1, "m", "m", "1", "1"
        )
        made.save_as(tmp_path / "made.dcm")
        mask = read(tmp_path / "made.dcm", series)
        assert np.array_equal(mask.slices(0, 4), np.maximum(array[..., 0], 2 * array[..., 1]))
        ds = reader.read(tmp_path / "made.dcm", pixels=True)
        del ds.SegmentSequence[0].SegmentAlgorithmType
        del ds.DimensionOrganizationSequence
        ds.SOPClassUID = "1.2.3"
        with pytest.raises(Exception, match="."):
            highdicom.seg.Segmentation.from_dataset(ds)
        assert np.array_equal(seg.read(ds, "x", series).slices(0, 4), mask.slices(0, 4))


def nrrd(path):
    """Label volume of an NRRD file as these have it: gzipped int16."""
    head, data = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    assert (fields["type"], fields["encoding"]) == ("short", "gzip")
    columns, rows, slices = map(int, fields["sizes"].split())
    return np.frombuffer(gzip.decompress(data), "<i2").reshape(slices, rows, columns)


@pytest.mark.parametrize(
    ("folder", "name", "volumes"),
    [
        ("ct_liver_3slice", "liver.dcm", ["liver_seg.nrrd"]),
        ("ct_liver_3slice", "partial_overlaps.dcm", [f"partial_overlaps-{n}.nrrd" for n in (1, 2, 3)]),
        ("ct_23x38x3", "label.seg", ["label.nrrd"]),
        ("ct_24x38x3", "label.seg", ["label.nrrd"]),
        ("ct_24x38x3", "sparse-labelmap-noppv.dcm", ["sparse_labelmap_noppv_seg.nrrd"]),
        ("ct_24x38x3", "sparse-labelmap-ppv5.dcm", ["sparse_labelmap_ppv5_seg.nrrd"]),
    ],
)
def test_real_segmentations_equal_their_volumes(shared_data, tmp_path, folder, name, volumes):
    root = shared_data / "dicom_series" / folder
    series = next(one for one in scan(root).series if one.kind == "image" and len(one.instances) == 3)
    beside = [root / "nrrd" / volume for volume in volumes]
    beside = [path if path.exists() else root.parent / "ct_liver_3slice" / "nrrd" / path.name for path in beside]
    expected = np.maximum.reduce([nrrd(path) for path in beside])
    if "ppv5" in name:
        expected = np.where(expected == 5, 0, expected)  # 5 is the padding value of that file: no segment
    mask = read(root / "seg" / name, series)
    assert expected.any() and np.array_equal(mask.slices(0, 3), expected)
    ds = reader.read(root / "seg" / name, pixels=True)
    get = seg_file.reader(reader.read(root / "seg" / name, pixels=True), name)
    assert all(np.array_equal(get(n), seg_file.stored_frame(ds, n)) for n in range(int(ds.NumberOfFrames)))


def test_names_in_a_segmentation(tmp_path):
    path = make_seg(tmp_path / "s.dcm", ones(1), [frame_group(positions(1)[0], 1, "1.9.1")], {1: "x"})
    ds = reader.read(path, pixels=False)
    ds.ReferencedSeriesSequence = Sequence(
        [item(SeriesInstanceUID="1.9", ReferencedInstanceSequence=[item(ReferencedSOPInstanceUID="1.9.2")])]
    )
    assert seg_file.references(ds) == ({"1.9.1", "1.9.2"}, {"1.9"}, {"1.2.3.9"})
    assert numbers([0.5]) == ["0.5"]
