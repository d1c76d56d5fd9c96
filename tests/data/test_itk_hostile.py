# SPDX-License-Identifier: Apache-2.0
"""Headers that lie, files that are cut short, names that lead elsewhere: one line with the cure, and no memory."""

from __future__ import annotations

import bz2
import os
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.itk_files import metaimage, nrrd, save
from umed.core.errors import InputError, UmedError
from umed.data import formats, itk, planes
from umed.data.pieces import pieces
from umed.data.side_data import side_data

CUBE = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def refused(path, match, *, most_memory=8 << 20, most_seconds=2.0):
    """Refused in one line, at once, without memory for what the header declares."""
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(InputError, match=match) as caught:
        formats.read(path)
    assert time.monotonic() - start < most_seconds
    assert tracemalloc.get_traced_memory()[1] < most_memory
    tracemalloc.stop()
    text = str(caught.value)
    assert "\n" not in text and "0x" not in text and text.startswith(f"{path}: ") and "/SimpleITK" not in text
    assert text.count(str(path.parent)) == 1, "folders of this machine beyond the file itself"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"DimSize": "60000 60000 60000"}, "expected 432000000000000 bytes of voxels by its header, got 120"),
        ({"DimSize": "3 4 -5"}, r"expected 3 positive whole number\(s\) in DimSize, got '3 4 -5'"),
        ({"DimSize": "3 4 0"}, "positive whole"),
        ({"DimSize": "3 4"}, "positive whole"),
        ({"DimSize": "3 4 5 6"}, "positive whole"),
        ({"DimSize": "3 4 5e0"}, "positive whole"),
        ({"DimSize": "3 4 99999999999999999999999"}, "positive whole"),
        ({"DimSize": None}, "positive whole"),
        ({"NDims": "5"}, "expected a 2-D to 4-D image, got NDims = 5"),
        ({"NDims": "1", "DimSize": "60"}, "2-D to 4-D"),
        ({"NDims": None}, "positive whole"),
        ({"ElementSpacing": "nan 1 1"}, "expected 3 sizes above 0 in ElementSpacing, got 'nan 1 1'"),
        ({"ElementSpacing": "1 1"}, "sizes above 0"),
        ({"ElementSpacing": "0 1 1"}, "sizes above 0"),
        ({"ElementSpacing": "inf 1 1"}, "sizes above 0"),
        ({"ElementSpacing": "a b c"}, "sizes above 0"),
        ({"ElementType": "MET_STRING"}, "expected an ElementType of MET_CHAR.*got 'MET_STRING'"),
        ({"ElementType": None}, "expected an ElementType"),
        ({"ElementType": "SHORT"}, "expected an ElementType"),
        ({"ObjectType": "Group"}, "expected ObjectType = Image, got 'Group'. Save the image in it"),
        ({"BinaryData": "False"}, "expected binary voxels, got BinaryData = False"),
        ({"BinaryData": "perhaps"}, "expected BinaryData = True or False"),
        ({"ElementByteOrderMSB": "True"}, "expected one byte order"),
        ({"HeaderSize": "10"}, "expected voxels at the start of the data, got HeaderSize = 10"),
        ({"CompressedData": "True"}, "expected CompressedDataSize beside CompressedData"),
        ({"CompressedData": "True", "CompressedDataSize": "120"}, "expected zlib data, got a damaged stream"),
        ({"CompressedData": "True", "CompressedDataSize": "999"}, "expected 999 bytes"),
        ({"ElementNumberOfChannels": "0"}, "positive whole"),
        ({"ElementNumberOfChannels": "4000000000"}, "bytes of voxels by its header, got 120"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "expected a file that SimpleITK reads, got its error"),
    ],
)
def test_metaimage_headers_that_lie(tmp_path, changes, match):
    refused(metaimage(tmp_path / "a.mha", CUBE, changes=changes), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sizes": "60000 60000 60000"}, "expected 432000000000000 bytes of voxels by its header, got 120"),
        ({"sizes": "3 4 -5"}, "positive whole"),
        ({"sizes": "3 4"}, "positive whole"),
        ({"dimension": "17"}, "positive whole"),
        ({"dimension": "1", "sizes": "60", "kinds": "domain"}, "2-D to 4-D"),
        ({"type": "block"}, "expected numbers such as type: short or float, got 'block'"),
        ({"type": None}, "expected numbers"),
        ({"encoding": "ascii"}, "expected encoding raw, gzip or bzip2, got 'ascii'. Save it again with SimpleITK"),
        ({"encoding": "hex"}, "expected encoding"),
        ({"encoding": None}, "expected encoding"),
        ({"encoding": "gzip"}, "expected gzip data, got a damaged stream"),
        ({"encoding": "bzip2"}, "expected bzip2 data, got a damaged stream"),
        ({"endian": None}, "expected endian: little or big"),
        ({"endian": "middle"}, "expected endian: little or big"),
        ({"byte skip": "4"}, "expected voxels at the start of the data"),
        ({"line skip": "1"}, "expected voxels at the start of the data"),
        ({"kinds": "domain domain"}, "expected 3 kinds"),
        ({"kinds": "vector list domain"}, "at most one axis of components"),
        ({"space directions": "none (1,0) (0,1)", "space dimension": 2}, "expected"),
        ({"space dimension": 2}, "expected"),
    ],
)
def test_nrrd_headers_that_lie(tmp_path, changes, match):
    refused(nrrd(tmp_path / "a.nrrd", CUBE, changes=changes), match)


