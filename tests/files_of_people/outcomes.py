# SPDX-License-Identifier: Apache-2.0
"""What becomes of each format and layout: the tables of docs/formats.md, each line of which is run as a test.

python -m tests.files_of_people.outcomes    # writes them into the page
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import tifffile
from PIL import Image

from tests import outcome_files as files
from tests.files_of_people.mistakes import MISTAKES
from tests.outcome_files import colours, grey, lay, save_picture, save_volume, scan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
START, END = "<!-- tables: written by python -m tests.files_of_people.outcomes -->", "<!-- end of the tables -->"
CASES = ("c1", "c2")
ENDINGS = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".png", ".tif", ".jpg")
"""Columns of the table of layouts; masks of JPEG images are PNG."""
Writer = Callable[[Path], object]


class Read(NamedTuple):
    """A format that is read: the image ``name`` is protected, verified and released as ``written``.

    Args:
        what: as the table calls it.
        name: of the file.
        writer: makes it.
        kept: what stays, for people.
        written: the files that come of it; itself where left out.
        mask: ending of its mask.
    """

    what: str
    name: str
    writer: Writer
    kept: str
    written: tuple[str, ...] = ()
    mask: str = ""


class Refused(NamedTuple):
    """A format that is not read: the image is left out with its label, exit code 3, and the rest is released.

    Args:
        what: as the table calls it.
        name: of the file.
        writer: makes it.
        says: words of the reason, which are also what the table says.
    """

    what: str
    name: str
    writer: Writer
    says: str


def picture(samples: int = 1, dtype: str = "u1", top: int = 230, **options: object) -> Writer:
    """A writer of pictures."""

    def write(path: Path) -> None:
        values = grey(path.name, dtype, top) if samples == 1 else colours(path.name, samples, dtype, top)
        save_picture(path, values, **options)

    return write


def volume(packed: bool, several: str = "") -> Writer:
    """A writer of volumes; of two channels along a fourth axis (``axis``) or as vectors (``vector``)."""

    def write(path: Path) -> None:
        two = np.stack([scan(f"{path.name} {number}") for number in "12"], axis=-1)
        save_volume(path, two if several else scan(path.name), packed=packed, vector=several == "vector")

    return write


def content(data: bytes) -> Writer:
    """A writer of these bytes, where nothing at hand writes the format."""
    return lambda path: path.write_bytes(data)


def bits(path: Path) -> None:
    """A picture of one bit a pixel."""
    Image.fromarray(grey(path.name) > 100).save(path)


def stack(path: Path) -> None:
    """An ImageJ stack, of which only the description tells."""
    tifffile.imwrite(path, np.stack([grey("1"), grey("2")]), imagej=True)


def renamed(path: Path) -> None:
    """A PNG without an ending."""
    save_picture(path.with_suffix(".png"), grey(path.name)).rename(path)


NIFTI = "every header byte and extension, type, scale, packing"
META = "every header byte but `CompressedDataSize`, type, byte order, packing"
NRRD = "every header byte, type, byte order, packing"
SLICER = "the mask byte for byte; names of segments are free text, so exit code 3 until `--accept-text`"
PNG = "bit depth, every chunk beside the pixels byte for byte"
TIFF = "type, layout, packing, every tag that does not say where the pixels lie"
JPEG = "as PNG, since a lossy file holds no bound; EXIF, ICC and resolution as chunks"
READ = (
    Read("NIfTI", "a.nii", files.nifti, NIFTI),
    Read("NIfTI, gzipped", "a.nii.gz", files.nifti, NIFTI),
    Read("NIfTI-2, gzipped", "a.nii.gz", partial(files.nifti, kind=nibabel.Nifti2Image), NIFTI),
    Read("NIfTI, 32-bit floats", "a.nii.gz", partial(files.nifti, dtype="f4"), NIFTI),
    Read("NIfTI, slope and intercept", "a.nii.gz", partial(files.nifti, slope=0.5), NIFTI),
    Read("NIfTI, RGB", "a.nii.gz", partial(files.nifti, dtype="RGB"), NIFTI),
    Read("NIfTI, channels along axis 4", "a.nii.gz", volume(True, "axis"), NIFTI),
    Read("MetaImage in one file", "a.mha", volume(False), META, mask=".mha"),
    Read("MetaImage in one file, packed", "a.mha", volume(True), META, mask=".mha"),
    Read("MetaImage of vectors", "a.mha", volume(True, "vector"), META, mask=".mha"),
    Read("MetaImage with data file", "a.mhd", volume(False), META, ("a.mhd", "a.raw"), ".mha"),
    Read("MetaImage with packed data file", "a.mhd", volume(True), META, ("a.mhd", "a.zraw"), ".mha"),
    Read("NRRD in one file", "a.nrrd", volume(False), NRRD, mask=".nrrd"),
    Read("NRRD in one file, gzip", "a.nrrd", volume(True), NRRD, mask=".nrrd"),
    Read("NRRD in one file, bzip2", "a.nrrd", files.bzip2, NRRD, mask=".nrrd"),
    Read("NRRD, mask of 3D Slicer", "a.nrrd", volume(True), SLICER, mask=".seg.nrrd"),
    Read("NRRD with data file", "a.nhdr", volume(False), NRRD, ("a.nhdr", "a.raw"), ".nrrd"),
    Read("NRRD with packed data file", "a.nhdr", volume(True), NRRD, ("a.nhdr", "a.raw.gz"), ".nrrd"),
    Read("PNG, grey, 8 bit", "a.png", picture(), PNG),
    Read("PNG, grey, 16 bit", "a.png", picture(1, "u2", 60000), PNG),
    Read("PNG, grey with alpha", "a.png", picture(2), PNG),
    Read("PNG, RGB", "a.png", picture(3), PNG),
    Read("PNG, RGBA", "a.png", picture(4), PNG),
    Read("TIFF, grey, 8 bit", "a.tif", picture(), TIFF),
    Read("TIFF, grey, 16 bit", "a.tiff", picture(1, "u2", 60000), TIFF),
    Read("TIFF, grey, 32-bit floats", "a.tif", picture(1, "f4"), TIFF),
    Read("TIFF, RGB, 8 bit", "a.tif", picture(3), TIFF),
    Read("TIFF, RGB, 16 bit", "a.tif", picture(3, "u2", 60000), TIFF),
    Read("TIFF, RGBA", "a.tif", picture(4, extrasamples=["unassalpha"]), TIFF),
    Read("TIFF, tiled", "a.tif", picture(3, tile=(16, 16)), TIFF),
    Read("TIFF, a plane a colour", "a.tif", files.planar, TIFF),
    Read("TIFF, deflate with predictor", "a.tif", picture(1, compression="zlib", predictor=True), TIFF),
    Read("BigTIFF", "a.tif", picture(1, bigtiff=True), TIFF),
    Read("TIFF of ImageJ, one slice", "a.tif", picture(1, imagej=True), TIFF),
    Read("OME-TIFF, one plane", "a.ome.tif", picture(1, ome=True), TIFF),
    Read("JPEG, RGB", "a.jpg", picture(3, quality=95), JPEG, ("a.png",)),
    Read("JPEG, grey", "a.jpeg", picture(1, quality=95), JPEG, ("a.png",)),
)
UNREAD = "is a format not read"
REFUSED = (
    Refused("TIFF of several pages", "a.tif", files.pages, "expected one page, got 3"),
    Refused("TIFF stack of ImageJ", "a.tif", stack, "expected one page, got 2"),
    Refused("PNG of palette colours", "a.png", files.palette, "Save it as RGB first"),
    Refused("PNG of 1 bit", "a.png", bits, "Save it with 8 bits first"),
    Refused("PNG that is cut short", "a.png", files.cut, "is damaged or cut short"),
    Refused("JPEG, CMYK", "a.jpg", files.cmyk, "Save it as RGB PNG first"),
    Refused("NRRD of numbers as text", "a.nrrd", files.as_text, "expected encoding raw, gzip or bzip2"),
    Refused("BMP", "a.bmp", picture(), "convert it to PNG"),
    Refused("GIF", "a.gif", picture(), "convert it to PNG"),
    Refused("WebP", "a.webp", picture(3), "convert it to PNG"),
    Refused("JPEG 2000", "a.jp2", picture(3), UNREAD),
    Refused("HEIC", "a.heic", content(b"\0\0\0\x18ftypheic"), UNREAD),
    Refused("slide scanner, `.svs`", "a.svs", content(b"II*\0" + bytes(60)), UNREAD),
    Refused("FreeSurfer, `.mgz`", "a.mgz", files.freesurfer, "convert it with mri_convert in.mgz out.nii.gz"),
    Refused("MINC", "a.mnc", content(b"CDF\x01" + bytes(60)), "convert it with mnc2nii"),
    Refused("Analyze, `.hdr` and `.img`", "a.hdr", files.analyze, UNREAD),
    Refused("GIPL", "a.gipl", files.gipl, "convert it to .nii.gz or .mha with SimpleITK"),
    Refused("numpy, `.npy`", "a.npy", files.array_file, UNREAD),
    Refused("numpy, `.npz`", "a.npz", files.array_file, UNREAD),
    Refused("Matlab", "a.mat", content(b"MATLAB 5.0 MAT-file"), UNREAD),
    Refused("HDF5", "a.h5", content(b"\x89HDF\r\n\x1a\n" + bytes(60)), UNREAD),
    Refused("video", "a.mp4", content(b"\0\0\0\x18ftypisom"), UNREAD),
    Refused("zip of pictures", "a.zip", files.archive, "nothing in it was looked at; unpack it if it holds data"),
    Refused("image without an ending", "a", renamed, "holds an image, which its name does not say"),
    Refused("image called a text", "a.txt", content(b"NRRD0004\n"), "holds an image, which its name does not say"),
)


class Layout(NamedTuple):
    """A layout.

    Args:
        what: as the table calls it.
        names: images, and masks with ``=1`` behind them; ``@`` stands for the ending.
        index: what ``dataset.json`` holds besides the cases; ``training`` is filled where it is there.
        outcome: where the output lies, for people.
        bids: images take ``desc-protected``.
        mapping: ``images`` and ``labels`` of a mapping file.
    """

    what: str
    names: tuple[str, ...]
    index: dict[str, object] | None = None
    outcome: str = "the same names"
    bids: bool = False
    mapping: tuple[str, str] | None = None

    def plant(self, root: Path, ending: str) -> list[str]:
        """Write a data set in it; gives the options that it takes."""
        mask = ".png" if ending == ".jpg" else ending
        names = [name.replace("@", mask if name.endswith("=1") else ending) for name in self.names]
        lay(root, *names)
        if self.index is not None:
            found = {**self.index, "numTraining": len(CASES), "file_ending": ending}
            if "training" in found:
                labels = [name.removesuffix("=1") for name in names if name.endswith("=1")]
                images = [label.replace("labelsTr", "imagesTr").replace(mask, ending) for label in labels]
                pairs = zip(images, labels, strict=True)
                found["training"] = [{"image": f"./{image}", "label": f"./{label}"} for image, label in pairs]
            (root / "dataset.json").write_text(json.dumps(found))
        if self.bids:
            (root / "dataset_description.json").write_text(json.dumps({"Name": "heads", "BIDSVersion": "1.10.0"}))
        if self.mapping is None:
            return []
        lines = (f"{key}: '{one.replace('@', mask if key == 'labels' else ending)}'" for key, one in self.pairs())
        root.with_name("map.yaml").write_text("\n".join(lines))
        return ["--layout", str(root.with_name("map.yaml"))]

    def pairs(self) -> list[tuple[str, str]]:
        """Lines of the mapping file."""
        return list(zip(("images", "labels"), self.mapping or (), strict=True))


def spread(*names: str) -> tuple[str, ...]:
    """Names for each case: ``{}`` stands for it."""
    return tuple(name.replace("{}", case) for case in CASES for name in names)


OLD_INDEX = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "lesion"}, "training": [], "test": []}
NEW_INDEX = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "lesion": 1}}
ROI = ("rois/{case}/{class}@", "scans/{case}_{channel}@")
LAYOUTS = (
    Layout("Decathlon", spread("imagesTr/{}@", "labelsTr/{}@=1"), OLD_INDEX),
    Layout("nnU-Net v1", spread("imagesTr/{}_0000@", "labelsTr/{}@=1"), OLD_INDEX),
    Layout("nnU-Net v2 raw", spread("imagesTr/{}_0000@", "labelsTr/{}@=1"), NEW_INDEX),
    Layout(
        "BIDS",
        spread("sub-{}/anat/sub-{}_T1w@", "derivatives/manual/sub-{}/anat/sub-{}_dseg@=1"),
        outcome="a BIDS derivative: `desc-protected`, a sidecar each",
        bids=True,
    ),
    Layout("`images/` and `masks/`", spread("images/{}@", "masks/{}@=1")),
    Layout(
        "`train/Images`, `val/Masks` ...", ("train/Images/a@", "train/Masks/a@=1", "val/Images/b@", "val/Masks/b@=1")
    ),
    Layout("`a` beside `a_mask`", spread("{}@", "{}_mask@=1")),
    Layout("a folder a case", spread("{}/image@", "{}/mask@=1")),
    Layout("BraTS", spread("{}/{}_t1@", "{}/{}_flair@", "{}/{}_seg@=1")),
    Layout("TotalSegmentator", spread("{}/ct@", "{}/segmentations/liver@=1", "{}/segmentations/spleen@=1")),
    Layout("a mapping file", spread("scans/{}_t1@", "rois/{}/liver@=1"), mapping=ROI[::-1]),
)
ONE_ENDING = {"nnU-Net v2 raw"}
"""Layouts whose images and masks have one ending, so that there is no PNG mask for a JPEG: refused, exit code 1."""


def table(*rows: tuple[str, ...]) -> str:
    """A table of Markdown; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def tables() -> str:
    """The part of the page that these outcomes make."""
    read = [(one.what, f"`{one.name}`", _written(one), one.kept) for one in READ]
    refused = [(one.what, f"`{one.name}`", f"\u201c{one.says}\u201d") for one in REFUSED]
    layouts = [(one.what, *(cell(one, end) for end in ENDINGS), one.outcome) for one in LAYOUTS]
    mistakes = [
        (str(one.row), one.what, one.outcome, f"`tests/{one.test.partition('::')[0]}`, `{one.test.partition('::')[2]}`")
        for one in MISTAKES
    ]
    return "\n\n".join(
        (
            "## Formats that are read",
            "Each is protected, verified, and found sound by `umed check-release`; exit code 0.",
            table(("format", "file", "written as", "kept"), *read),
            "## Formats that are not read",
            "The image and its label are left out with this reason, the rest of the data set is released, and the exit "
            "code is 3.",
            table(("format", "file", "the reason says"), *refused),
            "## Layouts",
            "Each data set of two cases in each format. \u201cyes\u201d: all images are protected, labels are the same "
            "bytes, "
            "`umed verify` and `umed check-release` find nothing, exit code 0. Masks of JPEG images are PNG "
            "(\u201cas PNG\u201d: the images are written so); nnU-Net v2 knows one ending for both.",
            table(("layout", *(f"`{end}`" for end in ENDINGS), "output"), *layouts),
            "## What goes wrong with files",
            "Each line is a test below `tests/`; most run with many inputs of the kind.",
            table(("", "what comes", "what becomes of it", "test"), *mistakes),
        )
    )


def _written(one: Read) -> str:
    return ", ".join(f"`{name}`" for name in one.written or (one.name,))


def cell(layout: Layout, ending: str) -> str:
    """Outcome of a layout in a format."""
    if ending != ".jpg":
        return "yes"
    return "no" if layout.what in ONE_ENDING else "as PNG"


def page() -> str:
    """The page as it should read."""
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    return f"{before}{START}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
