# SPDX-License-Identifier: Apache-2.0
"""Everything that must not be published is planted in a clean release, and found."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.release_folder import ABOUT, MANIFEST, PLAN, ReleaseFolder, make_photographs, make_volumes, save_volume
from umed.cli.main import main
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.core.version import __version__
from umed.protect.check_release import check_release
from umed.protect.manifest import bound_text
from umed.protect.release_findings import KINDS, ReleaseCheck, ReleaseFinding, make_check
from umed.report.about_page import render_about

LABEL = "labelsTr/case_0.nii.gz"


@pytest.fixture
def volumes(tmp_path: Path) -> ReleaseFolder:
    return make_volumes(tmp_path)


@pytest.fixture
def photographs(tmp_path: Path) -> ReleaseFolder:
    return make_photographs(tmp_path)


def kinds(check: ReleaseCheck) -> set[str]:
    """Kinds of the problems."""
    return {one.kind for one in check.problems}


def where(check: ReleaseCheck, kind: str) -> list[str]:
    return [one.where for one in check.findings if one.kind == kind]


def original(made: ReleaseFolder, name: str = "imagesTr/case_0.nii.gz") -> np.ndarray:
    return np.asarray(nibabel.load(made.source / name).dataobj)


def png_of(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("make", [make_volumes, make_photographs])
def test_a_clean_release_passes(make: Callable[[Path], ReleaseFolder], tmp_path: Path) -> None:
    made = make(tmp_path)
    check = check_release(made.output, original=made.source)
    assert (check.problems, check.warnings, check.exit_code) == ((), (), 0)
    assert {one.kind for one in check.notes} <= {"unprotected-note"}
    assert "nothing speaks against publishing it" in check.summary()
    bare = check_release(made.output, private=None, key=made.key)
    assert bare.ok and where(bare, "not-compared")


def test_what_lies_unchanged_by_promise_is_no_leak(volumes: ReleaseFolder) -> None:
    """Slices without a label are the original's, in three directions, and an empty label leaves all as it is."""
    before, after = original(volumes), np.asarray(nibabel.load(volumes.output / "imagesTr/case_0.nii.gz").dataobj)
    assert np.array_equal(before[..., 8], after[..., 8]) and np.array_equal(before[0], after[0])
    check = check_release(volumes.output, original=volumes.source)
    assert check.ok and where(check, "unprotected-note") == ["imagesTr/empty.nii.gz"]


TORCH = io.BytesIO()
with zipfile.ZipFile(TORCH, "w") as archive:
    archive.writestr("umed/data.pkl", b"\x80\x02}q\0.")
    archive.writestr("umed/version", "3\n")
ARRAYS = io.BytesIO()
np.savez(ARRAYS, weight=np.zeros(3))
SAFETENSORS = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
ONNX = b"\x08\x08\x12\x07pytorch\x3a\x03\x0a\x01n\x42\x02\x10\x11"
PRIVATE = {
    "key": f"# umed key, version 1. Keep it secret.\n{'ab' * 32}\n".encode(),
    "bare key": b"AB" * 32,
    "pem": b"-----BEGIN RSA PRIVATE KEY-----\nMIIB\n",
    "ssh": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
    "age": b"# created: 2026-01-01\nAGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQ\n",
    "torch": TORCH.getvalue(),
    "legacy torch": b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    "npz": ARRAYS.getvalue(),
    "pickle": pickle.dumps({"weight": [1.0]}),
    "safetensors": struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS + bytes(4),
    "onnx": ONNX,
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(8),
    "plan": b'{"epsilon": 0.01, "radius": 3, "method": "umed", "seed": 0}',
    "record": b'{"format": 2, "plan": {}, "cases": []}',
    "targets": b'{"output": "out", "key": "00", "files": []}',
    "case": b'{"outcome": {}, "run": "", "sources": {}, "outputs": {}}',
    "left out": b'[{"id": "case_0", "reason": "damaged"}]',
    "quarantine": b'{"note": "Do not release.", "files": []}',
}


