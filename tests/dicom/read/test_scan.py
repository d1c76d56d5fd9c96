# SPDX-License-Identifier: Apache-2.0
"""Files of any folder mess become series of one grid each; what is left out says why."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import dataset, enhanced, image, read_slices, save, uid, write_series
from umed.core.errors import InputError
from umed.dicom.read.scan import scan


def volume(slices=4, rows=5, columns=6, start=0):
    return (np.arange(slices * rows * columns).reshape(slices, rows, columns) + start).astype(np.int16)


def look(root, tmp_path):
    return scan(root)


def test_a_series_in_slice_order(tmp_path):
    expected = volume()
    write_series(tmp_path / "in", expected, step=(0, 0, -2.5))
    (series,) = look(tmp_path / "in", tmp_path).series
    assert series.id == "series_0001" and series.kind == "image" and series.problems == ()
    assert series.geometry.positions[:, 2].tolist() == [92.5, 95, 97.5, 100]
    assert np.array_equal(read_slices(series, 0, 4), expected[::-1])
    assert np.array_equal(read_slices(series, 1, 3), expected[::-1][1:3])


def test_a_mess_of_patients_scouts_and_other_files(tmp_path):
    root = tmp_path / "in"
    write_series(root / "a", volume(), study=1, series=1)
    write_series(root / "c" / "d", volume(start=500), study=2, series=1, PatientID="other")
    scout = image(volume(1)[0], study=1, series=1, instance=99, orientation=(1, 0, 0, 0, 0, -1))
    save(scout, root / "scout.dcm")
    save(dataset("SR", instance="sr"), root / "b" / "report")
    save(dataset("PR", series="pr"), root / "b" / "state")
    (root / "notes.txt").write_text("hello, this is not DICOM")
    (root / "b" / "broken").write_bytes((root / "scout.dcm").read_bytes()[:-5])
    found = look(root, tmp_path)
    assert sorted((series.kind, len(series.instances)) for series in found.series) == [
        ("image", 1),
        ("image", 4),
        ("image", 4),
        ("other", 1),
    ]
    reasons = dict(found.refused)
    assert set(reasons) == {"b/report", "b/broken", "notes.txt"}
    assert "past the end" in reasons["b/broken"] and "structured report" in reasons["b/report"]
    assert [series.id for series in found.series] == [f"series_{n:04d}" for n in range(1, 5)]


def test_ids_do_not_depend_on_names_and_zips_give_the_same(tmp_path):
    root = tmp_path / "in"
    for number in range(3):
        write_series(root / str(number), volume(start=number), study=number, series=number)
    first = look(root, tmp_path)
    other = tmp_path / "other"
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for number, path in enumerate(sorted(root.rglob("*_*"), reverse=True)):
            (other / str(number)).mkdir(parents=True)
            shutil.copy(path, other / str(number) / "x")
            archive.write(path, f"{number}/../x" if number == 99 else f"{number}/x")
    for again in (look(other, tmp_path), scan(tmp_path / "z.zip")):
        assert [(s.id, s.uid, [i.sop_uid for i in s.instances]) for s in again.series] == [
            (s.id, s.uid, [i.sop_uid for i in s.instances]) for s in first.series
        ]


def test_copies_are_dropped_and_rivals_refused(tmp_path):
    root = tmp_path / "in"
    paths = write_series(root, volume(3))
    shutil.copy(paths[0], root / "zz_copy")
    rival = image(volume(1, start=77)[0], instance=2, position=(-10, 5, 102.5))
    save(rival, root / "rival")
    found = look(root, tmp_path)
    assert sum(len(series.instances) for series in found.series) == 2
    reasons = dict(found.refused)
    assert reasons["zz_copy"] == f"is a copy of {paths[0].name}"
    assert set(reasons) == {"zz_copy", "rival", paths[1].name} and "other content" in reasons["rival"]


def test_missing_and_doubled_slices_are_problems(tmp_path):
    paths = write_series(tmp_path / "in", volume(6))
    paths[2].unlink()
    (series,) = look(tmp_path / "in", tmp_path).series
    assert "1 slices are missing" in series.problems[0] and not series.geometry.uniform
    assert series.geometry.spacing[0] == pytest.approx(2.5)


def test_time_points_become_volumes(tmp_path):
    for time in range(2):
        for number in range(3):
            ds = image(
                volume(1, start=10 * time + number)[0],
                "MR",
                position=(0, 0, number),
                instance=1 + number + 3 * time,
                TemporalPositionIdentifier=time + 1,
            )
            save(ds, tmp_path / "in" / f"{time}{number}")
    found = look(tmp_path / "in", tmp_path).series
    assert [len(series.instances) for series in found] == [3, 3]
    assert [series.problems[0] for series in found] == [f"volume {n} of 2 at the same place" for n in (1, 2)]
    assert [int(read_slices(series, 0, 1)[0, 0, 0]) for series in found] == [0, 10]
    assert len({series.id for series in found}) == 2 and all(series.geometry.uniform for series in found)


def test_frames_at_one_place_stay_one_series(tmp_path):
    for number in range(5):
        save(image(volume(1, start=number)[0], "MR", instance=number + 1), tmp_path / "in" / str(number))
    (series,) = look(tmp_path / "in", tmp_path).series
    assert len(series.slices) == 5 and series.problems == ("5 slices have the same position",)
    assert read_slices(series, 0, 5)[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_multi_frame_in_slice_order(tmp_path):
    expected = volume()
    save(enhanced(expected, order=[2, 0, 3, 1]), tmp_path / "in" / "mf")
    (series,) = look(tmp_path / "in", tmp_path).series
    assert series.slices == ((0, 1), (0, 3), (0, 0), (0, 2)) and series.geometry.uniform
    assert np.array_equal(read_slices(series, 0, 4), expected)


def test_multi_frame_with_time_points_passes_the_stack_once_each(tmp_path):
    expected = volume()
    ds = enhanced(expected, order=[0, 0, 1, 1, 2, 2, 3, 3])
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        content = Dataset()
        content.TemporalPositionIndex = 2 - number % 2  # the later time point comes first in the file
        frame.FrameContentSequence = [content]
    save(ds, tmp_path / "in" / "mf")
    (series,) = look(tmp_path / "in", tmp_path).series
    assert [frame for _, frame in series.slices] == [1, 3, 5, 7, 0, 2, 4, 6]
    assert not series.geometry.uniform and "passed 2 times" in series.problems[0]
    assert np.array_equal(read_slices(series, 4, 8), expected)
    assert series.geometry.spacing[0] == pytest.approx(2.5)


def test_slices_with_their_own_slopes_stay_one_series(tmp_path):
    for number in range(3):
        ds = image(volume(1)[0], position=(0, 0, number), instance=number + 1, RescaleSlope=0.1 * (number + 1))
        save(ds, tmp_path / "in" / str(number))
    (series,) = look(tmp_path / "in", tmp_path).series
    assert [instance.encoding.slope for instance in series.instances] == pytest.approx([0.1, 0.2, 0.3])


def test_multi_frame_with_two_orientations_has_no_geometry(tmp_path):
    ds = enhanced(volume())
    turned = Dataset()
    turned.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    ds.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = [turned]
    save(ds, tmp_path / "in" / "mf")
    (series,) = look(tmp_path / "in", tmp_path).series
    assert series.geometry is None and "different orientations" in series.problems[0] and len(series.slices) == 4


def test_pictures_without_position_are_series_of_their_own(tmp_path):
    for number in range(2):
        frames = np.full((3, 4, 5, 3), number, np.uint8)
        ds = image(frames, "US", position=None, instance=number + 1, PixelSpacing=[0.3, 0.4])
        save(ds, tmp_path / "in" / str(number))
    found = look(tmp_path / "in", tmp_path).series
    assert [(len(s.instances), len(s.slices), s.geometry, s.spacing) for s in found] == [(1, 3, None, (0.3, 0.4))] * 2
    assert read_slices(found[1], 1, 3).shape == (2, 4, 5, 3)


def test_ultrasound_regions_give_the_spacing_in_millimetres(tmp_path):
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.03
    ds = image(np.zeros((4, 5), np.uint8), "US", position=None, SequenceOfUltrasoundRegions=[region])
    save(ds, tmp_path / "in" / "us")
    assert look(tmp_path / "in", tmp_path).series[0].spacing == pytest.approx((0.3, 0.2))


def test_a_number_of_frames_does_not_become_as_many_objects(tmp_path):
    save(image(np.zeros((4, 5), np.uint8), "US", position=None, NumberOfFrames=2**31 - 1), tmp_path / "in" / "us")
    assert dict(look(tmp_path / "in", tmp_path).refused) == {"us": "expected at most 200000 frames, got 2147483647"}


def test_an_unknown_syntax_can_be_scanned_and_ends_in_one_line(tmp_path):
    ds = image(np.zeros((2, 4, 5), np.int16), position=None)
    ds.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2.99"
    (tmp_path / "in").mkdir()
    ds.save_as(tmp_path / "in" / "x", implicit_vr=True, little_endian=True)
    (series,) = look(tmp_path / "in", tmp_path).series
    with pytest.raises(InputError, match="in/x"):
        read_slices(series, 0, 1)


def test_progress_is_called_for_each_file(tmp_path):
    write_series(tmp_path / "in", volume(3))
    seen = []
    scan(tmp_path / "in", progress=lambda *what: seen.append(what))
    assert seen == [("scan", n, 3) for n in (0, 1, 2, 3)]


REAL = {
    "ct_liver_3slice/ct": [(3, 512, 512, 1.0)],
    "ct_23x38x3/multiframe": [(3, 38, 23, 2.5)],
    "rtutils_oriented_data": [(3, 50, 100, 4.5)],
    "totalseg_ct20": [(20, 512, 512, 2.0)],
    "torchio_ct17": [(17, 128, 88, 2.0)],
    "dicom2nifti_philips_enhanced__anatomical__001": [(8, 256, 256, 1.2)],
    "dicom2nifti_generic__rgb__001": [(4, 77, 52, 3.0)],
}


@pytest.mark.parametrize("folder", REAL)
def test_real_series(folder, shared_data, tmp_path):
    found = [series for series in look(shared_data / "dicom_series" / folder, tmp_path).series]
    shapes = [(*s.geometry.shape, pytest.approx(s.geometry.spacing[0], abs=0.01)) for s in found]
    assert shapes == REAL[folder] and all(s.geometry.uniform and not s.problems for s in found)


def test_the_compressions_of_one_series_hold_the_same_pixels(shared_data, tmp_path):
    values = []
    for name in ("compressed", "compressed_j2k", "compressed_jpeg", "compressed_jpegls", "compressed_rle"):
        (series,) = look(shared_data / "dicom_series" / f"dicom2nifti_generic__{name}__001", tmp_path).series
        values.append(read_slices(series, 0, len(series.slices)))
    assert all(np.array_equal(values[0], other) for other in values[1:]) and np.ptp(values[0]) > 100


def test_blank_uids_of_real_files_are_filled(shared_data, tmp_path):
    (series,) = look(shared_data / "dicom_series" / "totalseg_ct20", tmp_path).series
    assert len({i.sop_uid for i in series.instances}) == 20 and series.uid.startswith("2.25.")
    assert series.uid != uid("se")
