# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests: the real data beside the repository if it is there, and tiny data sets made on the spot."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch are imported, by what tests start as well
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of the many processes that tests start would compile umed anew
sys.dont_write_bytecode = False

import nibabel
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from umed.data.phantom import make_phantom

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:  # under nohup; what tests start would ignore it, too
        signal.signal(_number, _usual)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no plain text name no test: what is packed while tests are collected may hold the time of day,
    and two workers that give one test two names are refused by pytest-xdist."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode("ascii").isprintable()):
        return argname
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no process is left with one at the end; all else stays as it is."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def known_keys() -> Iterator[None]:
    """New keys follow from the test that makes them and their number in it: no test hangs on what was drawn."""
    made: Counter[str] = Counter()

    def draw(size: int) -> bytes:
        name = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
        made[name] += 1
        return hashlib.sha256(f"{name} {made[name]}".encode()).digest()[:size]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("umed.core.keyfile.secrets.token_bytes", draw)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real test data; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real test data beside the repository ({DATA.parent.name}/{DATA.name})")
    return DATA


@pytest.fixture(scope="session")
def dicom_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of odd real DICOM files: ``dicom_zoo`` of the real test data, or else those that come with pydicom."""
    if (DATA / "dicom_zoo").is_dir():
        return DATA / "dicom_zoo"
    import pydicom.data

    root, folder = Path(pydicom.data.__file__).parent, tmp_path_factory.mktemp("dicom_zoo")
    for path in sorted((*root.glob("test_files/**/*"), *root.glob("charset_files/*"))):
        if path.suffix in ("", ".dcm") and path.is_file() and path.name != "badVR.dcm":  # its values hold nothing valid
            name = "__".join(("pydicom", *path.relative_to(root).parts))  # as it is called in the real test data
            (folder / name).write_bytes(path.read_bytes())
    return folder


def ball(shape, centre, radius):
    """Mask of a ball (or disc) on a grid."""
    grid = np.ogrid[tuple(slice(0, size) for size in shape)]
    return sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)) <= radius**2


def nested_labels(shape):
    """Two classes that touch each other, off-centre."""
    centre = [size * 0.45 for size in shape]
    labels = np.zeros(shape, np.uint8)
    labels[ball(shape, centre, min(shape) * 0.3)] = 1
    labels[ball(shape, centre, min(shape) * 0.15)] = 2
    return labels


def save_nifti(path, array, *, slope=None, inter=None, affine=None, kind=nibabel.Nifti1Image, zooms=None):
    """Write a NIfTI file whose stored values are exactly ``array``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(array, np.diag([1.5, 1.5, 2.0, 1.0]) if affine is None else affine)
    image.header.set_data_dtype(array.dtype)
    if zooms:
        image.header.set_zooms(zooms)
    if slope is not None:
        image.header.set_slope_inter(slope, inter or 0.0)
        scaled = array.astype(np.float64) * slope + (inter or 0.0)
        image = kind(scaled, image.affine, image.header)
        image.header.set_slope_inter(slope, inter or 0.0)
    nibabel.save(image, path)
    return path


@pytest.fixture
def make_decathlon() -> Callable[..., Path]:
    """Factory: int16 NIfTI with slope and intercept, two classes, maybe an empty label and an unlabelled test case."""

    def make(root: Path, cases: int = 3, shape=(20, 18, 12), empty: bool = False, test: bool = True) -> Path:
        rng = np.random.default_rng(0)
        names = [f"case_{number:03d}.nii.gz" for number in range(cases)]
        for number, name in enumerate(names):
            labels = nested_labels(shape)
            labels = np.zeros_like(labels) if empty and number == 0 else labels
            image = (rng.normal(0, 30, shape) + 100 * labels).astype(np.int16)
            save_nifti(root / "imagesTr" / name, image, slope=0.5, inter=-20.0)
            save_nifti(root / "labelsTr" / name, labels)
        index = {
            "name": "tiny",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "shell", "2": "core"},
            "numTraining": cases,
            "numTest": int(test),
            "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
            "test": ["./imagesTs/case_900.nii.gz"] if test else [],
        }
        if test:
            save_nifti(root / "imagesTs" / "case_900.nii.gz", rng.normal(0, 30, shape).astype(np.int16))
        (root / "dataset.json").write_text(json.dumps(index))
        return root

    return make