@pytest.mark.parametrize("content", PRIVATE.values(), ids=PRIVATE)
@pytest.mark.parametrize("way", ["plain", "gzip", "zip", "tar in gzip", "after a picture"])
def test_private_files_are_told_by_content_under_any_name(photographs: ReleaseFolder, content: bytes, way: str) -> None:
    stream = io.BytesIO()
    if way == "zip":
        with zipfile.ZipFile(stream, "w") as packed:
            packed.writestr("deep/notes.txt", content)
    elif way == "tar in gzip":
        with tarfile.open(fileobj=stream, mode="w:gz") as packed:
            member = tarfile.TarInfo("notes.txt")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    else:
        lead = png_of(np.zeros((4, 4), np.uint8)) if way == "after a picture" else b""
        stream.write(gzip.compress(content, mtime=0) if way == "gzip" else lead + content)
    (photographs.output / "notes.txt").write_bytes(stream.getvalue())
    photographs.write()  # also where the manifest lists it
    check = check_release(photographs.output)
    assert {place.startswith("notes.txt") for place in where(check, "private")} == {True}, check.summary()


def test_proposals_are_public(photographs: ReleaseFolder) -> None:
    content = {"kind": "umed mask proposals", "format": 1, "note": "...", "cases": {}, "files": {}, "sam": {}}
    (photographs.output / "proposals.json").write_text(json.dumps(content))
    photographs.write()
    assert check_release(photographs.output).ok


@pytest.mark.parametrize("name", ["plan.json", "report.html"])
def test_files_of_the_private_folder_are_told_by_their_bytes(photographs: ReleaseFolder, name: str) -> None:
    (photographs.output / "images" / "readme.txt").write_bytes((photographs.private / name).read_bytes())
    photographs.write()
    found = [one for one in check_release(photographs.output).problems if one.kind == "private"]
    assert [(one.where, one.what) for one in found] == [("images/readme.txt", f"the private file {name}")]


@pytest.mark.parametrize("form", ["raw", "hex", "base64"])
def test_the_key_itself_within_other_bytes(volumes: ReleaseFolder, form: str) -> None:
    secret = volumes.key.secret
    hidden = {"raw": secret, "hex": secret.hex().upper().encode(), "base64": base64.b64encode(secret)}[form]
    path = volumes.output / "labelsTr" / "case_1.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"...." + hidden + b"....", mtime=0))
    volumes.write()
    assert "labelsTr/case_1.nii.gz" in where(check_release(volumes.output), "private")


@pytest.mark.parametrize(
    "name",
    ["umed/generators/umed.pt", "umed/cases/case_0.json", "umed/report.html", "umed/plan.json", "umed/targets.json"],
)
def test_leftovers_of_the_old_kind(photographs: ReleaseFolder, name: str) -> None:
    (photographs.output / name).parent.mkdir(exist_ok=True)
    (photographs.output / name).write_text("x")
    photographs.write()
    check = check_release(photographs.output)
    assert name in where(check, "old") and "code is public" in check.summary()


def test_an_output_of_umed_0_1(photographs: ReleaseFolder) -> None:
    (photographs.output / MANIFEST).write_text('{"format": 1, "plan": {}, "cases": [], "layout": "pairs"}')
    check = check_release(photographs.output)
    assert "old" in kinds(check) and "unlisted" not in kinds(check)
    assert "an output of umed 0.1" in check.summary()


def test_any_other_file_in_umed(photographs: ReleaseFolder) -> None:
    (photographs.output / "umed/backup.bin").write_bytes(b"abcd")
    photographs.write()
    assert where(check_release(photographs.output), "private") == ["umed/backup.bin"]


def test_a_private_folder_inside(photographs: ReleaseFolder, tmp_path: Path) -> None:
    (photographs.output / "x-private").mkdir()
    assert where(check_release(photographs.output), "private-folder") == ["x-private"]
    (photographs.output / "x-private").rmdir()
    inside = photographs.output / "kept"
    photographs.private.rename(inside)
    assert "private-folder" in kinds(check_release(photographs.output, private=inside))


def plant(made: ReleaseFolder, name: str, kind: str) -> None:
    path = made.output / name
    if kind == "link out":
        path.symlink_to(made.source)
    elif kind == "link in":
        path.symlink_to(made.output / "masks")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"text")


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        (".DS_Store", "text", "hidden-file"),
        (".umed-tmp-a.png", "text", "hidden-file"),
        ("Thumbs.db", "text", "hidden-file"),
        ("README.md~", "text", "hidden-file"),
        ("images/a.png.bak", "text", "hidden-file"),
        ("more", "link out", "link"),
        ("more", "link in", "link"),
        ("more", "pipe", "link"),
        ("LICENSE", "empty", "damaged"),
        ("notes.txt", "text", "unlisted"),
    ],
)
def test_what_does_not_belong(photographs: ReleaseFolder, name: str, kind: str, found: str) -> None:
    plant(photographs, name, kind)
    if found not in ("link", "unlisted"):
        photographs.write()
    check = check_release(photographs.output)
    assert where(check, found) == [name] and check.exit_code == 1


