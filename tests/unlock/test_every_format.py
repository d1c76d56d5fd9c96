# SPDX-License-Identifier: Apache-2.0
"""Every format that is read: protected with recipients, proven, and unlocked to the original again."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from tests.files_of_people.outcomes import READ, Read
from tests.files_of_people.test_outcomes import data_set
from tests.layout_runs import protect_and_prove
from tests.outcome_files import colours, grey, lay, save_picture
from tests.unlock.unlock_runs import files, payload_path, person, protect, unlock
from umed.cli.main import main
from umed.data import formats
from umed.data.png import chunks


def same(before: Path, after: Path) -> None:
    """Everything of an original but how it is packed, read by this test as far as it can."""
    if before.read_bytes() == after.read_bytes():
        return
    for ending, unpack in ((".gz", gzip.decompress), (".zraw", zlib.decompress)):
        if before.name.endswith(ending):
            assert unpack(before.read_bytes()) == unpack(after.read_bytes())
            return
    assert not before.name.endswith(".nii"), "a plain NIfTI has no packing that may differ"
    if before.suffix == ".png":
        one, other = ([part for part in chunks(path.read_bytes()) if part[0] != b"IDAT"] for path in (before, after))
        assert one == other
        assert np.array_equal(np.array(Image.open(before)), np.array(Image.open(after)))
        return
    old, new = formats.read(before), formats.read(after)
    assert old.stored.dtype.str == new.stored.dtype.str and old.stored.tobytes() == new.stored.tobytes()
    assert formats.header_difference(old, new) == "" and not formats.not_kept(old)
    if before.suffix in (".tif", ".tiff"):
        assert np.array_equal(tifffile.imread(before), tifffile.imread(after))


@pytest.mark.parametrize("one", READ, ids=lambda one: one.what)
def test_a_format_is_unlocked(one: Read, tmp_path, capsys):
    root, out = data_set(tmp_path / "in", one.name, one.writer, one.mask), tmp_path / "out"
    anne = person(tmp_path, "anne")
    code = main(["protect", str(root), str(out), "--method", "checkerboard", "--quiet", "--recipients", str(anne.list)])
    assert code == 0, capsys.readouterr()
    assert main(["verify", str(root), str(out), "--quiet"]) == 0, capsys.readouterr().out
    assert main(["check-release", str(out), "--original", str(root), "--quiet"]) == 0, capsys.readouterr().out
    assert unlock(out, tmp_path / "again", anne.key) == 0, capsys.readouterr().err
    before, after = files(root), files(tmp_path / "again")
    assert before.keys() == after.keys()
    for name in before:
        same(root / name, tmp_path / "again" / name)
    image, published = f"images/{one.name}", f"images/{one.written[0] if one.written else one.name}"
    assert payload_path(out, published).is_file()
    released = formats.read(out / published)
    assert not np.array_equal(released.stored, formats.read(tmp_path / "again" / image).stored)


def jpeg_with_thumbnail(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    save_picture(path, colours(path.name), quality=90, exif=exif.tobytes())


def png_with_private_chunk(path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add(b"prVT", b"belongs to the old pixels")
    info.add_text("Software", "a program")
    save_picture(path, colours(path.name), pnginfo=info)


def png_with_a_tail(path: Path) -> None:
    save_picture(path, grey(path.name))
    path.write_bytes(path.read_bytes() + b"behind the end")


@pytest.mark.parametrize("writer", [png_with_private_chunk, png_with_a_tail, jpeg_with_thumbnail])
def test_what_the_release_leaves_out_of_a_picture_comes_back_too(writer, tmp_path):
    name = "a.jpg" if writer is jpeg_with_thumbnail else "a.png"
    root, out, anne = data_set(tmp_path / "in", name, writer), tmp_path / "out", person(tmp_path, "anne")
    protect(root, out, "--recipients", str(anne.list))
    assert unlock(out, tmp_path / "again", anne.key) == 0
    assert files(tmp_path / "again") == files(root)


def test_the_mark_is_taken_out_again(tmp_path):
    root, out, anne = tmp_path / "in", tmp_path / "out", person(tmp_path, "anne")
    lay(root, "images/a.png", "masks/a.png=1", "images/b.tif", "masks/b.png=1")
    assert protect(root, out, "--recipients", str(anne.list), "--mark") == 0
    assert b"not for diagnosis" in (out / "images" / "a.png").read_bytes()
    assert unlock(out, tmp_path / "again", anne.key) == 0
    for name in ("images/a.png", "images/b.tif"):
        assert b"not for diagnosis" not in (tmp_path / "again" / name).read_bytes()
        same(root / name, tmp_path / "again" / name)


def test_an_image_without_a_finding_needs_no_unlock_file_unless_it_was_lossy(tmp_path):
    root, out, anne = tmp_path / "in", tmp_path / "out", person(tmp_path, "anne")
    lay(root, "images/a.png", "masks/a.png=1", "images/b.png", "images/c.jpg")
    for name in "bc":
        save_picture(root / "masks" / f"{name}.png", np.zeros((28, 24), np.uint8))
    protect(root, out, "--recipients", str(anne.list))
    there = {name: payload_path(out, f"images/{name}.png").is_file() for name in "abc"}
    assert there == {"a": True, "b": False, "c": True}
    assert unlock(out, tmp_path / "again", anne.key) == 0
    again = files(tmp_path / "again")
    assert again.keys() == files(root).keys()
    assert all(again[name] == (root / name).read_bytes() for name in ("images/b.png", "images/c.jpg"))


def test_layouts_that_rename_and_index_are_unlocked_under_the_names_of_the_release(make_decathlon, tmp_path, capsys):
    root, out, anne = make_decathlon(tmp_path / "in"), tmp_path / "out", person(tmp_path, "anne")
    run = protect_and_prove(root, out, capsys)
    assert run.code == 0 and not (out / "umed" / "unlock").exists()
    protect(root, out, "--overwrite", "--recipients", str(anne.list))
    assert unlock(out, tmp_path / "again", anne.key) == 0
    again = files(tmp_path / "again")
    assert again.keys() == files(out).keys() and again["dataset.json"] == (out / "dataset.json").read_bytes()
    for name in again:
        if name.startswith("images"):
            same(root / name, tmp_path / "again" / name)
