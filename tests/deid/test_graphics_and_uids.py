# SPDX-License-Identifier: Apache-2.0
"""The options clean_graphics and retain_uids (PS3.15 E.3.3 and E.3.9)."""

from __future__ import annotations

import io
import json

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import dataset, uid, write_series
from tests.release_files import make_key, released, volume
from umed.cli.main import main
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile
from umed.release.anonymize import anonymize

KEY = DeidKey(bytes(range(32)))


def option(folder, *options: str):
    """A profile with options that no shipped one has."""
    path = folder / "option.yaml"
    path.write_text(f"options: [{', '.join(options)}]\n")
    return path


def mark(kind: str, points: int, told: int | None = None) -> Dataset:
    made = Dataset()
    made.GraphicAnnotationUnits, made.GraphicDimensions = "PIXEL", 2
    made.NumberOfGraphicPoints = points if told is None else told
    made.GraphicData, made.GraphicType, made.GraphicFilled = [float(n) for n in range(2 * points)], kind, "N"
    return made


def annotation(*marks: Dataset, text: str = "") -> Dataset:
    made = Dataset()
    made.GraphicLayer = "LAYER1"
    if marks:
        made.GraphicObjectSequence = list(marks)
    if text:
        label = Dataset()
        label.UnformattedTextValue, label.BoundingBoxAnnotationUnits = text, "PIXEL"
        label.BoundingBoxTopLeftHandCorner, label.BoundingBoxBottomRightHandCorner = [1.0, 1.0], [9.0, 9.0]
        made.TextObjectSequence = [label]
    return made


def cleaned(ds: Dataset, profile) -> tuple[Dataset, bytes]:
    Deidentifier(KEY, load_profile(profile))(ds, "x")
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue())), buffer.getvalue()


def state(*annotations: Dataset) -> Dataset:
    return dataset("PR", GraphicAnnotationSequence=list(annotations), ContentLabel="MARKS", ContentDescription="")


SIMPLE = [("POINT", 1), ("CIRCLE", 2), ("ELLIPSE", 4), ("POLYLINE", 2), ("POLYLINE", 5)]
DRAWN = [("POLYLINE", 6), ("POLYLINE", 300), ("INTERPOLATED", 4), ("POINT", 2), ("CIRCLE", 9), ("Muster", 2)]


@pytest.mark.parametrize(("kind", "points"), SIMPLE)
def test_simple_marks_stay_with_the_option_alone(tmp_path, kind: str, points: int) -> None:
    ds, _ = cleaned(state(annotation(mark(kind, points))), option(tmp_path, "clean_graphics"))
    [kept] = ds.GraphicAnnotationSequence[0].GraphicObjectSequence
    assert (kept.GraphicType, kept.NumberOfGraphicPoints) == (kind, points)
    np.testing.assert_array_equal(kept.GraphicData, np.arange(2 * points))
    assert ds.GraphicAnnotationSequence[0].GraphicLayer == "LAYER1"
    assert "113103" in {code.CodeValue for code in ds.DeidentificationMethodCodeSequence}
    without, _ = cleaned(state(annotation(mark(kind, points))), "basic")
    assert not without.get("GraphicAnnotationSequence")


@pytest.mark.parametrize(("kind", "points"), DRAWN)
def test_drawings_go_and_leave_the_rest(tmp_path, kind: str, points: int) -> None:
    profile = option(tmp_path, "clean_graphics")
    ds, raw = cleaned(state(annotation(mark(kind, points)), annotation(mark("POINT", 1))), profile)
    [left] = ds.GraphicAnnotationSequence
    assert [one.GraphicType for one in left.GraphicObjectSequence] == ["POINT"] and b"Muster" not in raw
    gone, _ = cleaned(state(annotation(mark(kind, points))), profile)
    assert "GraphicAnnotationSequence" not in gone


def test_points_that_are_not_there_are_no_mark(tmp_path) -> None:
    ds, _ = cleaned(state(annotation(mark("POLYLINE", 300, told=4))), option(tmp_path, "clean_graphics"))
    assert "GraphicAnnotationSequence" not in ds


def test_text_becomes_a_dummy_or_imaging_terms_and_overlays_go(tmp_path) -> None:
    for options, left in ((("clean_graphics",), "REMOVED"), (("clean_graphics", "clean_descriptors"), "liver 12 mm")):
        ds = state(annotation(mark("POINT", 1), text="liver 12 mm, Dr. Zwicky, Erika"))
        compound = Dataset()
        compound.CompoundGraphicType, compound.UnformattedTextValue = "RULER", "Zwicky"
        ds.GraphicAnnotationSequence[0].add_new(0x00700209, "SQ", [compound])
        ds.add_new(0x60003000, "OW", b"Zwicky" * 4)
        ds, raw = cleaned(ds, option(tmp_path, *options))
        [label] = ds.GraphicAnnotationSequence[0].TextObjectSequence
        assert label.UnformattedTextValue == left and list(label.BoundingBoxTopLeftHandCorner) == [1.0, 1.0]
        assert b"Zwicky" not in raw and b"Erika" not in raw


def test_uids_stay_with_their_option_and_the_release_is_verified(tmp_path, capsys) -> None:
    source, output, key = tmp_path / "in", tmp_path / "out", make_key(tmp_path)
    write_series(source / "ct", volume(1, (3, 16, 18)))
    profile = option(tmp_path, "retain_uids")
    anonymize(source, output, key_file=key, profile=profile, report=False)
    names = {uid("i", 1, 1, number) for number in (1, 2, 3)}
    found = released(output)
    assert set(found) == names == {path.stem for path in output.rglob("*.dcm")}
    for ds in found.values():
        assert (ds.StudyInstanceUID, ds.SeriesInstanceUID) == (uid("st", 1), uid("se", 1, 1))
        assert ds.FrameOfReferenceUID == uid("for", 1) and ds.file_meta.MediaStorageSOPInstanceUID in names
        assert ds.PatientID == ds.PatientName and str(ds.PatientID).startswith("UM")
        assert "113110" in {code.CodeValue for code in ds.DeidentificationMethodCodeSequence}
    assert main(["verify", str(source), str(output), "--key-file", str(key), "--quiet"]) == 0
    checked = ["anonymize", "--check", str(output), "--original", str(source)]
    assert main([*checked, "--profile", str(profile)]) == 0
    capsys.readouterr()
    assert main([*checked, "--json"]) == 1  # without the profile, names of files are UIDs of originals
    said = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in said["findings"]} == {"uid"}


def test_what_is_no_uid_is_mapped_even_then(tmp_path) -> None:
    ds = dataset()
    ds.StudyInstanceUID = "1.2.Erika"
    ds, raw = cleaned(ds, option(tmp_path, "retain_uids"))
    assert ds.StudyInstanceUID.startswith("2.25.") and b"Erika" not in raw


def test_uids_do_not_stay_where_pixels_change(tmp_path, capsys) -> None:
    write_series(tmp_path / "in", volume(1, (2, 16, 18)))
    key, profile = make_key(tmp_path), option(tmp_path, "retain_uids")
    code = main(["anonymize", str(tmp_path / "in"), str(tmp_path / "out"), "--key-file", str(key), "--protect",
                 "--profile", str(profile)])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 2 and "expected no retain_uids beside --protect" in said and not (tmp_path / "out").exists()