def test_the_list_of_the_manifest(volumes: ReleaseFolder) -> None:
    (volumes.output / "imagesTr/case_0.nii.gz").unlink()
    path = volumes.output / "labelsTr/case_1.nii.gz"
    path.write_bytes((volumes.output / "labelsTr/case_0.nii.gz").read_bytes()[:-30])
    check = check_release(volumes.output)
    assert where(check, "missing") == ["imagesTr/case_0.nii.gz"]
    assert where(check, "changed") == where(check, "damaged") == ["labelsTr/case_1.nii.gz"]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 3}', '{"format": 2}', '{"format": 2, "files": []}'])
def test_no_sound_manifest(photographs: ReleaseFolder, content: str | None) -> None:
    (photographs.output / MANIFEST).unlink()
    if content is not None:
        (photographs.output / MANIFEST).write_text(content)
    assert kinds(check_release(photographs.output)) == {"manifest"}


@pytest.mark.parametrize(
    "entry", [{"../x": {"sha256": "", "what": "other"}}, {"a": 1}, {"a": {"sha256": "", "what": "?"}}]
)
def test_entries_that_are_none(photographs: ReleaseFolder, entry: dict[str, object]) -> None:
    content = json.loads((photographs.output / MANIFEST).read_text())
    photographs.write(files={**content["files"], **entry})
    assert kinds(check_release(photographs.output)) == {"manifest"}


@pytest.mark.parametrize("extra", ["plan", "seed", "cases", "secret"])
def test_a_manifest_that_says_too_much(photographs: ReleaseFolder, extra: str) -> None:
    photographs.write(**{extra: 0})
    assert where(check_release(photographs.output), "private") == [f"{MANIFEST} ({extra})"]


def test_the_seal(photographs: ReleaseFolder, tmp_path: Path) -> None:
    content = json.loads((photographs.output / MANIFEST).read_text())
    content["hmac"] = "1" * 64
    (photographs.output / MANIFEST).write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    check = check_release(photographs.output)
    assert kinds(check) == {"seal"} and "changed since it was sealed" in check.summary()
    photographs.private.rename(tmp_path / "elsewhere")
    unchecked = check_release(photographs.output)
    assert unchecked.ok and "seal was not checked" in unchecked.summary()
    assert kinds(check_release(photographs.output, key=tmp_path / "elsewhere/release.key")) == {"seal"}
    check = check_release(photographs.output, key=Key(bytes(32)))
    assert kinds(check) == {"seal"} and f"got {Key(bytes(32)).digest()}" in check.summary()


def test_a_key_that_others_may_read(photographs: ReleaseFolder) -> None:
    os.chmod(photographs.private / "release.key", 0o644)
    check = check_release(photographs.output)
    assert kinds(check) == {"key-file"} and "chmod 600" in check.summary()
    with pytest.raises(InputError, match="chmod 600"):
        check_release(photographs.output, key=photographs.private / "release.key")


def leaks(made: ReleaseFolder, name: str, content: bytes) -> None:
    """A listed file of the given content is found to hold originals, and only when these are given."""
    (made.output / name).parent.mkdir(exist_ok=True, parents=True)
    (made.output / name).write_bytes(content)
    made.write()
    check = check_release(made.output, original=made.source)
    assert {place.startswith(name) for place in where(check, "original")} == {True}, check.summary()
    assert not where(check_release(made.output), "original")


def volume_bytes(values: np.ndarray) -> bytes:
    data: bytes = nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
    return data


def one_page(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels)
    return stream.getvalue()


