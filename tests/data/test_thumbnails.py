# SPDX-License-Identifier: Apache-2.0
"""What goes out of side data, and that everything else stays: EXIF, XMP, Photoshop, chunks of PNG, segments of JPEG."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.tiff_files import exif_block, pixels, thumbnail
from umed.core.errors import InputError
from umed.data import formats, icc_text, known_text, ome_text, png, png_chunks, thumbnails
from umed.data.side_data import side_data

SMALL = thumbnail(pixels(3))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>Roe</dc:creator>%s</x:xmpmeta>'
PREVIEW = b"<xmp:Thumbnails><xmpGImg:image>" + base64.b64encode(SMALL) + b"</xmpGImg:image></xmp:Thumbnails>"


def test_a_thumbnail_leaves_its_block_and_nothing_else_moves() -> None:
    block = exif_block(SMALL)
    kept, dropped = thumbnails.exif_without_pictures(block)
    assert dropped == ("EXIF thumbnail",) and SMALL[:40] not in kept and len(kept) < len(block)
    for data in (block, kept):
        exif = Image.Exif()
        exif.load(data)
        assert exif[0x013B] == "Roe^Jane" and exif.get_ifd(0x8769)[0x9003] == "2019:01:02 03:04:05"
    assert [one for one in zip(block, kept, strict=False) if one[0] != one[1] and one[1] != 0] == []
    assert thumbnails.exif_without_pictures(kept) == (kept, ())
    plain = exif_block()
    assert thumbnails.exif_without_pictures(plain) == (plain, ())
    assert thumbnails.exif_without_pictures(b"Exif\0\0" + block) == (b"Exif\0\0" + kept, dropped)


def test_what_else_an_exif_block_may_hide() -> None:
    hidden = exif_block() + b"\0" + pixels(seed=3).tobytes()
    kept, dropped = thumbnails.exif_without_pictures(hidden)
    assert dropped == ("bytes that no EXIF tag refers to",) and pixels(seed=3).tobytes()[:20] not in kept
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = b"maker" + SMALL
    kept, dropped = thumbnails.exif_without_pictures(exif.tobytes())
    assert dropped == ("picture in EXIF tag 37500",) and SMALL[:40] not in kept
    assert thumbnails.exif_without_pictures(b"II*\0\xff\xff\xff\x7f") == (b"", ("a damaged EXIF block",))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=8), st.integers(0, 900))
def test_damaged_blocks_come_to_rest(flips: list[tuple[int, int]], size: int) -> None:
    block = bytearray(exif_block(SMALL))
    for place, value in flips:
        block[place % len(block)] = value
    kept, _ = thumbnails.exif_without_pictures(bytes(block[:size]))
    if kept:
        assert thumbnails.exif_without_pictures(kept) == (kept, ()) and not thumbnails.holds_picture(kept)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_block(data: bytes) -> None:
    for take_out in (thumbnails.exif_without_pictures, thumbnails.photoshop_without_pictures):
        kept, dropped = take_out(data)
        assert len(kept) <= len(data) and (dropped or kept == data)
    for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        thumbnails.exif_without_pictures(head + data)


def test_xmp_and_photoshop() -> None:
    assert thumbnails.xmp_without_pictures(XMP % b"") == (XMP % b"", ())
    assert thumbnails.xmp_without_pictures(XMP % PREVIEW * 20000)[0] == XMP % b"" * 20000
    assert thumbnails.xmp_without_pictures(b"<xmp:Thumbnails>" * 20000 + PREVIEW[:-10])[0] == b""
    assert thumbnails.xmp_without_pictures(XMP % PREVIEW) == (XMP % b"", ("XMP thumbnail",))
    elsewhere = XMP % (b"<GImage:Data>" + base64.b64encode(SMALL) + b"</GImage:Data>")
    assert thumbnails.xmp_without_pictures(elsewhere) == (b"", ("XMP with a picture in it",))

    def resource(number: int, body: bytes) -> bytes:
        padded = body + bytes(len(body) % 2)
        return b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(body)) + padded

    caption, preview = resource(1028, b"by Roe"), resource(1036, bytes(28) + SMALL)
    assert thumbnails.photoshop_without_pictures(caption + preview) == (caption, ("Photoshop thumbnail",))
    assert thumbnails.photoshop_without_pictures(caption) == (caption, ())


def chunks_of(*parts: tuple[bytes, bytes]) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...]]:
    return png_chunks.kept_chunks(png.chunks(png.encode(pixels(3), parts)))


@pytest.mark.parametrize(
    ("chunk", "dropped"),
    [
        ((b"eXIf", exif_block()), ()),
        ((b"eXIf", exif_block(SMALL)), ("EXIF thumbnail",)),
        ((b"tEXt", b"Author\0Roe"), ()),
        ((b"tEXt", b"thumb\0" + base64.b64encode(SMALL)), ("picture in text 'thumb'",)),
        (
            (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(SMALL.hex().encode())),
            ("picture in text 'Raw profile type exif'",),
        ),
        ((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % b""), ()),
        ((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % PREVIEW), ("XMP thumbnail",)),
        ((b"caBX", SMALL), ("chunk caBX, which belongs to the old pixels",)),
        ((b"caBx", SMALL), ("picture in chunk caBx",)),
        ((b"prIv", b"anything"), ()),
        ((b"dSIG", b"signed"), ("chunk dSIG, which belongs to the old pixels",)),
        ((b"tIME", b"\x07\xe3\1\2\3\4\5"), ()),
        ((b"sPLT", b"name\0\x08" + SMALL), ("picture in chunk sPLT",)),
    ],
)
def test_chunks(chunk: tuple[bytes, bytes], dropped: tuple[str, ...]) -> None:
    kept, left = chunks_of(chunk)
    assert left == dropped
    if not dropped:
        assert kept == (chunk, (b"IDAT", b""))
    assert not any(SMALL[:60] in body for _, body in kept)


def test_a_chunk_that_every_reader_needs(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png.encode(pixels(3), ((b"CgBI", bytes(4)),)))
    with pytest.raises(InputError, match="unknown critical chunk 'CgBI'"):
        formats.read(tmp_path / "a.png")


def test_interlacing_and_what_follows_the_end_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png.encode(pixels(3)) + b"more")
    assert formats.not_kept(formats.read(tmp_path / "a.png")) == ("bytes after IEND",)
    assert any("bytes after IEND" in note for note in formats.notes(formats.read(tmp_path / "a.png")))


def test_what_a_jpeg_says_becomes_chunks(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stream = io.BytesIO()
    Image.fromarray(pixels(3)).save(
        stream,
        "JPEG",
        exif=b"Exif\0\0" + exif_block(SMALL),
        icc_profile=profile,
        dpi=(300, 150),
        comment="Röe".encode(),
    )
    data = stream.getvalue()
    packet = b"http://ns.adobe.com/xap/1.0/\0" + XMP % PREVIEW
    other = b"Photoshop 3.0\0something"
    for marker, body in ((b"\xff\xe1", packet), (b"\xff\xed", other)):
        data = data[:20] + marker + struct.pack(">H", len(body) + 2) + body + data[20:]
    (tmp_path / "a.jpg").write_bytes(data + b"behind")
    volume = formats.read(tmp_path / "a.jpg")
    assert set(formats.not_kept(volume)) == {
        *("EXIF thumbnail", "XMP thumbnail", "APP13 segment", "bytes after the end of the JPEG"),
    }
    formats.write(volume, volume.stored, tmp_path / "a.png")
    back = formats.read(tmp_path / "a.png")
    assert formats.header_difference(volume, back) == "" and back.header.dropped == ()
    with Image.open(tmp_path / "a.png") as image, Image.open(tmp_path / "a.jpg") as source:
        assert np.array_equal(np.asarray(image), np.asarray(source))
        assert image.info["icc_profile"] == profile and image.text["Comment"] == "Röe"
        assert [round(value) for value in image.info["dpi"]] == [300, 150]
        assert image.getexif()[0x013B] == "Roe^Jane" and image.info["xmp"] == XMP % b""
        assert image.getexif().get_ifd(0x8769)[0x9003] == source.getexif().get_ifd(0x8769)[0x9003]
    assert dict(side_data((tmp_path / "a.png").read_bytes()).texts)["exif.Artist"] == "Roe^Jane"


OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" Creator='
    '"OME Bio-Formats 6.14.0" UUID="urn:uuid:11111111-2222-3333-4444-555555555555"><Image ID="Image:0" Name="Image0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="4" SizeY="4" SizeZ="1" SizeC="1" SizeT="1" '
    'PhysicalSizeX="0.25" PhysicalSizeXUnit="µm"><Channel ID="Channel:0:0" SamplesPerPixel="1" Name="DAPI"/>'
    '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image>%s</OME>'
)


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("", {}),
        ('<Experimenter ID="Experimenter:1" LastName="Roe"/>', {"Experimenter.LastName": "Roe"}),
        ('<Image Name="Roe^Jane"/>', {"Image.Name": "Roe^Jane"}),
        ("<Description>born 1960</Description>", {"Description": "born 1960"}),
        ("<!-- Jane Roe -->", {"comment": "Jane Roe"}),
        ("<AcquisitionDate>2019-01-02T03:04:05</AcquisitionDate>", {"AcquisitionDate": "2019-01-02T03:04:05"}),
        ('<MapAnnotation ID="Annotation:0"><M K="MRN">4711042</M></MapAnnotation>', {"M.K": "MRN", "M": "4711042"}),
        ('<Image PhysicalSizeXUnit="Roe"/>', {"Image.PhysicalSizeXUnit": "Roe"}),
    ],
)
def test_ome_xml_without_what_names_nobody(part: str, fields: dict[str, str]) -> None:
    found = dict(ome_text.ome_texts((OME % part).encode() + b"\0"))
    creator = found.pop("tiff.OME-XML.OME.Creator")
    assert known_text.text_kind("tiff.OME-XML.OME.Creator", creator) == "known"
    assert found == {f"tiff.OME-XML.{name}": text for name, text in fields.items()}
    if "AcquisitionDate" in fields:
        assert known_text.text_kind("tiff.OME-XML.AcquisitionDate", fields["AcquisitionDate"]) == "date"


@pytest.mark.parametrize("text", [b"<OME", b"<!DOCTYPE a><OME/>", b"<other><OME/></other>", b"<OME>&x;</OME>"])
def test_ome_xml_that_is_none_is_free_text(text: bytes) -> None:
    assert ome_text.ome_texts(text) == [("tiff.OME-XML", text.decode())]


def test_a_long_description_takes_no_longer_than_it_is() -> None:
    text = b"<OME><![CDATA[" + b"<!--<?" * 300_000 + b"]]></OME>"
    assert [field for field, _ in ome_text.ome_texts(text)] == ["tiff.OME-XML.OME"]


def test_a_damaged_block_still_says_how_the_picture_is_turned(tmp_path: Path) -> None:
    block = bytearray(exif_block(orientation=6))
    pointer = block.index(struct.pack("<HHI" if block[:2] == b"II" else ">HHI", 0x8769, 4, 1))
    block[pointer + 8 : pointer + 12] = b"\x7f" * 4
    Image.fromarray(pixels(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(block))
    volume = formats.read(tmp_path / "a.jpg")
    assert formats.not_kept(volume) == ("a damaged EXIF block",) and volume.header.orientation == 6
    formats.write(volume, volume.stored, tmp_path / "a.png")
    assert formats.header_difference(volume, formats.read(tmp_path / "a.png")) == ""


def test_texts_of_a_colour_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = icc_text.icc_texts(profile)
    assert dict(found)["icc.description"] == "sRGB built-in"
    assert {known_text.text_kind(*pair) for pair in found} == {"known"}
    assert known_text.text_kind("icc.description", "Screen of Jane") == "device"
    assert known_text.text_kind("icc.description", "Roe^Jane") == "free"
    for size in range(0, len(profile), 37):
        icc_text.icc_texts(profile[:size])