@pytest.fixture
def make_pairs() -> Callable[..., Path]:
    """Factory: PNG (or other) pictures and masks of 0 and 255."""

    def make(
        root: Path, cases: int = 3, shape=(40, 36), mode: str = "RGB", ending: str = ".png", seed: int = 0
    ) -> Path:
        rng = np.random.default_rng(seed)
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        for number in range(cases):
            mask = nested_labels(shape) > 0
            pixels = rng.integers(60, 200, (*shape, 3) if mode == "RGB" else shape).astype(np.uint8)
            Image.fromarray(pixels, mode).save(root / "images" / f"photo_{number}{ending}")
            Image.fromarray((mask * 255).astype(np.uint8), "L").save(
                root / "masks" / f"photo_{number}_segmentation.png"
            )
        return root

    return make


@pytest.fixture
def make_nnunet() -> Callable[..., Path]:
    """Factory: nnU-Net v2 raw with two float32 channels of different scale."""

    def make(root: Path, cases: int = 2, shape=(18, 16, 12), seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for number in range(cases):
            labels = nested_labels(shape)
            for channel, scale in enumerate((1.0, 500.0)):
                image = (rng.normal(1, 0.2, shape) + 0.5 * labels) * scale
                save_nifti(root / "imagesTr" / f"BRATS_{number:03d}_{channel:04d}.nii.gz", image.astype(np.float32))
            save_nifti(root / "labelsTr" / f"BRATS_{number:03d}.nii.gz", labels)
        index = {
            "channel_names": {"0": "T1", "1": "T2"},
            "labels": {"background": 0, "shell": 1, "core": 2},
            "numTraining": cases,
            "file_ending": ".nii.gz",
        }
        (root / "dataset.json").write_text(json.dumps(index))
        return root

    return make


@pytest.fixture
def phantom(tmp_path: Path) -> Path:
    """Five tiny CT-like volumes in Decathlon layout."""
    return make_phantom(tmp_path / "phantom", cases=5, size=(24, 24, 16))


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Makes an images/ and masks/ data set of small colour pictures."""

    def make(count: int = 4, ending: str = ".png", empty: tuple[int, ...] = ()) -> Path:
        root = tmp_path / "pictures"
        rng = np.random.default_rng(0)
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(20, 230, (40, 48, 3), dtype=np.uint8)
            mask = np.zeros((40, 48), np.uint8)
            if i not in empty:
                mask[10 : 20 + i, 12:30] = 255
            Image.fromarray(image).save(root / "images" / f"case_{i}{ending}")
            Image.fromarray(mask).save(root / "masks" / f"case_{i}.png")
        return root

    return make


@pytest.fixture
def write_nifti() -> Callable[..., None]:
    """Writes an array as NIfTI with a given spacing."""

    def write(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([*spacing, 1.0])), path)

    return write


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked from one process that has imported torch and MONAI; tests/execution starts real ones."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["monai.losses", "monai.networks.nets", "torch._dynamo", "pydicom", "skimage.metrics"]
        )
        monkeypatch.setattr(
            "umed.execution.processes.multiprocessing", SimpleNamespace(get_context=lambda method: context)
        )


@pytest.fixture
def known_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run of a benchmark takes this time for a step of any training, and measures none."""
    monkeypatch.setattr("umed.benchmark.grid.estimate.step_seconds", lambda *args, **options: 0.1)


@pytest.fixture
def tiny_sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a tiny Segment Anything; as long as it is there, every SAM cuts bright shapes out by rule."""
    import torch

    from tests.sam_files import cut_bright_shapes_out
    from umed.networks.sam import make_sam

    cut_bright_shapes_out(monkeypatch)
    path = tmp_path / "tiny.pth"
    torch.save(make_sam("tiny").sam.state_dict(), path)
    return path