def an_array(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


FORMS: dict[str, Callable[[np.ndarray], bytes]] = {
    "another volume type": lambda values: volume_bytes(values.astype(np.float64)),
    "turned volume": lambda values: volume_bytes(np.ascontiguousarray(values.transpose(2, 1, 0)[::-1])),
    "gzipped volume": lambda values: gzip.compress(volume_bytes(values), mtime=0),
    "some slices": lambda values: volume_bytes(values[:, :, 3:5]),
    "one slice as 16-bit PNG": lambda values: png_of(values[:, :, 3].T.astype(np.uint16)),
    "one slice of another direction": lambda values: one_page(values[5].astype(np.uint16)),
    "array": lambda values: an_array(values[:, :, 3].astype(np.float32)),
    "zip": lambda values: _zipped("a/b.nii", volume_bytes(values)),
    "zip in a zip": lambda values: _zipped("a.zip", _zipped("b.png", png_of(values[:, :, 3].astype(np.uint16)))),
    "behind another picture": lambda v: png_of(np.zeros((4, 4), np.uint8)) + png_of(v[:, :, 3].astype(np.uint16)),
    "in a page": lambda v: (
        b'<html><img src="data:image/png;base64,%s">' % base64.b64encode(png_of(v[:, :, 3].astype(np.uint16)))
    ),
    "second page": lambda values: _pages(np.zeros((5, 5), np.uint16), values[:, :, 3].astype(np.uint16)),
}


def _zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, content)
    return stream.getvalue()


def _pages(*pages: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for page in pages:
            writer.write(page, metadata=None)
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["extra.bin", "imagesTr/case_9.nii.gz"])
def test_originals_under_any_name_in_any_form(
    volumes: ReleaseFolder, form: Callable[[np.ndarray], bytes], name: str
) -> None:
    leaks(volumes, name, form(original(volumes)))


def test_the_very_bytes_of_an_original(volumes: ReleaseFolder) -> None:
    leaks(volumes, "extra.bin", (volumes.source / "imagesTr/case_0.nii.gz").read_bytes())


def test_a_channel_of_a_picture_but_not_one_that_the_release_leaves(photographs: ReleaseFolder) -> None:
    pixels = np.asarray(Image.open(photographs.source / "images/photo_0.png"))
    leaks(photographs, "thumb.png", png_of(np.ascontiguousarray(np.rot90(pixels[..., 0]))))
    (photographs.output / "thumb.png").write_bytes(png_of(pixels[..., 2]))  # blue: published in the protected picture
    photographs.write()
    assert check_release(photographs.output, original=photographs.source).ok


def test_an_image_that_is_not_protected(volumes: ReleaseFolder) -> None:
    path = volumes.output / "imagesTr/case_0.nii.gz"
    save_volume(path, original(volumes).astype(np.float32))  # other bytes, the same voxels
    volumes.write()
    check = check_release(volumes.output, original=volumes.source)
    assert kinds(check) == {"unchanged"} and "imagesTr/case_0.nii.gz: 100% of the slices" in check.summary()


def test_the_original_of_another_case(volumes: ReleaseFolder) -> None:
    save_volume(volumes.output / "imagesTr/case_0.nii.gz", original(volumes, "imagesTr/case_1.nii.gz").astype(np.int32))
    volumes.write()
    assert where(check_release(volumes.output, original=volumes.source), "original") == ["imagesTr/case_0.nii.gz"]


def test_a_few_restored_slices_are_a_warning(volumes: ReleaseFolder) -> None:
    path = volumes.output / "imagesTr/case_0.nii.gz"
    values = np.asarray(nibabel.load(path).dataobj).copy()
    values[:, :, 2] = original(volumes)[:, :, 2]
    save_volume(path, values)
    volumes.write()
    check = check_release(volumes.output, original=volumes.source)
    assert check.ok and where(check, "partly-unchanged") == ["imagesTr/case_0.nii.gz"]


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_an_image_that_was_restored_but_for_a_few_values_of_every_slice(volumes: ReleaseFolder, kind: type) -> None:
    name = "imagesTr/case_0.nii.gz"
    before, labels = original(volumes).astype(kind), np.asarray(nibabel.load(volumes.source / LABEL).dataobj) > 0
    save_volume(volumes.source / name, before)
    for every, wanted in ((1, set()), (3, set()), (7, {"restored"}), (11, {"restored"})):
        kept = labels & (np.arange(labels.size).reshape(labels.shape) % every == 0)
        save_volume(volumes.output / name, before + (3 * kept).astype(kind))
        volumes.write()
        check = check_release(volumes.output, original=volumes.source)
        assert kinds(check) == wanted, check.summary()
        if wanted:
            assert f"labelled values of class 1 to have moved, got {kept.sum()} of" in check.summary()


