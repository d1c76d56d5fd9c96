# SPDX-License-Identifier: Apache-2.0
"""After a run nothing private and nothing original is in the output: searched byte by byte, and pixel by pixel.

The search is of its own, simple and slow, and shares no code with ``umed check-release``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import umed
from tests.release_files import hospital
from umed.core.keyfile import Key
from umed.protect.check_release import check_release

WINDOW = 48
"""Bytes of a private file that are looked for at once."""
SIDES = 6
"""Least side of a slice that is looked for; smaller ones may repeat."""


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items())}


def layers(data: bytes) -> Iterator[bytes]:
    """A file as it lies, unpacked, and with each zlib stream of a PNG unpacked."""
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    start = data.find(b"IDAT")
    if start >= 0:
        yield zlib.decompressobj().decompress(data[start + 4 :])


def windows(data: bytes) -> set[bytes]:
    """Pieces of a private file, without those of one letter, which say nothing."""
    found = {data[i : i + WINDOW] for i in range(0, max(1, len(data) - WINDOW + 1), WINDOW)}
    return {piece for piece in found if len(piece) == WINDOW and len(set(piece)) > 8}


def slices(path: Path, labels: np.ndarray | None = None) -> list[np.ndarray]:
    """All slices with a label of an image, along every axis; of any file all slices where no labels are given."""
    try:
        if ".nii" in path.name:
            grid = np.asarray(nibabel.load(path).dataobj, np.float64)
            raw = np.asarray(nibabel.load(path).dataobj.get_unscaled(), np.float64)
            grids = [grid, raw]
        else:
            pixels = np.asarray(Image.open(path), np.float64)
            return list(np.moveaxis(pixels, -1, 0)) if pixels.ndim == 3 else [pixels]
    except Exception:
        return []
    found = []
    for one in grids:
        for axis in range(one.ndim):
            for index in range(one.shape[axis]):
                if labels is None or np.take(labels, index, axis).any():
                    found.append(np.take(one, index, axis))
    return [one for one in found if min(one.shape) >= SIDES and len(np.unique(one)) > 8]


def shown_again(source: Path, output: Path) -> list[str]:
    """Slices with a label of the originals that some image in the output shows, too."""
    secret: dict[bytes, str] = {}
    for path in sorted((source / "imagesTr").glob("*")) + sorted((source / "images").glob("*")):
        mask = Path(str(path).replace("imagesTr", "labelsTr"))
        labels = np.asarray(nibabel.load(mask).dataobj) if mask != path else None
        for one in slices(path, labels):
            secret |= {
                np.ascontiguousarray(turned).tobytes(): path.name for turned in (one, one.T, one[::-1], one[:, ::-1])
            }
    return [
        f"{name} shows {secret[key]}"
        for name in files(output)
        for one in slices(output / name)
        if (key := np.ascontiguousarray(one).tobytes()) in secret
    ]


def quoted(private: Path, output: Path) -> list[str]:
    """Files of the output that hold something of a private file, or the key in any form."""
    there = files(output)
    whole = {name: b"\0".join(layers(data)) for name, data in there.items()}
    public = {
        *there,
        *(pixels(data) for data in there.values()),
        *(hashlib.sha256(data).hexdigest() for data in there.values()),
    }
    public |= {Key.load(private / "release.key").digest(), str(4 / 255)}  # in the manifest by intent
    public |= {"protected image", "unprotected image"}
    commitment = (output / "umed" / "commitment.json").read_bytes() if (private / "trace.json").is_file() else b""
    public |= set(json.loads(commitment or "{}").values()) - {None}  # a hash and the name of the test, likewise
    found = []
    for secret, data in files(private).items():
        pieces = secrets_of(private / secret, data, public)
        found += [f"{name} quotes {secret}" for name, text in whole.items() if any(piece in text for piece in pieces)]
    return found


def pixels(data: bytes) -> str:
    """Hash of what a picture shows; the report shows protected pictures, too. Empty for what is none."""
    try:
        return hashlib.sha256(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).tobytes()).hexdigest()
    except OSError:
        return ""


def secrets_of(path: Path, data: bytes, public: set[str]) -> set[bytes]:
    """What must not be found again: the key, pictures of the report, what a record says beyond what is published."""
    if path.name == "release.key":
        key = Key.load(path).secret
        return {key, key.hex().encode(), base64.b64encode(key)[:40]}
    if path.suffix == ".html":  # its style is that of the public page; scripts cut texts of base64 short
        found = [one for one in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data) if len(one) % 4 == 0]
        pictures = {one: base64.b64decode(one) for one in found if pixels(base64.b64decode(one)) not in public}
        return {*pictures, *pictures.values()}  # whole ones: rows without a label are published
    if path.suffix == ".json":
        return {text.encode() for text in leaves(json.loads(data)) if len(text) >= 12 and text not in public}
    return windows(data)


def leaves(content: object) -> Iterator[str]:
    """All texts and long numbers in nested JSON."""
    if isinstance(content, dict):
        for value in content.values():
            yield from leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from leaves(value)
    elif isinstance(content, str | float):
        yield str(content)


def is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def run(kind: str, tmp_path: Path, phantom: Path, pictures: Callable[..., Path]) -> tuple[Path, Path]:
    source = phantom if kind == "volumes" else pictures(count=3)
    options = {"method": "random"} if kind != "volumes" else {"method": "umed", "training": {"iterations": 1}}
    umed.protect(source, tmp_path / "out", **options)
    return source, tmp_path / "out"


@pytest.mark.parametrize("kind", ["volumes", "pictures"])
def test_nothing_private_and_no_original_is_in_the_output(
    kind: str, tmp_path: Path, phantom: Path, pictures: Callable[..., Path]
) -> None:
    source, output = run(kind, tmp_path, phantom, pictures)
    private = tmp_path / "out-private"
    assert {"release.key", "release.json", "plan.json", "targets.json"} <= files(private).keys()
    assert (private / "report.html").is_file()
    assert quoted(private, output) == []
    assert shown_again(source, output) == []
    check = check_release(output, original=source, private=private)
    assert check.problems == () and check.warnings == (), check.summary()
    own = {"umed/manifest.json", "umed/about.html", *(["umed/commitment.json"] if kind == "volumes" else [])}
    assert {name for name in files(output) if name.startswith("umed/")} == own

    # the searches can fail
    original = next(path for path in (source / "imagesTr", source / "images") if path.is_dir())
    copied = sorted(original.iterdir())[0]
    (output / copied.name).write_bytes(copied.read_bytes())
    assert shown_again(source, output) != [] and "original" in {
        one.kind for one in check_release(output, original=source).problems
    }
    (output / copied.name).unlink()
    for name in ("report.html", "plan.json", "release.key"):
        data = files(private)[name]
        (output / "more.bin").write_bytes(b"before" + data + b"after")
        assert any("more.bin" in one for one in quoted(private, output)), name
        (output / "more.bin").write_bytes(data)
        assert "private" in {one.kind for one in check_release(output).problems}, name
    (output / "more.bin").unlink()


def test_a_dicom_release(tmp_path: Path) -> None:
    source, output = hospital(tmp_path / "in"), tmp_path / "out"
    umed.protect(source, output, method="random")
    private = tmp_path / "out-private"
    check = check_release(output, original=source)
    assert check.problems == (), check.summary()
    assert quoted(private, output) == []
    (output / "extra.bin").write_bytes(sorted((source / "ct of Erika").iterdir())[2].read_bytes())
    found = check_release(output, original=source).problems
    assert [(one.kind, one.where) for one in found if one.kind == "original"] == [("original", "extra.bin")] * 2


def test_frames_of_dicom_originals_in_other_formats_and_series_left_as_they_are(tmp_path: Path) -> None:
    import pydicom

    source, output = hospital(tmp_path / "in"), tmp_path / "out"
    umed.protect(source, output, method="random")
    written = {output / name: pydicom.dcmread(output / name) for name, data in files(output).items() if is_dicom(data)}
    images = {path: ds for path, ds in written.items() if "113042" in str(ds.get("DerivationCodeSequence", ""))}
    assert images and all(ds.ImageType[0] == "DERIVED" for ds in images.values())
    before = [pydicom.dcmread(path).pixel_array for path in sorted((source / "ct of Erika").iterdir())]
    published = {ds.pixel_array.tobytes() for ds in written.values() if ds.Modality == "CT"}
    changed = [pixels for pixels in before if pixels.tobytes() not in published]
    assert 0 < len(changed) == len(images) < len(before)  # slices without a label are the original's by promise
    secret = changed[0]
    stream = io.BytesIO()
    np.save(stream, secret.T.astype(np.float32))
    (output / "note.bin").write_bytes(stream.getvalue())
    assert "note.bin: 1 slice(s) of" in check_release(output, original=source).summary()

    for path, ds in images.items():  # a series that was left as it is, under the names and headers of the protected one
        original = min(before, key=lambda pixels: np.abs(pixels.astype(int) - ds.pixel_array).sum())
        ds.PixelData = original.tobytes()
        ds.save_as(path)
    assert "unchanged" in {one.kind for one in check_release(output, original=source).problems}
