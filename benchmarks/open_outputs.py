# SPDX-License-Identifier: Apache-2.0
"""Do the libraries of others open what umed writes? The last table of docs/formats.md.

    python benchmarks/open_outputs.py make WORK --hippocampus Task04_Hippocampus --pictures isic_600    # needs umed
    python benchmarks/open_outputs.py open WORK    # in any environment, with whatever is installed there

The first writes the first cases in each form and protects them; the second opens originals and outputs side by side.
Exit code 1 if anything could not be opened, or differs from its original in more than its values.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

VOLUMES = (".nii.gz", ".mha", ".nrrd")
PICTURES = (".png", ".tif")
Opened = tuple[Any, Any]
"""Values, and what else the library tells of a file."""


def make(work: Path, hippocampus: Path, pictures: Path, cases: int) -> None:
    """Write and protect ``WORK/in/FORM`` to ``WORK/out/FORM``; a form is a layout and an ending."""
    import SimpleITK
    from PIL import Image

    index = json.loads((hippocampus / "dataset.json").read_text(encoding="utf-8"))
    entries = [(hippocampus / one["image"], hippocampus / one["label"]) for one in index["training"][:cases]]
    masks = {path.stem.removesuffix("_segmentation"): path for path in sorted((pictures / "masks").iterdir())}
    shown = [(path, masks[path.stem]) for path in sorted((pictures / "images").iterdir()) if path.stem in masks][:cases]
    for ending in VOLUMES:
        for folder in _forms(work, ending, {"0": "MRI"}, {"background": 0, "anterior": 1, "posterior": 2}, cases):
            for image, label in entries:
                stem = image.name.removesuffix(".nii.gz")
                for source, target in zip((image, label), _names(folder, stem, ending), strict=True):
                    SimpleITK.WriteImage(SimpleITK.ReadImage(str(source)), str(target), True)
    for ending in PICTURES:
        channels = {"0": "R", "1": "G", "2": "B"}
        for folder in _forms(work, ending, channels, {"background": 0, "lesion": 1}, cases):
            for image, label in shown:
                one, other = _names(folder, image.stem, ending)
                packed = {"compression": "tiff_adobe_deflate"} if ending == ".tif" else {}
                Image.open(image).convert("RGB").save(one, **packed)
                Image.fromarray((np.array(Image.open(label)) > 0).astype(np.uint8)).save(other, **packed)
    for folder in sorted((work / "in").iterdir()):
        words = ["protect", str(folder), str(work / "out" / folder.name), "--method", "checkerboard", "--quiet"]
        done = subprocess.run([sys.executable, "-m", "umed", *words], stdout=subprocess.DEVNULL, check=False)
        print(f"{folder.name}: umed protect ended with {done.returncode}")


def _forms(work: Path, ending: str, channels: dict[str, str], labels: dict[str, int], cases: int) -> list[Path]:
    number = (*VOLUMES, *PICTURES).index(ending) + 1
    pairs, nnunet = (
        work / "in" / name for name in (f"pairs{ending}", f"Dataset{number:03d}{ending.replace('.', '_')}")
    )
    for folder in (pairs / "images", pairs / "masks", nnunet / "imagesTr", nnunet / "labelsTr"):
        folder.mkdir(parents=True)
    index = {"channel_names": channels, "labels": labels, "numTraining": cases, "file_ending": ending}
    (nnunet / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    return [pairs, nnunet]


def _names(folder: Path, stem: str, ending: str) -> tuple[Path, Path]:
    if (folder / "imagesTr").is_dir():
        return folder / "imagesTr" / f"{stem}_0000{ending}", folder / "labelsTr" / f"{stem}{ending}"
    return folder / "images" / f"{stem}{ending}", folder / "masks" / f"{stem}{ending}"


def by_simpleitk(path: Path) -> Opened:
    """Values; grid, type and header fields."""
    library = import_module("SimpleITK")
    image = library.ReadImage(str(path))
    grid = image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    return library.GetArrayFromImage(image), (*grid, image.GetPixelIDTypeAsString(), fields)


def by_nibabel(path: Path) -> Opened:
    """Values; header bytes."""
    image = import_module("nibabel").load(path)
    return np.asarray(image.dataobj), image.header.binaryblock


def by_torchio(path: Path) -> Opened:
    """Values; place in space, spacing and orientation."""
    image = import_module("torchio").ScalarImage(path)
    return image.data.numpy(), (image.affine.tolist(), image.spacing, image.orientation, str(image.data.dtype))


def by_pillow(path: Path) -> Opened:
    """Values; mode and what is beside the pixels."""
    with import_module("PIL.Image").open(path) as image:
        return np.array(image), (image.size, image.mode, image.format, dict(image.info))


def by_tifffile(path: Path) -> Opened:
    """Values; all tags but those that say where the pixels lie."""
    with import_module("tifffile").TiffFile(path) as file:
        tags = {tag.name: tag.value for tag in file.pages[0].tags if tag.code not in (273, 279, 324, 325)}
        return file.asarray(), (len(file.pages), tags)


READERS: dict[str, tuple[Callable[[Path], Opened], tuple[str, ...]]] = {
    "SimpleITK": (by_simpleitk, (*VOLUMES, *PICTURES)),
    "nibabel": (by_nibabel, (".nii.gz",)),
    "torchio": (by_torchio, (*VOLUMES, ".png")),
    "pillow": (by_pillow, PICTURES),
    "tifffile": (by_tifffile, (".tif",)),
}


def open_all(work: Path) -> int:
    """Open everything below ``WORK/out`` and print a table; the number of problems."""
    rows, problems = [], list[str]()
    for folder in sorted((work / "out").iterdir()):
        if not (folder / "umed").is_dir():
            continue
        ending = "".join(next(path for path in folder.glob("*/*") if path.parent.name != "umed").suffixes[-2:])
        ending = next(one for one in (*VOLUMES, *PICTURES) if ending.endswith(one))
        for name, (reader, endings) in READERS.items():
            if ending in endings:
                rows.append(
                    [folder.name, _installed(name), _compare(folder, work / "in" / folder.name, reader, problems)]
                )
        if folder.name.startswith("Dataset"):
            rows.append([folder.name, _installed("nnunetv2"), _nnunet(folder, problems)])
    rows = [row for row in rows if row[1]]
    print("\n".join(f"| {' | '.join(row)} |" for row in (["output", "opened with", "what it saw"], ["---"] * 3, *rows)))
    print(f"\n{datetime.date.today()}, Python {sys.version.split()[0]}; {len(problems)} problems")
    print("\n".join(problems), file=sys.stderr)
    return len(problems)


def _installed(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def _compare(out: Path, source: Path, reader: Callable[[Path], Opened], problems: list[str]) -> str:
    if not _installed(next(name for name, (one, _) in READERS.items() if one is reader)):
        return ""
    images = labels = 0
    most = 0.0
    seen = set[str]()
    for path in sorted(path for path in out.glob("*/*") if path.parent.name != "umed"):
        try:
            values, about = reader(path)
            before, known = reader(source / path.relative_to(out))
        except Exception as error:  # noqa: BLE001 - whatever a library says of a file is the finding
            problems.append(f"{path.relative_to(out.parent)}: {type(error).__name__}: {error}")
            continue
        seen.add(f"{str(values.dtype)}, {values.ndim} axes")
        moved = float(np.abs(values.astype(np.float64) - before).max()) if values.shape == before.shape else np.inf
        if about != known or values.dtype != before.dtype or not np.isfinite(moved):
            problems.append(f"{path.relative_to(out.parent)}: {reader.__doc__} differ")
        elif path.parent.name in ("masks", "labelsTr"):
            labels += 1
            if moved:
                problems.append(f"{path.relative_to(out.parent)}: a label that is not its original")
        else:
            images, most = images + 1, max(most, moved)
            if not moved:
                problems.append(f"{path.relative_to(out.parent)}: an image that did not change")
    types = "; ".join(sorted(seen))
    return f"{images} images as the originals but for values (by up to {most:g}), {labels} labels the same ({types})"


def _nnunet(folder: Path, problems: list[str]) -> str:
    if not _installed("nnunetv2"):
        return ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            check = import_module("nnunetv2.experiment_planning.verify_dataset_integrity").verify_dataset_integrity
            check(str(folder), 2)
        except Exception as error:  # noqa: BLE001 - as above
            problems.append(f"{folder.name}: verify_dataset_integrity: {type(error).__name__}: {error}")
            return "verify_dataset_integrity failed"
    return "verify_dataset_integrity: " + ("most likely OK" if "most likely OK" in said.getvalue() else "no word")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("make", "open"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--hippocampus", type=Path, help="of the Medical Segmentation Decathlon")
    parser.add_argument("--pictures", type=Path, help="a folder with images/ and masks/")
    parser.add_argument("--cases", type=int, default=12)
    args = parser.parse_args()
    if args.step == "open":
        sys.exit(1 if open_all(args.work) else 0)
    if args.hippocampus is None or args.pictures is None:
        parser.error("make: expected --hippocampus and --pictures")
    make(args.work, args.hippocampus, args.pictures, args.cases)