def test_a_picture_that_was_restored_but_for_one_value_or_inside_the_label(photographs: ReleaseFolder) -> None:
    path, name = photographs.output / "images/photo_0.png", "images/photo_0.png"
    pixels = np.asarray(Image.open(photographs.source / name))
    for place in ((6, 7), (4, 6)):
        changed = pixels.copy()
        changed[place] += 3
        path.write_bytes(png_of(changed))
        photographs.write()
        check = check_release(photographs.output, original=photographs.source)
        assert where(check, "restored") == [name] and kinds(check) == {"restored"}
    assert "restored" not in kinds(check_release(photographs.output))


def test_a_narrow_window_and_a_bound_of_one_step_are_no_restored_image(volumes: ReleaseFolder) -> None:
    """What could move is what lies between the values that did; one step leaves much where it is."""
    name, before = "imagesTr/case_0.nii.gz", np.random.default_rng(5).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    labels = np.zeros(before.shape, bool)
    labels[4:14, 4:14, 4:14] = True
    save_volume(volumes.source / name, before)
    for folder in (volumes.source, volumes.output):
        save_volume(folder / LABEL, labels.astype(np.uint8))
    window = labels & (before > 100) & (before < 250)
    few = labels & (np.arange(labels.size).reshape(labels.shape) % 13 == 0)
    assert 32 < few.sum() < window.sum() < 0.2 * labels.sum()
    for changed, step in ((window, 3), (few, 1)):
        save_volume(volumes.output / name, (before + step * changed).astype(before.dtype))
        volumes.write()
        check = check_release(volumes.output, original=volumes.source)
        assert "restored" not in kinds(check), check.summary()


def test_a_labelled_image_that_is_called_unprotected(volumes: ReleaseFolder) -> None:
    name = "imagesTr/case_0.nii.gz"
    (volumes.output / name).write_bytes((volumes.source / name).read_bytes())
    volumes.write()
    content = json.loads((volumes.output / MANIFEST).read_text())
    content["files"][name]["what"] = "unprotected image"
    volumes.write(files=content["files"])
    check = check_release(volumes.output, original=volumes.source)
    assert kinds(check) == {"unprotected"} and where(check, "unprotected-note") == ["imagesTr/empty.nii.gz"]


def test_an_original_that_cannot_be_read_is_told_by_its_bytes(volumes: ReleaseFolder) -> None:
    (volumes.source / "labelsTr/case_0.nii.gz").write_bytes(b"damaged")
    data = (volumes.source / "imagesTr/case_0.nii.gz").read_bytes()
    (volumes.output / "extra.bin").write_bytes(data)
    volumes.write()
    check = check_release(volumes.output, original=volumes.source)
    assert where(check, "original") == ["extra.bin"]
    assert where(check, "unreadable-original") == ["imagesTr/case_0.nii.gz"]


TEXTS = {
    "descrip": ("nifti.descrip", {"descrip": "Roe^Jane"}),
    "aux_file": ("nifti.aux_file", {"aux_file": "roe_jane.lut"}),
    "db_name": ("nifti.db_name", {"db_name": "Roe^Jane"}),
    "intent_name": ("nifti.intent_name", {"intent_name": "Jane"}),
}


@pytest.mark.parametrize(("field", "given_fields"), TEXTS.values(), ids=TEXTS)
def test_names_in_nifti_headers(tmp_path: Path, field: str, given_fields: dict[str, str]) -> None:
    made = make_volumes(tmp_path, **given_fields)
    check = check_release(made.output, original=made.source)
    [text] = given_fields.values()
    assert kinds(check) == {"text"} and len(where(check, "text")) == 3
    line = check.lines("problem")[0]
    assert f"{field} in 3 files, such as imagesTr/case_0.nii.gz: '{text}'" in line and "--accept-text FIELD" in line
    accepted = check_release(made.output, accept=[field])
    assert accepted.ok and len(where(accepted, "accepted-text")) == 3


def test_what_programs_write_is_a_note(tmp_path: Path) -> None:
    made = make_volumes(tmp_path, descrip="FSL5.0", aux_file="none")
    check = check_release(made.output)
    assert check.ok and len(where(check, "known-text")) == 6