def test_versions_and_twice(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", CUBE)
    data = path.read_bytes()
    for version in range(1, 6):
        path.write_bytes(data.replace(b"NRRD0004", b"NRRD000%d" % version))
        assert np.array_equal(formats.read(path).stored, CUBE)
    for magic in (b"NRRD0006", b"NRRD0000", b"NRRD00.01"):
        path.write_bytes(data.replace(b"NRRD0004", magic))
        refused(path, "expected NRRD0001 to NRRD0005")
    refused(nrrd(path, CUBE, lines=["type: short"]), "expected each field and key once, got 'type' twice")
    refused(nrrd(path, CUBE, lines=["centerings: cell cell cell", "centers: cell cell cell"]), "'centers' twice")
    refused(nrrd(path, CUBE, lines=["key:=1", "key:=2"]), "'key' twice")
    refused(nrrd(path, CUBE, lines=["what is this"]), "expected lines such as 'type: short'")
    refused(metaimage(tmp_path / "b.mha", CUBE, lines=["NDims = 2"]), "expected each field once, got NDims twice")
    refused(metaimage(tmp_path / "b.mha", CUBE, lines=["no separator"]), "expected lines such as NDims = 3")


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize("compress", [False, True])
def test_files_that_are_cut_short(tmp_path, ending, compress):
    path = tmp_path / f"a{ending}"
    save(np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16), path, compress=compress)
    held = path.with_name(next(iter(formats.companions(path)), path.name))
    whole = held.read_bytes()
    for size in (len(whole) - 1, len(whole) - 20):
        held.write_bytes(whole[:size])
        refused(path, "cut short|packed bytes by its header|bytes of voxels")
    held.write_bytes(b"")
    refused(path, "expected")
    if held != path:
        held.unlink()
        refused(path, "expected its data file a.z?raw(.gz)? beside it, got nothing")


@pytest.mark.parametrize("packing", ["zlib", "gzip", "bzip2"])
def test_bombs(tmp_path, packing):
    """Data that unpack to more than the header declares are not unpacked further; a header that declares more is not
    believed."""
    make = metaimage if packing == "zlib" else nrrd
    path = make(tmp_path / ("a.mha" if packing == "zlib" else "a.nrrd"), CUBE, packing=packing)
    data = path.read_bytes()
    packer = bz2.BZ2Compressor() if packing == "bzip2" else zlib.compressobj(9, 8, 31 if packing == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(16)) + packer.flush()
    head = data[: data.index(b"LOCAL\n") + 6] if packing == "zlib" else data[: data.index(b"\n\n") + 2]
    if packing == "zlib":
        head = itk.with_packed_size(head, len(bomb))
    path.write_bytes(head + bomb)
    refused(path, "expected 120 bytes of voxels by its header, got more")
    wanted = (b"3 4 5", b"3000 4000 5000")
    path.write_bytes(data.replace(*wanted, 1))
    refused(path, "120000000000 (bytes of voxels )?by its header")


@pytest.mark.parametrize(
    "name",
    [
        "../x.raw",
        "/etc/passwd",
        "sub/x.raw",
        "..\\x.raw",
        "C:x.raw",
        ".hidden",
        "x\x07.raw",
        "LIST",
        "LIST 2",
        "x%02d.raw 1 3 1",
    ],
)
@pytest.mark.parametrize("make", [metaimage, nrrd])
def test_a_data_file_that_lies_elsewhere(tmp_path, make, name):
    path = tmp_path / ("a.mhd" if make is metaimage else "a.nhdr")
    make(path, CUBE, data_file="x.raw")
    path.write_bytes(path.read_bytes().replace(b"x.raw", name.encode()))
    refused(path, "expected (a data file in the folder of its header|one data file|lines such as)")
    assert formats.companions(path) == ()


