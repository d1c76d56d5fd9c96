# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.itk_files import ENDINGS, META, head_of, metaimage, nrrd, save, simpleitk
from umed.core.errors import GeometryError, InputError
from umed.core.mask_rules import MaskRules
from umed.data import files, formats
from umed.data.container import container_difference
from umed.data.masks import label_ending, read_label, write_label

RNG = np.random.default_rng(0)


def without_size(head: bytes) -> bytes:
    return re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = N", head)


def changed(volume):
    """One value moved."""
    new = volume.stored.copy(order="K")
    new[(1,) * new.ndim] += 1
    return new


def round_trip(path: Path, out: Path):
    """Read, change, write, read again; everything that must hold of any file."""
    volume = formats.read(path)
    assert not volume.stored.flags.writeable
    new = changed(volume)
    out.mkdir()
    formats.write(volume, new, out / path.name)
    back = formats.read(out / path.name)
    assert back.stored.dtype == volume.stored.dtype and np.array_equal(back.stored, new)
    assert without_size(head_of(out / path.name)) == without_size(head_of(path))
    assert formats.header_difference(volume, back) == "" and container_difference(volume, back) == ""
    names = sorted(one.name for one in out.iterdir())
    assert names == sorted([path.name, *formats.companions(path)])
    first = [(out / name).read_bytes() for name in names]
    formats.write(volume, new, out / path.name)
    assert [(out / name).read_bytes() for name in names] == first
    return volume, back


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["mha", "mhd", "nrrd", "nhdr"]),
    dtype=st.sampled_from(sorted(META)),
    shape=st.lists(st.integers(2, 4), min_size=2, max_size=4),
    components=st.sampled_from([0, 0, 2, 3, 4]),
    packed=st.sampled_from(["raw", "zlib", "gzip", "bzip2"]),
    big=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_any_file_is_what_simpleitk_reads_and_keeps_its_header(kind, dtype, shape, components, packed, big, newline):
    shape = shape[:3] if components else shape
    whole = (components, *shape) if components else tuple(shape)
    array = RNG.integers(0, 100, whole).astype(dtype)
    make = metaimage if kind in ("mha", "mhd") else nrrd
    if make is metaimage:
        packed = "gzip" if packed == "bzip2" else packed
    else:
        packed = "gzip" if packed == "zlib" else packed
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        data_file = "voxels.bin" if kind in ("mhd", "nhdr") else ""
        make(path, array, packing=packed, vector=bool(components), big=big, data_file=data_file, newline=newline)
        volume, _ = round_trip(path, Path(folder) / "out")
        expected = np.moveaxis(array, 0, -1) if components else array
        assert np.array_equal(volume.stored, expected)
        assert volume.channels_last == (components > 0 or len(shape) == 4)
        order = ">" if big and volume.stored.itemsize > 1 else "<" if volume.stored.itemsize > 1 else "|"
        assert volume.encoding.dtype == order + dtype
        if packed != "bzip2":
            for one in (path, Path(folder) / "out" / path.name):
                assert np.array_equal(simpleitk(one), formats.read(one).stored)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("compress", [False, True])
def test_what_simpleitk_writes(tmp_path, ending, compress):
    path = tmp_path / f"a{ending}"
    image = save(RNG.integers(-500, 500, (5, 6, 7)).astype(np.int16), path, compress=compress)
    volume, back = round_trip(path, tmp_path / "out")
    assert volume.spacing == (0.9, 1.1, 2.0) and volume.unit == "mm"
    there = tmp_path / "out" / path.name
    again = SimpleITK.ReadImage(str(there))
    for get in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize", "GetPixelIDTypeAsString"):
        assert getattr(again, get)() == getattr(image, get)()
    assert bool(volume.beside) == (ending in (".mhd", ".nhdr"))
    assert back.beside == tuple((name, files.sha256(there.with_name(name))) for name, _ in volume.beside)
    assert back.sha256 == files.sha256(there)