def with_text(kind: str) -> bytes:
    pixels = np.random.default_rng(5).integers(0, 255, (8, 9)).astype(np.uint8)
    info, exif, stream = PngImagePlugin.PngInfo(), Image.Exif(), io.BytesIO()
    info.add_text("Author", "Jane Roe")
    exif[0x013B] = "Jane Roe"
    if kind == "png":
        return png_of(pixels, pnginfo=info)
    if kind == "png exif":
        return png_of(pixels, exif=exif)
    if kind == "jpeg":
        Image.fromarray(pixels).save(stream, "JPEG", comment=b"Jane Roe")
    else:
        options = {
            "description": {"description": "Jane Roe"},
            "OME": {"description": '<OME><Experimenter LastName="Roe"/></OME>'},
        }
        host = {"extratags": [(316, 2, 9, "Jane-Roe", True)], "software": False}
        tifffile.imwrite(stream, pixels, metadata=None, **options.get(kind, host))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("png", "png.tEXt.Author"),
        ("png exif", "exif.Artist"),
        ("jpeg", "jpeg.comment"),
        ("description", "tiff.ImageDescription"),
        ("OME", "tiff.OME-XML.Experimenter.LastName"),
        ("host", "tiff.HostComputer"),
    ],
)
def test_names_in_pictures(photographs: ReleaseFolder, kind: str, field: str) -> None:
    (photographs.output / "images/photo_9.bin").write_bytes(with_text(kind))
    photographs.write()
    problems = check_release(photographs.output).problems
    assert [(one.kind, one.what.partition(" = ")[0]) for one in problems] == [("text", field)]
    assert check_release(photographs.output, accept=[field]).ok


def gzip_named(data: bytes, name: str) -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=stream, mtime=0) as file:
        file.write(data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "problem"),
    [("case_0.nii", False), ("case_0.nii.gz", False), ("roe_jane.nii", True), ("x/case_0.nii", True)],
)
def test_names_in_gzip_headers(volumes: ReleaseFolder, name: str, problem: bool) -> None:
    path = volumes.output / "imagesTr/case_0.nii.gz"
    data = gzip.decompress(path.read_bytes())
    raw = gzip_named(data, "PLACEHOLDER").replace(b"PLACEHOLDER", name.encode())  # GzipFile takes folders off
    path.write_bytes(raw)
    volumes.write()
    check = check_release(volumes.output)
    assert kinds(check) == ({"gzip-header"} if problem else set())
    assert bool(where(check, "own-name")) is not problem
    with pytest.raises(ConfigError, match="--accept-text gzip.name"):
        check_release(volumes.output, accept=["gzip.name"])


@pytest.mark.parametrize(
    "page", ["<img src=x>", '<p style="background: url(a.png)">', "<svg></svg>", "data:image/png;base64,AA=="]
)
def test_the_public_page_holds_no_picture(photographs: ReleaseFolder, page: str) -> None:
    (photographs.output / "umed/about.html").write_text(f"<!doctype html>{page}")
    photographs.write()
    assert where(check_release(photographs.output), "picture") == ["umed/about.html"]


def test_a_policy_on_pictures_is_none(photographs: ReleaseFolder) -> None:
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src x">'
    (photographs.output / "umed/about.html").write_text(f"<!doctype html>{policy}")
    photographs.write()
    assert kinds(check_release(photographs.output)) == {"page"}


def unsealed(made: ReleaseFolder, **changes: object) -> ReleaseCheck:
    """The check of somebody without the key, after a forger changed the manifest and made it fit the files."""
    shutil.rmtree(made.private, ignore_errors=True)
    made.write(**changes)
    return check_release(made.output, original=made.source)


def test_an_edited_public_page(photographs: ReleaseFolder) -> None:
    page = photographs.output / ABOUT
    page.write_text(page.read_text().replace("</body>", "<!-- Erika Muster --></body>"))
    assert kinds(unsealed(photographs)) == {"page"}
    page.unlink()
    assert where(unsealed(photographs), "page") == [ABOUT]


def test_a_page_of_another_version_counts_only_under_the_seal(photographs: ReleaseFolder) -> None:
    page = photographs.output / ABOUT
    page.write_text(page.read_text().replace(__version__, "9.9.9") + "<!-- hidden -->")
    photographs.write(umed_version="9.9.9")
    assert check_release(photographs.output).ok  # the key vouches for its bytes
    check = unsealed(photographs, umed_version="9.9.9")
    assert kinds(check) == {"page"} and "cannot be compared" in check.summary()


