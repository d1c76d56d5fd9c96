# SPDX-License-Identifier: Apache-2.0
"""Text and hidden bytes in files as others write them: nibabel, Pillow, tifffile, gzip."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from umed.data import known_text, pieces, planes, side_data, tiff_tags, unpacking
from umed.data.side_parts import SideData

NAME = "Roe^Jane 19600312"
PIXELS = np.random.default_rng(0).integers(0, 255, (16, 18, 3)).astype(np.uint8)


def nifti_bytes(kind=nibabel.Nifti1Image, extension=None, **fields):
    image = kind(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4))
    for name, text in fields.items():
        image.header[name] = text
    if extension is not None:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(*extension))
    return image.to_bytes()


def picture_bytes(kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind, **options)
    return stream.getvalue()


def tiff_bytes(*pages, bigtiff=False, **options):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=bigtiff) as writer:
        for page in pages or (PIXELS,):
            writer.write(page, metadata=None, **options)
    return stream.getvalue()


def exif_bytes():
    exif = Image.Exif()
    exif[0x013B], exif[0x010F] = NAME, "Scanner Ltd"
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    exif.get_ifd(0x8769)[0x9003] = "2019:01:02 03:04:05"
    return exif


def png_text(kind: str):
    info = PngImagePlugin.PngInfo()
    {
        "tEXt": lambda: info.add_text("Author", NAME),
        "zTXt": lambda: info.add_text("Author", NAME, zip=True),
        "iTXt": lambda: info.add_itxt("Author", NAME, lang="en", tkey=""),
    }[kind]()
    return info


def look(data) -> SideData:
    """As the check does: unpacked first."""
    return side_data.side_data(data)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("field", ["descrip", "aux_file", "intent_name"])
def test_text_fields_of_nifti(kind, field):
    found = look(nifti_bytes(kind, **{field: "Roe^Jane"}))
    assert found.kind == "NIfTI" and found.texts == ((f"nifti.{field}", "Roe^Jane"),)
    assert known_text.text_kind(*found.texts[0]) == "free"
    assert found.parts == () and found.problems == ()


def test_fields_of_analyze_that_nifti_left_over():
    found = look(nifti_bytes(db_name="Roe^Jane", data_type="JANE"))
    assert dict(found.texts) == {"nifti.db_name": "Roe^Jane", "nifti.data_type": "JANE"}


def test_extensions_padding_and_tail_of_nifti():
    found = look(nifti_bytes(extension=("comment", NAME.encode())))
    assert found.texts == (("nifti.extension", f"(a comment) {NAME}"),)
    plain = bytearray(nifti_bytes())
    struct.pack_into("<f", plain, 108, 384.0)
    padded = bytes(plain[:352]) + b"Roe^Jane".ljust(32, b"\0") + bytes(plain[352:])
    assert look(padded).texts == (("nifti.padding", "Roe^Jane"),)
    tail = look(nifti_bytes() + b"after")
    assert [(part.what, part.data) for part in tail.parts] == [("bytes after the voxels", b"after")]
    assert look(nifti_bytes()[:-5]).problems == ("472 bytes declared, 467 there",)


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_text_chunks_of_png(kind):
    found = look(picture_bytes(pnginfo=png_text(kind)))
    assert [text for _, text in found.texts] == [NAME]
    assert found.texts[0][0].startswith(f"png.{kind}.Author")


def test_other_chunks_of_png():
    data = picture_bytes()
    body = struct.pack(">H5B", 2019, 1, 2, 3, 4, 5)
    chunk = struct.pack(">I", 7) + b"tIME" + body + struct.pack(">I", zlib.crc32(b"tIME" + body))
    assert look(data[:33] + chunk + data[33:]).texts == (("png.tIME", "2019-01-02 03:04:05"),)
    assert known_text.text_kind("png.tIME", "2019-01-02 03:04:05") == "date"
    assert [part.what for part in look(data + b"more").parts] == ["bytes after IEND"]
    own = struct.pack(">I", 4) + b"prVt" + b"Jane" + struct.pack(">I", zlib.crc32(b"prVtJane"))
    assert [part.what for part in look(data[:33] + own + data[33:]).parts] == ["chunk prVt"]


def test_bytes_after_the_pixels_within_idat():
    raw = np.concatenate([np.zeros((16, 1), np.uint8), PIXELS.reshape(16, -1)], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", 18, 16, 8, 2, 0, 0, 0)

    def file(*idat):
        parts = [(b"IHDR", head), *((b"IDAT", body) for body in idat), (b"IEND", b"")]
        chunks = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    assert look(file(zlib.compress(raw))).parts == ()
    for hidden in (file(zlib.compress(raw) + NAME.encode()), file(zlib.compress(raw), NAME.encode())):
        assert [part.data for part in look(hidden).parts] == [NAME.encode()]
    [part] = look(file(zlib.compress(raw + NAME.encode()))).parts
    assert part.data == NAME.encode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_exif(kind):
    exif = exif_bytes()  # Pillow writes no nested directories into a TIFF; the block itself is one
    found = look(exif.tobytes().removeprefix(b"Exif\0\0") if kind == "TIFF" else picture_bytes(kind, exif=exif))
    texts = dict(found.texts)
    where = "tiff" if kind == "TIFF" else "exif"
    assert texts[f"{where}.Artist"] == NAME and texts["exif.GPS"] == "a position"
    kinds = {name: known_text.text_kind(name, text) for name, text in found.texts}
    assert kinds["exif.DateTimeOriginal"] == "date" and kinds[f"{where}.Make"] == "device"
    assert kinds[f"{where}.Artist"] == kinds["exif.GPS"] == "free"


def jpeg_with_thumbnail():
    small = io.BytesIO()
    Image.fromarray(PIXELS[::2, ::2]).save(small, "JPEG")
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 14)
    block += struct.pack("<HHHIIHHII", 2, 513, 4, 1, 44, 514, 4, 1, len(small.getvalue())) + struct.pack("<I", 0)
    block += small.getvalue()
    data = picture_bytes("JPEG")
    segment = b"Exif\0\0" + block
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:], small.getvalue()


def test_thumbnail_comment_and_tail_of_jpeg():
    data, small = jpeg_with_thumbnail()
    assert [(part.what, part.data) for part in look(data).parts] == [("EXIF thumbnail", small)]
    assert look(picture_bytes("JPEG", comment=NAME.encode())).texts == (("jpeg.comment", NAME),)
    assert [part.what for part in look(picture_bytes("JPEG") + b"more").parts] == ["bytes after the end of the JPEG"]
    assert look(picture_bytes("JPEG", progressive=True)).parts == ()


def test_fields_pages_and_gaps_of_tiff():
    texts = dict(look(tiff_bytes(description=NAME, software=NAME, extratags=[(316, 2, 9, "HOST1234", True)])).texts)
    assert texts == {"tiff.ImageDescription": NAME, "tiff.Software": NAME, "tiff.HostComputer": "HOST1234"}
    assert look(tiff_bytes(extratags=[(65000, 2, 9, "Roe Jane", True)], software=False)).texts == (
        ("tiff.tag65000", "Roe Jane"),
    )
    assert [part.what for part in look(tiff_bytes(PIXELS, PIXELS, software=False)).parts] == ["TIFF page 2"]
    clean = look(tiff_bytes(software=False))
    assert clean.texts == () and clean.parts == () and clean.problems == ()
    gap = look(tiff_bytes(software=False) + b"x" * 40)
    assert [(part.what, part.data) for part in gap.parts] == [("bytes that no TIFF tag refers to", b"x" * 40)]
    assert look(tiff_bytes(software=False, bigtiff=True)).parts == ()


def test_directories_in_a_circle():
    data = bytearray(tiff_bytes(software=False))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    assert tiff_tags.walk(bytes(data)).problems == ["directories that lead in a circle, or too many"]


def test_gzip_headers_members_and_tail():
    stream = io.BytesIO()
    with gzip.GzipFile("roe_jane.nii", "wb", fileobj=stream, mtime=0) as file:
        file.write(b"content")
    named = stream.getvalue()
    assert unpacking.gunzip(named, 99).texts == (("gzip.name", "roe_jane.nii"),)
    flags = b"\x1f\x8b\x08\x14" + bytes(6) + struct.pack("<H", 4) + b"JANE" + b"Roe\0" + named[10 + 13 :]
    assert unpacking.gunzip(flags, 99).texts == (("gzip.extra", "JANE"), ("gzip.comment", "Roe"))
    plain = gzip.compress(b"content", mtime=0)
    assert unpacking.gunzip(plain, 99) == unpacking.Gunzipped(b"content", ())
    both = unpacking.gunzip(plain + plain + b"after", 99)
    assert (both.content, both.trailing, both.problem) == (b"contentcontent", b"after", "")
    assert unpacking.gunzip(plain[:-4], 99).problem == "a gzip stream that is cut short"
    bomb = unpacking.gunzip(gzip.compress(bytes(50_000_000)), 1_000_000)
    assert len(bomb.content) == 1_000_000 and "more than 1000000 bytes" in bomb.problem


@pytest.mark.parametrize(
    ("field", "text", "kind"),
    [
        ("nifti.descrip", "FSL5.0", "known"),
        ("nifti.descrip", "5.0.11", "known"),
        ("nifti.descrip", "TE=2.9;Time=101245.350;phase=1", "known"),
        ("nifti.descrip", "12345678", "free"),
        ("nifti.descrip", "12.03.1960", "free"),
        ("nifti.descrip", "FSL5.0 Jane Roe", "free"),
        ("nifti.descrip", "TE=2.9;Name=Roe", "free"),
        ("nifti.descrip", "spm - 3D normalized", "known"),
        ("tiff.Software", "Adobe Photoshop CS6 (Windows)", "known"),
        ("tiff.Software", "Adobe Photoshop Jane Roe", "free"),
        ("tiff.Software", "tifffile.py", "known"),
        ("png.tEXt.Software", "Matplotlib version3.8.0, https://matplotlib.org/", "known"),
        ("png.tEXt.Author", "ImageJ", "free"),
        ("tiff.ImageDescription", "ImageJ=1.53c\nimages=3\nunit=micron\n", "known"),
        ("tiff.ImageDescription", "ImageJ=1.53c\nInfo=Roe, Jane\n", "free"),
        ("tiff.ImageDescription", '{"shape": [16, 18, 3]}', "known"),
        ("png.tEXt.date:create", "2020-01-01T10:00:00+00:00", "date"),
        ("exif.DateTime", "born 1960", "free"),
    ],
)
def test_what_programs_write(field, text, kind):
    assert known_text.text_kind(field, text) == kind


def test_no_pattern_takes_long_over_a_long_text():
    for text in ("ImageJ=1.5" + "\n" * 1900 + "!", "TE=1;" * 390 + "!", "ImageMagick 1 " + "Q16 " * 400 + "!"):
        for field in ("tiff.ImageDescription", "tiff.Software", "nifti.descrip"):
            assert known_text.text_kind(field, text) == "free"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG"])
def test_slices_of_pictures(kind):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = picture_bytes(kind, **options)
    with Image.open(io.BytesIO(data)) as image:
        shown = np.asarray(image.convert("RGB"))
    expected = {planes.signatures(shown[..., i].T.reshape(1, -1))[0] for i in range(3)}
    assert planes.all_signatures(data) == expected and len(expected) == 3


def test_slices_are_found_again_in_any_type_format_and_orientation():
    volume = np.random.default_rng(1).integers(-500, 500, (8, 9, 7)).astype(np.int16)
    stream = io.BytesIO()
    np.save(stream, volume[..., 3].T.astype(np.float64))
    [one] = planes.all_signatures(stream.getvalue())
    nifti = nibabel.Nifti1Image(volume[::-1].astype(np.float32), np.eye(4)).to_bytes()
    assert one in planes.all_signatures(nifti) and len(planes.all_signatures(nifti)) == 24
    volume[2, 3, 3] += 1
    assert one not in planes.all_signatures(nibabel.Nifti1Image(volume, np.eye(4)).to_bytes())
    page = tiff_bytes(np.zeros((5, 5), np.uint8), (volume[..., 3] + 500).astype(np.uint16), software=False)
    assert planes.all_signatures(page) == {planes.signatures((volume[..., 3] + 500).reshape(1, -1))[0]}


def test_rescaled_values_are_signed_too():
    volume = np.random.default_rng(1).integers(0, 500, (4, 5, 6)).astype(np.int16)
    image = nibabel.Nifti1Image(volume, np.eye(4))
    image.header.set_slope_inter(0.5, -20)
    both = planes.all_signatures(image.to_bytes())
    floats = planes.all_signatures(nibabel.Nifti1Image(image.get_fdata() * 0.5 - 20, np.eye(4)).to_bytes())
    assert floats <= both and len(both) == 2 * len(floats) == 30


HOSTILE = [
    b"",
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"BZh91AY&SY",
    b"\xfd7zXZ\0",
    b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 1 << 31),
    b"\xff\xd8\xff\xe1\xff\xff",
    b"II*\0\xff\xff\xff\x7f",
    b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (1073741824, 1073741824), }",
    nifti_bytes()[:400],
]


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_files_are_listed_and_nothing_more(data):
    found = list(pieces.pieces(data))
    assert found[0].place == ""
    if planes.is_picture(data):
        with pytest.raises(planes.InputError):
            planes.all_signatures(data)


def test_declared_sizes_are_not_believed():
    head = bytearray(nifti_bytes())
    struct.pack_into("<8h", head, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    [piece] = pieces.pieces(gzip.compress(bytes(head)))
    assert "bytes declared" in piece.problems[0]
    with pytest.raises(planes.InputError, match="cut short"):
        planes.all_signatures(bytes(head))
    data = bytearray(picture_bytes())
    struct.pack_into(">II", data, 16, 1 << 30, 1 << 30)
    with pytest.raises(planes.InputError):
        planes.all_signatures(bytes(data))


def test_a_page_that_unpacks_to_more_than_it_is():
    data = tiff_bytes(np.zeros((64, 64), np.uint8), compression="deflate", software=False)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags["StripByteCounts"]
        place, entry = file.pages[0].dataoffsets[0], tag.valueoffset
    packed = zlib.compress(bytes(20_000_000))
    bomb = bytearray(data + packed)
    struct.pack_into("<H" if tag.dtype == 3 else "<I", bomb, entry, len(packed))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags["StripOffsets"].valueoffset
    struct.pack_into("<I", bomb, at, len(data))
    assert place != len(data)
    with pytest.raises(planes.InputError, match="got more in one part"):
        planes.all_signatures(bytes(bomb))


SEEDS = [nifti_bytes(), picture_bytes(), picture_bytes("JPEG"), tiff_bytes(), gzip.compress(nifti_bytes())]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=12), st.data())
def test_damaged_files_never_crash(seed, flips, data):
    damaged = bytearray(seed[: data.draw(st.integers(1, len(seed)))])
    for place, value in flips:
        damaged[place % len(damaged)] = value
    for piece in pieces.pieces(bytes(damaged)):
        for field, text in piece.texts:
            known_text.text_kind(field, text)
        if planes.is_picture(piece.data):
            try:
                planes.all_signatures(piece.data)
            except planes.InputError:
                pass


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HOSTILE), st.binary(max_size=400))
def test_random_bytes_never_crash(head, tail):
    assert next(iter(pieces.pieces(head + tail))).kind == "file"


def test_frames_are_bounded_together(monkeypatch):
    frames = [Image.fromarray(PIXELS[..., i]) for i in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert len(planes.all_signatures(stream.getvalue())) == 3
    monkeypatch.setattr(planes, "MOST_VALUES", 3 * 16 * 18)
    with pytest.raises(planes.InputError, match="at most 864 values"):
        planes.all_signatures(stream.getvalue())