def test_only_the_number_of_packed_bytes_changes(tmp_path):
    path = tmp_path / "a.mha"
    save(RNG.integers(0, 9, (5, 60, 70)).astype(np.int16), path, compress=True)
    round_trip(path, tmp_path / "out")
    before, after = head_of(path).split(b"\n"), head_of(tmp_path / "out" / "a.mha").split(b"\n")
    differ = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(differ) == 1
    there = int(differ[0][1].removeprefix(b"CompressedDataSize = "))
    assert there == len((tmp_path / "out" / "a.mha").read_bytes()) - len(head_of(tmp_path / "out" / "a.mha"))


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr"])
def test_a_list_axis_anywhere(tmp_path, ending):
    array = RNG.integers(0, 100, (4, 5, 3, 2)).astype(np.int16)
    path = tmp_path / f"a{ending}"
    changes = {
        "space dimension": None,
        "space": "left-posterior-superior",
        "space directions": "(1,0,0) (0,1,0) (0,0,2) none",
        "kinds": "domain domain domain list",
    }
    nrrd(path, array, changes=changes, data_file="a.raw" if ending == ".nhdr" else "")
    volume, _ = round_trip(path, tmp_path / "out")
    assert np.array_equal(volume.stored, array) and volume.channels_last and volume.spacing == (1.0, 1.0, 2.0)


def test_a_fourth_axis_of_one_is_left_out(tmp_path):
    array = RNG.integers(0, 100, (4, 5, 3, 1)).astype(np.uint8)
    volume, _ = round_trip(metaimage(tmp_path / "a.mha", array), tmp_path / "out")
    assert volume.spatial_shape == (4, 5, 3) and not volume.channels_last
    many = RNG.integers(0, 100, (3, 4, 5, 3, 1)).astype(np.uint8)
    volume, _ = round_trip(metaimage(tmp_path / "b.mha", many, vector=True), tmp_path / "out2")
    assert volume.stored.shape == (4, 5, 3, 3)


def test_comments_keys_and_bytes_behind_the_voxels_stay(tmp_path):
    lines = ["# made by hand", "key:=value: with = signs", "0010|0010:=Doe^Jane"]
    path = nrrd(tmp_path / "a.nrrd", RNG.integers(0, 9, (4, 5, 6)).astype(np.int16), lines=lines)
    path.write_bytes(path.read_bytes() + b"tail")
    round_trip(path, tmp_path / "out")
    assert (tmp_path / "out" / "a.nrrd").read_bytes().endswith(b"tail")


@pytest.mark.parametrize(("space", "sign"), [("left-posterior-superior", -1), ("right-anterior-superior", 1)])
def test_the_affine_is_that_of_nifti(tmp_path, space, sign):
    changes = {
        "space dimension": None,
        "space": space,
        "space directions": "(0,2,0) (3,0,0) (0,0,-4)",
        "space origin": "(5,6,7)",
    }
    path = nrrd(tmp_path / "a.nrrd", np.zeros((4, 5, 6), np.uint8), changes=changes)
    affine = formats.read(path).header.affine
    expected = np.array([[0, 3 * sign, 0, 5 * sign], [2 * sign, 0, 0, 6 * sign], [0, 0, -4, 7], [0, 0, 0, 1]])
    assert np.allclose(affine, expected)


def test_units_and_missing_sizes(tmp_path):
    array = np.zeros((4, 5, 6), np.uint8)
    micro = nrrd(tmp_path / "um.nrrd", array, lines=['space units: "um" "um" "um"'])
    assert formats.read(micro).spacing == pytest.approx((0.0005, 0.001, 0.002))
    bare = nrrd(tmp_path / "b.nrrd", array, changes={"space dimension": None, "space directions": None})
    volume = formats.read(bare)
    assert volume.unit == "px" and volume.spacing == (1.0, 1.0, 1.0) and volume.header.affine is None
    changes = {"ElementSpacing": None, "TransformMatrix": None, "Offset": None}
    bare = formats.read(metaimage(tmp_path / "c.mha", array, changes=changes))
    assert bare.unit == "px" and bare.header.affine is None