@pytest.mark.parametrize(
    "change",
    [
        {"notice": "Erika Muster"},
        {"layout": "Erika Muster"},
        {"labels": "Erika Muster"},
        {"labels": 4711},
        {"umed_version": "Erika Muster"},
        {"bound": {"epsilon": 4 / 255, "text": "Erika Muster"}},
        {"bound": {"epsilon": 4 / 255, "text": bound_text(PLAN), "more": "Erika Muster"}},
        {"bound": {"epsilon": float("nan"), "text": bound_text(PLAN)}},
        {"bound": [1]},
        {"key": "Erika Muster"},
    ],
)
def test_a_manifest_whose_fields_say_something_else(photographs: ReleaseFolder, change: dict[str, object]) -> None:
    assert "manifest" in kinds(unsealed(photographs, **change))


def test_bytes_around_the_manifest_and_in_its_entries(photographs: ReleaseFolder) -> None:
    path = photographs.output / MANIFEST
    whole = path.read_text()
    path.write_text(whole.replace("{", '{"notice": "Erika Muster", ', 1))  # the second counts
    assert "manifest" in kinds(check_release(photographs.output))
    files = json.loads(whole)["files"]
    files["images/photo_0.png"]["more"] = "Erika Muster"
    assert "manifest" in kinds(unsealed(photographs, files=files))


@pytest.mark.parametrize("weak", [None, 1 / 255, 0.0123456, 1 / 300, 0.002])
def test_a_bound_over_the_whole_image(photographs: ReleaseFolder, weak: float | None) -> None:
    plan = {**PLAN, "support": "full", "epsilon_background": weak}
    facts = {"files": photographs.files(), "umed_version": __version__, "plan": plan}
    (photographs.output / ABOUT).write_text(render_about(facts))
    assert unsealed(photographs, bound={"epsilon": PLAN["epsilon"], "text": bound_text(plan)}).ok


def test_bytes_behind_the_end_of_a_picture(photographs: ReleaseFolder) -> None:
    path = photographs.output / "images/photo_0.png"
    path.write_bytes(path.read_bytes() + bytes(range(1, 200)))
    photographs.write()
    check = check_release(photographs.output)
    assert where(check, "hidden-data") == ["images/photo_0.png (bytes after IEND)"]


@pytest.mark.parametrize("tail", [b"Jane Roe was here", bytes(range(128, 255))])
def test_data_behind_voxels_and_behind_gzip(volumes: ReleaseFolder, tail: bytes) -> None:
    path = volumes.output / "labelsTr/case_0.nii.gz"
    whole = path.read_bytes()
    for data in (whole + tail, gzip.compress(gzip.decompress(whole) + tail, mtime=0)):
        path.write_bytes(data)
        volumes.write()
        assert len(where(check_release(volumes.output), "hidden-data")) == 1


def test_a_few_bytes_that_say_nothing_are_a_warning(photographs: ReleaseFolder) -> None:
    path = photographs.output / "images/photo_0.png"
    path.write_bytes(path.read_bytes() + b"\1\2\3\n")
    photographs.write()
    check = check_release(photographs.output)
    assert check.ok and where(check, "small-data") == ["images/photo_0.png (bytes after IEND)"]


