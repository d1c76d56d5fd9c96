# SPDX-License-Identifier: Apache-2.0
"""Verification: what it checks, where the promise comes from, and what it says. Forgeries have a file of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import umed
from tests import forged, sealed
from tests.dicom_files import write_series
from tests.release_files import labels, make_key, volume, write_seg
from umed.core.config import Settings
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.core.registry import METHODS
from umed.data import formats
from umed.data.container import container_difference
from umed.plan.budget import make_budget
from umed.plan.planning import Plan
from umed.protect.named_promise import in_words, looser
from umed.protect.verify import verify

NAME, LABEL = "imagesTr/case_001.nii.gz", "labelsTr/case_001.nii.gz"
SETTINGS = {"method": "random", "epsilon": 8 / 255, "radius": 2.0}
PROMISE = {"epsilon": 8 / 255, "radius": 2.0}


@pytest.fixture
def decathlon(tmp_path: Path, make_decathlon: Callable[..., Path]) -> tuple[Path, Path]:
    root = make_decathlon(tmp_path / "in", empty=True)
    umed.protect(root, tmp_path / "out", **SETTINGS)
    return root, tmp_path / "out"


def test_all_layouts_hold_with_the_record_and_without(
    tmp_path: Path,
    decathlon: tuple[Path, Path],
    make_pairs: Callable[..., Path],
    make_nnunet: Callable[..., Path],
) -> None:
    made = [decathlon]
    for number, root in enumerate((make_pairs(tmp_path / "p", ending=".jpg"), make_nnunet(tmp_path / "n"))):
        made.append((root, tmp_path / f"q{number}"))
        umed.protect(*made[-1], **SETTINGS)
    for root, out in made:
        found = verify(root, out)
        assert found.ok, found.summary()
        shutil.rmtree(out.with_name(f"{out.name}-private"))
        assert verify(root, out, promise=PROMISE).ok
    found = verify(*decathlon, promise=PROMISE)
    assert [case.status for case in found.cases] == ["unchanged", "protected", "protected", "skipped"]
    assert [case.id for case in found.unprotected] == ["case_000", "case_900"]
    assert "every promise holds" in found.summary() and json.loads(found.to_json())["ok"]


@pytest.mark.parametrize("mode", ["record", "named"])
def test_values_that_moved_too_far_or_from_outside_the_range(decathlon: tuple[Path, Path], mode: str) -> None:
    root, out = decathlon
    source = formats.read(root / NAME)
    budget = make_budget(source, epsilon=8 / 255, range="percentile")
    labelled = np.asarray(formats.read(root / LABEL).stored) > 0
    high = tuple(np.argwhere(labelled & (source.stored > budget.high))[0])
    kept = (out / NAME).read_bytes()
    if mode == "named":
        shutil.rmtree(out.with_name("out-private"))
    promise = PROMISE if mode == "named" else None
    for place, by, words in (((0, 0, 0), 1, "1 changed"), (high, 1, "outside the range untouched")):
        forged.values(root, out, NAME, LABEL, lambda new, old, _: new.__setitem__(place, old[place] + by))  # noqa: B023
        forged.state(out)
        assert words in verify(root, out, promise=promise).summary()
        (out / NAME).write_bytes(kept)
    forged.values(root, out, NAME, LABEL, lambda new, old, where: new.__setitem__(where, old[where] + 60))
    assert "expected changes of at most" in verify(root, out, promise=promise).summary()


def test_a_tighter_promise_than_the_plan_is_not_kept_and_a_looser_one_is_said(decathlon: tuple[Path, Path]) -> None:
    for promise, word in (({**PROMISE, "epsilon": 4 / 255}, "at most"), ({**PROMISE, "radius": 0.0}, "outside ROI")):
        assert word in verify(*decathlon, promise=promise).summary()
    found = verify(*decathlon, promise={"epsilon": 0.5, "radius": 4, "range": [-1e5, 1e5]})
    text = found.summary()
    assert found.ok and "looser than the private plan: epsilon 0.5 instead of 0.03137" in text
    assert "radius 4 px instead of 2 px" in text and "range [-100000, 100000] instead of from percentile" in text
    assert "promised by whoever asked" in text
    settings = Settings(**{**SETTINGS, "method": "random"})
    assert verify(*decathlon, promise=settings).ok


def test_looser_in_every_way() -> None:
    plan = Plan(range=(0.0, 1.0), support="roi", spatial_dims=2, slice_axis=0)
    assert looser(plan, plan) == []
    from dataclasses import replace

    for change in (
        {"support": "full"},
        {"radius": 4.0},
        {"radius_unit": "mm"},
        {"range": "dtype"},
        {"range": (0.0, 2.0)},
        {"spatial_dims": 3},
        {"epsilon": 0.5},
    ):
        assert len(looser(replace(plan, **change), plan)) == 1  # type: ignore[arg-type]
    full = replace(plan, support="full", epsilon_background=1e-3)
    assert looser(replace(full, epsilon_background=2e-3), full) and not looser(plan, full)
    assert looser(replace(plan, range=(0.2, 0.8), epsilon=1e-3), plan) == []


def test_what_was_checked_is_said_in_plain_words() -> None:
    plan = Plan(epsilon=4 / 255, range=(-160.0, 240.0), support="roi", spatial_dims=2, slice_axis=1)
    text = "\n".join(in_words(plan, [6.0, 6.0], "from me"))
    assert "more than 0.01569 (4/255) of the range, 6 stored steps in every image" in text
    assert "ROI and 3 px on both sides of its contours, slice by slice along axis 1" in text
    assert "range: [-160, 240]; values outside it do not move" in text and text.endswith("from me")
    assert "stored steps" not in "\n".join(in_words(plan, [6.0, 5.0], ""))


def test_a_lost_key_or_folder_and_a_key_of_another_release(decathlon: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = decathlon
    private = out.with_name("out-private")
    other = make_key(tmp_path)
    with pytest.raises(ConfigError, match="Give the key of this release with --key-file"):
        verify(root, out, key_file=other)
    with pytest.raises(InputError, match="expected the private folder"):
        verify(root, out, private=tmp_path / "none")
    key = (private / "release.key").rename(tmp_path / "mine.key")
    with pytest.raises(ConfigError, match=r"nothing can be verified against the private plan; the release stands"):
        verify(root, out)
    assert "nothing can be verified against the private plan" in verify(root, out, promise=PROMISE).summary()
    assert verify(root, out, key_file=key).ok
    key.chmod(0o644)
    with pytest.raises(InputError, match="only its owner may read"):
        verify(root, out, key_file=key, promise=PROMISE)
    key.chmod(0o600)
    private.rename(tmp_path / "elsewhere")
    assert verify(root, out, private=tmp_path / "elsewhere", key_file=key).ok
    with pytest.raises(ConfigError, match="there is no private folder"):
        verify(root, out)
    sealed_only = verify(root, out, key_file=key, promise=PROMISE)
    assert sealed_only.ok and "seal was not checked" not in sealed_only.summary()
    wrong = verify(root, out, key_file=other, promise=PROMISE)
    assert "expected the manifest of the key" in wrong.summary()
    with pytest.raises(ConfigError, match="promise.epsilonn: unknown key"):
        verify(root, out, promise={"epsilonn": 1})


def test_an_output_of_the_old_kind_is_not_to_be_trusted(decathlon: tuple[Path, Path]) -> None:
    root, out = decathlon
    path = out / "umed" / "manifest.json"
    plan = {**sealed.record(out)["plan"], "epsilon": 1.0}
    shutil.rmtree(out.with_name("out-private"))
    (out / "umed" / "about.html").unlink()
    path.write_text(json.dumps({"format": 1, "layout": "decathlon", "plan": plan, "cases": []}))
    with pytest.raises(InputError, match=r"umed 0\.1, whose code is public"):
        verify(root, out)
    found = verify(root, out, promise=PROMISE)
    assert not found.ok and [p for p in found.problems if "whose code is public" not in p] == []
    assert not any(case.failures for case in found.cases)
    forged.values(root, out, NAME, LABEL, forged.blank)
    assert any(case.failures for case in verify(root, out, promise=PROMISE).cases)


@pytest.mark.parametrize("ending", [".png", ".tif", ".nii", ".nii.gz"])
def test_another_packing_of_the_same_content_is_no_forgery(
    tmp_path: Path,
    make_pairs: Callable[..., Path],
    make_decathlon: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    import gzip
    import zlib

    import tifffile

    from umed.data import png, tiff_pixels

    if ending.startswith(".nii"):
        path = make_decathlon(tmp_path / "in") / NAME
        if ending == ".nii":
            (tmp_path / "a.nii").write_bytes(gzip.decompress(path.read_bytes()))
            path = tmp_path / "a.nii"
    else:
        path = make_pairs(tmp_path / "in", ending=ending) / f"images/photo_0{ending}"
        if ending == ".tif":
            tifffile.imwrite(path, tifffile.imread(path), compression="deflate")
    source = formats.read(path)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / path.name
    formats.write(source, source.stored, target)
    assert container_difference(source, formats.read(target)) == ""
    ours = target.read_bytes()
    if ending == ".nii.gz":
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        target.write_bytes(packer.compress(gzip.decompress(ours)) + packer.flush())
    elif ending == ".png":
        from tests.forged import repack

        repack(target, lambda kind, body: zlib.compress(zlib.decompress(body), 9) if kind == b"IDAT" else body)
        assert dict(png.chunks(target.read_bytes())) != dict(png.chunks(ours))
    elif ending == ".tif":
        monkeypatch.setattr(tiff_pixels, "LEVEL", 1)
        formats.write(source, source.stored, target)
        monkeypatch.undo()
        assert target.read_bytes() != ours
    assert container_difference(source, formats.read(target)) == ""


def test_an_option_is_needed_where_a_run_put_cases_aside(
    tmp_path: Path, make_pairs: Callable[..., Path], decathlon: tuple[Path, Path]
) -> None:
    root = make_pairs(tmp_path / "p")
    (root / "images/photo_1.png").write_bytes(b"no picture")
    assert umed.protect(root, tmp_path / "q", **SETTINGS).exit_code == 3
    assert verify(root, tmp_path / "q").ok
    shutil.rmtree(tmp_path / "q-private")
    found = verify(root, tmp_path / "q", promise=PROMISE)
    assert [c.status for c in found.cases] == ["protected", "missing", "protected"]
    assert "if the run could not protect it, give --private" in found.summary() and found.exit_code == 1


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_mark_is_part_of_the_promise(tmp_path: Path, make_pairs: Callable[..., Path], ending: str) -> None:
    root = make_pairs(tmp_path / "p", ending=ending)
    umed.protect(root, tmp_path / "q", **SETTINGS, mark=True)
    assert "mark: each protected PNG" in verify(root, tmp_path / "q").summary()
    shutil.rmtree(tmp_path / "q-private")
    assert verify(root, tmp_path / "q", promise={**PROMISE, "mark": True}).ok
    assert (
        f"{'chunk tEXt' if ending == '.png' else 'tag 270'} new"
        in verify(root, tmp_path / "q", promise=PROMISE).summary()
    )
    path = tmp_path / "q" / "images" / f"photo_0{ending}"
    path.write_bytes(path.read_bytes().replace(b"Protected by umed", b"Released by Erika"))
    assert not verify(root, tmp_path / "q", promise={**PROMISE, "mark": True}).ok


def test_a_case_of_the_input_that_the_run_never_saw(decathlon: tuple[Path, Path]) -> None:
    root, out = decathlon
    for folder in ("imagesTr", "labelsTr"):
        shutil.copy(root / folder / "case_001.nii.gz", root / folder / "case_003.nii.gz")
    index = json.loads((root / "dataset.json").read_text())
    index["training"].append({"image": "./imagesTr/case_003.nii.gz", "label": "./labelsTr/case_003.nii.gz"})
    (root / "dataset.json").write_text(json.dumps(index))
    assert "case_003: is not in the private record" in verify(root, out).summary()


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("unseg",)])
def test_every_method_moves_enough_of_what_is_labelled(
    tmp_path: Path, make_decathlon: Callable[..., Path], method: str
) -> None:
    root = make_decathlon(tmp_path / "in", cases=1, shape=(20, 18, 16 if method == "voxshield" else 12), test=False)
    training = {"iterations": 1, "batch_size": 1, "surrogate_options": {"width": 4}}
    options = {"surrogate_iterations": 2, "inner_steps": 1, "checkpoints": 2, "attack_steps": 1}
    entry = METHODS[method].options
    given = {key: value for key, value in options.items() if entry is not None and key in entry}
    Key(bytes(range(32))).write(tmp_path / "fixed.key")
    more = {"training": training, "report": False, "key_file": tmp_path / "fixed.key"}
    umed.protect(root, tmp_path / "out", method=method, method_options=given, **more)
    shutil.rmtree(tmp_path / "out-private")
    found = verify(root, tmp_path / "out", promise={"epsilon": 4 / 255, "radius": 3})
    assert found.ok, found.summary()


def test_dicom_padding_and_spans_count_once(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in" / "ct", volume(), bits=16)
    write_seg(paths, labels(), tmp_path / "in" / "seg.dcm")
    umed.protect(tmp_path / "in", tmp_path / "out", **SETTINGS)
    found = verify(tmp_path / "in", tmp_path / "out", promise={**PROMISE, "epsilon": 4 / 255})
    assert "expected changes of at most 6 stored" in found.summary()
    assert "masks: expected a DICOM output" not in found.summary()


def test_neither_torch_nor_monai() -> None:
    code = "import sys, umed.protect.verify, umed.data.layouts; print({'torch', 'monai'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"