@pytest.mark.parametrize("ending", ENDINGS)
def test_masks_of_other_formats_are_compared_with_the_grid(tmp_path, ending):
    """ITK counts x and y the other way round than NIfTI: a mask that NIfTI holds must lie right on an ITK image."""
    array = RNG.integers(0, 100, (5, 6, 7)).astype(np.int16)
    save(array, tmp_path / f"image{ending}", compress=True)
    labels = np.zeros(array.shape, np.uint8)
    labels[2, 3, 1:4] = 2
    image = save(labels, tmp_path / f"label{ending}", compress=False)
    SimpleITK.WriteImage(image, str(tmp_path / "label.nii.gz"))
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / f"image{ending}")), str(tmp_path / "image.nii.gz"))
    for left in (f"image{ending}", "image.nii.gz"):
        volume = formats.read(tmp_path / left)
        for right in (f"label{ending}", "label.nii.gz"):
            assert np.array_equal(read_label(tmp_path / right, volume), labels.T)
    image.SetOrigin((10.0, 5.0, 30.0))
    SimpleITK.WriteImage(image, str(tmp_path / f"away{ending}"))
    with pytest.raises(GeometryError, match="corners lie 20 mm apart"):
        read_label(tmp_path / f"away{ending}", formats.read(tmp_path / "image.nii.gz"))


@pytest.mark.parametrize("ending", [*ENDINGS, ".nii.gz"])
def test_a_mask_is_written_for_an_image(tmp_path, ending):
    save(RNG.integers(0, 100, (5, 6, 7)).astype(np.int16), tmp_path / f"image{ending}", compress=True)
    volume = formats.read(tmp_path / f"image{ending}")
    labels = np.zeros(volume.spatial_shape, np.uint8)
    labels[1:4, 2, 2] = 3
    kind = label_ending(volume)
    assert kind == {".mhd": ".mha", ".nhdr": ".nrrd"}.get(ending, ending)
    for name in ("one", "two"):
        write_label(volume, labels, tmp_path / f"{name}{kind}")
    assert (tmp_path / f"one{kind}").read_bytes() == (tmp_path / f"two{kind}").read_bytes()
    written, source = SimpleITK.ReadImage(str(tmp_path / f"one{kind}")), SimpleITK.ReadImage(str(volume.source))
    assert np.allclose(written.GetDirection(), source.GetDirection())
    assert np.allclose(written.GetOrigin(), source.GetOrigin())
    assert written.GetPixelID() == SimpleITK.sitkUInt8


def test_a_picture_and_a_mask_of_simpleitk_have_their_axes_the_right_way_round(tmp_path):
    pixels = RNG.integers(0, 200, (6, 8)).astype(np.uint8)
    labels = np.zeros((6, 8), np.uint8)
    labels[1, 2:7] = 1
    for name, array in (("image", pixels), ("label", labels)):
        for ending in (".png", ".mha"):
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(tmp_path / f"{name}{ending}"))
    assert np.array_equal(read_label(tmp_path / "label.mha", formats.read(tmp_path / "image.png")), labels)
    assert np.array_equal(read_label(tmp_path / "label.png", formats.read(tmp_path / "image.mha")), labels.T)
    assert np.array_equal(read_label(tmp_path / "label.mha", formats.read(tmp_path / "image.mha")), labels.T)


def segmentation(path, array, lines):
    changes = {"kinds": "list domain domain domain"} if array.ndim == 4 else {}
    return nrrd(path, array, vector=array.ndim == 4, changes=changes, packing="gzip", lines=lines)