@pytest.mark.parametrize("what", ["bomb", "encrypted", "7z", "nested", "cut", "declared"])
def test_archives_and_images_that_cannot_be_looked_into(
    photographs: ReleaseFolder, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    data = {
        "bomb": lambda: gzip.compress(bytes(1 << 20), mtime=0),
        "encrypted": lambda: _zipped("a", b"abc").replace(b"\x14\0\0\0\x08", b"\x14\0\1\0\x08"),
        "7z": lambda: b"7z\xbc\xaf\x27\x1c" + bytes(40),
        "nested": lambda: _nest(12),
        "cut": lambda: _zipped("a", bytes(range(250)) * 9)[:-40],
        "declared": lambda: _declared(),
    }[what]()
    monkeypatch.setattr("umed.data.unpacking.Allowance.__init__.__defaults__", (1 << 19, 100), raising=False)
    (photographs.output / "thing.bin").write_bytes(data)
    photographs.write()
    check = check_release(photographs.output)
    assert where(check, "damaged")[0].startswith("thing.bin") and check.exit_code == 1


def _nest(depth: int) -> bytes:
    data = b"text"
    for _ in range(depth):
        data = gzip.compress(data, mtime=0)
        data = _zipped("inner", data)
    return data


def _declared() -> bytes:
    head = bytearray(volume_bytes(np.zeros((2, 2, 2), np.int16)))
    struct.pack_into("<8h", head, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    return bytes(head)


def test_names_that_a_terminal_should_not_see(photographs: ReleaseFolder) -> None:
    (photographs.output / "a\x1b[31m.txt").write_bytes(b"x")
    Path(os.fsdecode(bytes(photographs.output) + b"/\xff.txt")).write_bytes(b"x")
    check = check_release(photographs.output)
    assert where(check, "unlisted") == ["\\udcff.txt", "a\\x1b[31m.txt"] and "\x1b" not in check.summary()
    json.dumps(check.to_dict())


def test_anybody_may_write(photographs: ReleaseFolder) -> None:
    os.chmod(photographs.output / "images/photo_0.png", 0o666)
    check = check_release(photographs.output)
    assert check.ok and where(check, "writable") == ["images/photo_0.png"]


def test_bad_arguments(tmp_path: Path, photographs: ReleaseFolder) -> None:
    with pytest.raises(InputError, match="expected a folder that umed protect wrote"):
        check_release(tmp_path / "nowhere")
    with pytest.raises(InputError, match="expected the private folder"):
        check_release(photographs.output, private=tmp_path / "nowhere")
    with pytest.raises(InputError, match="expected the folder of a data set"):
        check_release(photographs.output, original=tmp_path / "nowhere")


def test_one_line_a_kind_with_a_count_and_three_examples() -> None:
    many = make_check("out", 9, [ReleaseFinding("unlisted", f"file_{n}") for n in range(9)])
    [line] = many.lines("problem")
    assert line.startswith("9 file(s)") and "file_2; and 6 more" in line and "file_3" not in line
    assert set(KINDS) >= {one.kind for one in many.findings}


def test_the_command(photographs: ReleaseFolder, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check-release", str(photographs.output), "--original", str(photographs.source)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    (photographs.output / "notes.txt").write_text("x")
    assert main(words) == 1
    assert "1 file(s) that the manifest does not list" in capsys.readouterr().out
    assert main(["check-release", str(photographs.output), "--accept-text", "descrip"]) == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["images/photo_0.png", "masks/photo_1.png", MANIFEST, "umed/about.html", "new.nii.gz", "new.dcm"]),
    st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"II*\0", b"{", bytes(128) + b"DICM", b"\x89PNG\r\n\x1a\n"]),
    st.binary(max_size=200),
)
def test_random_bytes_in_any_place(photographs: ReleaseFolder, name: str, head: bytes, tail: bytes) -> None:
    path = photographs.output / name
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(head + tail)
    try:
        assert check_release(photographs.output, original=photographs.source).exit_code == 1
    finally:
        path.unlink() if before is None else path.write_bytes(before)


def test_a_mistyped_folder_of_originals_is_no_comparison(tmp_path: Path) -> None:
    from umed.data.phantom import make_phantom
    from umed.protect.run import protect

    one, two = (make_phantom(tmp_path / name, cases=1, size=(24, 24, 16), seed=n) for n, name in enumerate(("a", "b")))
    for folder in ("imagesTr", "labelsTr"):
        (two / folder / "phantom_000.nii.gz").rename(two / folder / "else.nii.gz")
    (two / "dataset.json").write_text((two / "dataset.json").read_text().replace("phantom_000", "else"))
    protect(one, tmp_path / "out", method="random", report=False)
    assert check_release(tmp_path / "out", original=one).ok
    found = check_release(tmp_path / "out", original=two)
    assert {finding.kind for finding in found.problems} == {"no-original"}


def test_a_release_without_an_image_is_none(tmp_path: Path) -> None:
    from umed.data.phantom import make_phantom
    from umed.protect.run import protect

    protect(make_phantom(tmp_path / "a", cases=1, size=(24, 24, 16)), tmp_path / "out", method="random", epsilon=1e-4)
    assert "no-image" in {finding.kind for finding in check_release(tmp_path / "out").problems}