@pytest.mark.parametrize("name", ["a.mhd", "dataset.json", "LICENSE", "b.nii.gz", "b.dcm", "b.nrrd", "b.PNG"])
def test_a_data_file_of_another_kind(tmp_path, name):
    path = metaimage(tmp_path / "a.mhd", CUBE, data_file="x.raw")
    path.write_bytes(path.read_bytes().replace(b"x.raw", name.encode()))
    refused(path, "expected a file of bare voxels such as a.raw, got ElementDataFile")
    assert formats.companions(path) == ()


def test_special_files_are_not_opened(tmp_path):
    path = metaimage(tmp_path / "a.mhd", CUBE, data_file="x.raw")
    (tmp_path / "x.raw").unlink()
    os.mkfifo(tmp_path / "x.raw")
    refused(path, "expected its data file x.raw beside it, got something else")


def test_a_header_without_end(tmp_path):
    path = tmp_path / "a.mha"
    path.write_bytes(b"ObjectType = Image\nNDims = 3\n")
    refused(path, "expected a MetaImage header that ends with ElementDataFile")
    path.write_bytes(b"ObjectType = Image\nComment = " + b"x" * (9 << 20))
    refused(path, "expected", most_memory=48 << 20)
    for name, content in (("empty.mha", b""), ("empty.nrrd", b""), ("png.mha", b"\x89PNG\r\n\x1a\n" + bytes(99))):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "expected")
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 4 5\nencoding: raw\nendian: little\n"
    )
    refused(tmp_path / "a.nrrd", "expected an empty line behind the header")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["mha", "nrrd", "mha-z", "nrrd-z"]))
def test_damaged_bytes_are_refused_or_read_and_never_surprise(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("damaged", numbered=True)
    path = folder / f"a.{kind[:4].strip('-')}"
    make = metaimage if kind.startswith("mha") else nrrd
    make(path, CUBE, packing="raw" if "-" not in kind else "gzip")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for piece in pieces(bytes(content)):
        assert isinstance(piece.problems, tuple)
        if planes.is_picture(piece.data):
            try:
                list(planes.grids(piece.data))
            except UmedError:
                pass
    try:
        volume = formats.read(path)
    except UmedError as error:
        assert "\n" not in str(error)
        return
    formats.write(volume, volume.stored, path)
    assert formats.header_difference(volume, formats.read(path)) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"ObjectType = Image\nComment =" + b" " * (3 << 20) + b"x\nNDims 3\n",
        b"ObjectType = Image\nA" + b" " * (3 << 20) + b"x\nElementDataFile = LOCAL\n",
        b"ObjectType = Image\n" + b"".join(b"k%d = 1\n" % n for n in range(150_000)) + b"ElementDataFile = LOCAL\n",
        b"NRRD0004\n" + b"".join(b"k%d:=1\n" % n for n in range(150_000)) + b"\n",
        b"NRRD0004\n"
        + b"# " * (1 << 20)
        + b"\nkinds: "
        + b"a" * 999
        + b'!\nspace units: "mm"'
        + b" " * 9999
        + b'"\n\n',
    ],
)
def test_headers_made_to_keep_a_reader_busy(tmp_path, content):
    name = "a.nrrd" if content.startswith(b"NRRD") else "a.mha"
    (tmp_path / name).write_bytes(content)
    start = time.monotonic()
    side_data(content)
    refused(tmp_path / name, "expected", most_memory=96 << 20, most_seconds=4)
    assert time.monotonic() - start < 6


def test_texts_made_to_keep_a_reader_busy(tmp_path):
    lines = ["units: " + '"mm" ' * 4000 + "!", "content: " + "nan" * 9999 + "!", "centers: " + "cell " * 9999 + "!"]
    lines += ["NRRD_kinds[0]:=" + "a-" * 9999, "Segment0_Extent:=" + "0 " * 9999]
    lines += ["Segmentation_ContainedRepresentationNames:=" + "Closed surface|" * 999 + "!", "Segment0_LabelValue:=1"]
    data = nrrd(tmp_path / "a.nrrd", CUBE, lines=lines).read_bytes()
    start = time.monotonic()
    assert len(side_data(data).texts) == 7
    assert time.monotonic() - start < 1


def test_a_bomb_of_bzip2_is_refused_by_its_size(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", CUBE, packing="bzip2", changes={"sizes": "3000 4000 5000"})
    refused(path, "expected at most 2147483648 bytes of voxels packed by bzip2.*Save it again with encoding gzip")