def test_a_segmentation_of_slicer_is_read_where_it_is_one_map(tmp_path):
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, 2, 3], array[2, 2, 3] = 1, 4
    lines = [f"Segment{i}_{key}:={value}" for i in (0, 1) for key, value in (("LabelValue", 1 + 3 * i), ("Layer", 0))]
    path = segmentation(tmp_path / "a.seg.nrrd", array, lines)
    assert formats.ending(path) == ".seg.nrrd"
    assert np.array_equal(read_label(path, formats.read(path), MaskRules(background=(0,))), array)
    layers = np.zeros((2, 4, 5, 6), np.uint8)
    for name, content, keys in (
        (
            "layers",
            layers,
            ["Segment0_LabelValue:=1", "Segment0_Layer:=0", "Segment1_LabelValue:=1", "Segment1_Layer:=1"],
        ),
        ("old", array, ["Segment0_Name:=tumour"]),
    ):
        with pytest.raises(
            InputError, match=r"expected a segmentation of one layer.*Export it from 3D Slicer as a label"
        ):
            formats.read(segmentation(tmp_path / f"{name}.seg.nrrd", content, keys))


def test_a_label_of_several_components_names_the_cure(tmp_path):
    path = metaimage(tmp_path / "a.mha", np.zeros((5, 4, 5, 6), np.uint8), vector=True)
    image = formats.read(metaimage(tmp_path / "b.mha", np.zeros((4, 5, 6), np.uint8)))
    with pytest.raises(InputError, match="Merge the classes into one map"):
        read_label(path, image)


def test_the_data_file_of_a_long_header_is_known(tmp_path):
    lines = [f"key{number}:=value" for number in range(9000)]
    path = nrrd(tmp_path / "a.nhdr", np.zeros((4, 5, 6), np.uint8), data_file="a.raw")
    path.write_bytes(path.read_bytes().replace(b"data file", "\n".join([*lines, "data file"]).encode()))
    assert formats.companions(path) == ("a.raw",) and formats.read(path).beside[0][0] == "a.raw"


def test_another_format_is_not_written(tmp_path):
    volume = formats.read(metaimage(tmp_path / "a.mha", np.zeros((4, 5, 6), np.uint8)))
    for name in ("b.nrrd", "b.mhd", "b.nii.gz"):
        with pytest.raises(InputError, match="expected an ending of the same kind"):
            formats.write(volume, volume.stored, tmp_path / name)


def test_nothing_can_hide_beside_the_values(tmp_path):
    path = tmp_path / "a.nrrd"
    save(RNG.integers(0, 9, (5, 30, 30)).astype(np.int16), path, compress=True)
    volume, written = round_trip(path, tmp_path / "out")
    there = tmp_path / "out" / "a.nrrd"
    head, data = head_of(there), there.read_bytes()[len(head_of(there)) :]
    named = data[:3] + b"\x08" + data[4:10] + b"Jane\0" + data[10:]
    for body, word in ((named, "a gzip header with a name"), (data + b"more", "after the voxels")):
        there.write_bytes(head + body)
        back = formats.read(there)
        assert word in (formats.header_difference(volume, back) or container_difference(volume, back))
    there.write_bytes(head.replace(b"kinds: domain", b"kinds: space"))
    with pytest.raises(InputError):
        formats.read(there)
    there.write_bytes(head.replace(b"kinds: domain", b"kinds:  space") + data)
    assert "a difference at byte" in formats.header_difference(volume, formats.read(there))


@pytest.mark.parametrize("name", ["a.gipl", "a.gipl.gz", "a.hdr", "a.img", "a.img.gz"])
def test_formats_that_are_known_but_not_read_name_the_cure(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert formats.looks_like_image(tmp_path / name)
    with pytest.raises(InputError, match=r"convert .* to \.nii\.gz"):
        formats.read(tmp_path / name)


def test_nibabel_agrees_on_what_simpleitk_converts(tmp_path):
    array = RNG.integers(0, 100, (5, 6, 7)).astype(np.int16)
    image = save(array, tmp_path / "a.nrrd", compress=True)
    SimpleITK.WriteImage(image, str(tmp_path / "a.nii.gz"))
    volume, other = formats.read(tmp_path / "a.nrrd"), nibabel.load(tmp_path / "a.nii.gz")
    assert np.array_equal(volume.stored, np.asanyarray(other.dataobj))
    assert np.allclose(volume.header.affine, other.affine, atol=1e-5)
