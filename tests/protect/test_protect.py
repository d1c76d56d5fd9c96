# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import importlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch

from umed.cases.records import Store, make_private, private_of
from umed.core import registry
from umed.core.errors import ConfigError, InputError, UmedError
from umed.core.keyfile import Key
from umed.data.files import TEMPORARY
from umed.methods.base import Method
from umed.protect.result import Result
from umed.protect.run import protect
from umed.protect.verify import verify

module = importlib.import_module("umed.cases.file_source")


@pytest.fixture(autouse=True)
def one_key() -> Iterator[None]:
    """Every run of these tests makes the same key, so that their bytes can be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Key, "create", classmethod(lambda cls, path: cls(bytes(range(32))).write(path)))
        yield


def tree(root: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("method", ["random", "checkerboard"])
def test_a_volume_data_set_is_protected_and_verifies(method: str, phantom: Path, tmp_path: Path) -> None:
    before = tree(phantom)
    result = protect(phantom, tmp_path / "out", method=method)
    assert result.exit_code == 0
    assert result.counts == {"protected": 5, "unchanged": 0, "failed": 0, "skipped": 0, "carried": 0}
    assert verify(phantom, tmp_path / "out").ok
    assert tree(phantom) == before
    after = tree(tmp_path / "out")
    assert after["dataset.json"] == before["dataset.json"]
    assert {name for name in after if not name.startswith("umed/")} == set(before)
    assert {name for name in after if name.startswith("umed/")} == {"umed/manifest.json", "umed/about.html"}
    private = tree(tmp_path / "out-private")
    record = json.loads(private["release.json"])["cases"][0]["files"][0]
    assert 0 < record["largest_step"] <= record["epsilon_steps"] == 6  # 4/255 of 400 HU
    del private["targets.json"]  # knows which output it serves
    assert str(tmp_path).encode() not in b"".join([*after.values(), *private.values()])


def test_same_seed_same_bytes_other_seed_others(phantom: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        protect(phantom, tmp_path / name, method="random", seed=seed)
    a, b, c = (tree(tmp_path / name) for name in "abc")
    assert a == b
    assert a["imagesTr/phantom_000.nii.gz"] != c["imagesTr/phantom_000.nii.gz"]


def test_checkerboard_is_in_phase_with_the_full_grid(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", method="checkerboard", report=False)
    name = "imagesTr/phantom_001.nii.gz"
    old, new = (np.asarray(nib.load(root / name).dataobj).astype(int) for root in (phantom, tmp_path / "out"))
    moved = np.argwhere(new != old)
    signs = np.sign((new - old)[tuple(moved.T)])
    assert np.array_equal(signs, 1 - 2 * (moved.sum(axis=1) % 2))


def test_psnr_target_is_reached(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", method="random", psnr_target=50, report=False)
    manifest = json.loads((tmp_path / "out-private/release.json").read_text())
    assert all(case["files"][0]["psnr"] >= 50 for case in manifest["cases"])
    assert verify(phantom, tmp_path / "out").ok


def test_bad_cases_are_isolated_and_never_copied(pictures: Callable[..., Path], tmp_path: Path) -> None:
    root = pictures(count=5, empty=(1,))
    (root / "images" / "case_2.png").write_bytes(b"no picture")
    (root / "masks" / "case_4.png").unlink()
    out = tmp_path / "out"
    result = protect(root, out, method="random")
    states = {outcome.id: outcome.status for outcome in result.outcomes}
    assert states["case_0"] == states["case_3"] == "protected"
    assert (states["case_1"], states["case_2"]) == ("unchanged", "failed")
    assert states.get("case_4", "skipped") == "skipped"
    assert result.exit_code == 3
    assert (out / "images/case_1.png").read_bytes() == (root / "images/case_1.png").read_bytes()
    assert not (out / "images/case_2.png").exists() and not (out / "masks/case_2.png").exists()
    assert not (out / "images/case_4.png").exists()
    assert verify(root, out).ok
    assert "case_2.png" in result.summary()


def test_lossy_sources_are_written_as_png(pictures: Callable[..., Path], tmp_path: Path) -> None:
    root = pictures(count=3, ending=".jpg", empty=(2,))
    result = protect(root, tmp_path / "out", method="random")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == [f"case_{i}.png" for i in range(3)]
    assert "lossy" in result.outcomes[2].reason
    assert verify(root, tmp_path / "out").ok


def test_an_unexpected_error_in_one_case_stops_nothing(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"n": 0}
    original = module.measure

    def breaks_once(*args: Any, **options: Any) -> Any:
        calls["n"] += 1
        if calls["n"] == 2:
            raise ZeroDivisionError(f"in {tmp_path}/out/secret/file.png")
        return original(*args, **options)

    monkeypatch.setattr(module, "measure", breaks_once)
    result = protect(pictures(), tmp_path / "out", method="random")
    assert [outcome.status for outcome in result.outcomes] == ["protected", "failed", "protected", "protected"]
    assert result.outcomes[1].reason.startswith("ZeroDivisionError")
    assert str(tmp_path) not in (tmp_path / "out-private/release.json").read_text()
    assert not list((tmp_path / "out").rglob("case_1.png"))
    assert not list((tmp_path / "out").rglob(f"{TEMPORARY}*"))
    monkeypatch.undo()
    assert protect(tmp_path / "pictures", tmp_path / "out", method="random", resume=True).exit_code == 0
    protect(tmp_path / "pictures", tmp_path / "whole", method="random")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_checksums_are_those_of_the_bytes_that_were_read(
    phantom: Path, pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that is replaced while its case is being done is told from what went into the output."""
    for number, root in enumerate((phantom, pictures(empty=(0,)))):
        before = {hashlib.sha256(content).hexdigest() for content in tree(root).values()}
        original = module.plan_regions

        def replaced(labels: Any, volume: Any, plan: Any, margin: int, regions: Any = original) -> Any:
            volume.source.write_bytes(volume.source.read_bytes() + b"later")
            return regions(labels, volume, plan, margin)

        monkeypatch.setattr(module, "plan_regions", replaced)
        protect(root, tmp_path / f"out{number}", method="random", report=False)
        monkeypatch.undo()
        manifest = json.loads((tmp_path / f"out{number}-private/release.json").read_text())
        written = {hashlib.sha256(content).hexdigest() for content in tree(tmp_path / f"out{number}").values()}
        done = [record for case in manifest["cases"] for record in case.get("files", ())]
        assert done and all(record["sha256_in"] in before and record["sha256_out"] in written for record in done)
        assert not verify(root, tmp_path / f"out{number}").ok


def test_a_copy_of_a_replaced_source_fails(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, original = pictures(empty=(1,)), module._unchanged

    def replaced(volume: Any, *args: Any) -> Any:
        volume.source.write_bytes((root / "images/case_2.png").read_bytes())
        return original(volume, *args)

    monkeypatch.setattr(module, "_unchanged", replaced)
    result = protect(root, tmp_path / "out", method="random", report=False)
    assert [o.status for o in result.outcomes] == ["protected", "failed", "protected", "protected"]
    assert "expected a copy of the same bytes" in result.outcomes[1].reason
    assert not (tmp_path / "out/images/case_1.png").exists()


def test_every_image_is_hashed_from_the_bytes_that_were_read_and_read_back_once(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    original = module.files.sha256
    monkeypatch.setattr(module.files, "sha256", lambda path: hashed.append(path.name) or original(path))
    read: list[str] = []
    plain = module.formats.read
    monkeypatch.setattr(module.formats, "read", lambda path: read.append(path.name) or plain(path))
    protect(phantom, tmp_path / "out", method="checkerboard", report=False, check=False)
    assert sorted(name for name in read if name.startswith(TEMPORARY)) == [
        f"{TEMPORARY}phantom_00{i}.nii.gz" for i in range(5)
    ]
    others = {"dataset.json", "plan.json"}  # once each, for manifest and record
    assert len([name for name in hashed if name not in others]) == 10  # the labels, and their copies


def test_nothing_released_is_a_failure(pictures: Callable[..., Path], tmp_path: Path) -> None:
    result = protect(pictures(), tmp_path / "out", method="random", epsilon="1/1000")
    assert result.exit_code == 1
    assert "epsilon" in result.outcomes[0].reason


def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(
    pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = module.formats.write, {"n": 0}

    def full(volume: Any, stored: Any, path: Path, **more: Any) -> None:
        calls["n"] += 1
        original(volume, stored, path, **more)
        if calls["n"] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.formats, "write", full)
    with pytest.raises(UmedError, match=r"disk is full.*--resume"):
        protect(pictures(), tmp_path / "out", method="random")
    assert not list((tmp_path / "out").rglob(f"{TEMPORARY}*"))
    monkeypatch.undo()
    protect(tmp_path / "pictures", tmp_path / "out", method="random", resume=True)
    protect(tmp_path / "pictures", tmp_path / "whole", method="random")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


KILLED = """
import os, signal, sys
from umed.protect.run import protect
def stop(stage, done, total):
    if (stage, done) == ("protect", 2):
        os.kill(os.getpid(), signal.SIGKILL)
protect(sys.argv[1], sys.argv[2], method="random", progress=stop)
"""


def test_a_killed_run_resumes_to_the_same_bytes(phantom: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(phantom), str(out)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (out / "umed/manifest.json").exists() and not private_of(out).stat().st_mode & 0o077
    # what a kill in the middle of a case leaves: a half-written file, and a renamed one without a record
    (out / "imagesTr" / f"{TEMPORARY}phantom_003.nii.gz").write_bytes(b"half")
    (out / "imagesTr" / "phantom_004.nii.gz").write_bytes(b"whole but not recorded")
    kept = (out / "imagesTr/phantom_000.nii.gz").stat().st_mtime_ns
    with pytest.raises(InputError, match="--resume"):
        protect(phantom, out, method="random")
    assert protect(phantom, out, method="random", resume=True).exit_code == 0
    assert (out / "imagesTr/phantom_000.nii.gz").stat().st_mtime_ns == kept
    protect(phantom, tmp_path / "whole", method="random", key_file=private_of(out) / "release.key")
    assert tree(out) == tree(tmp_path / "whole")


def test_resume_does_a_case_again_whose_output_or_source_changed(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", method="random")
    whole = tree(tmp_path / "out")
    (tmp_path / "out/imagesTr/phantom_002.nii.gz").write_bytes(b"broken")
    protect(phantom, tmp_path / "out", method="random", resume=True)
    assert tree(tmp_path / "out") == whole


def test_resume_with_another_plan_names_the_difference(phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", method="random", report=False)
    with pytest.raises(ConfigError, match=r"seed was 0, now 5"):
        protect(phantom, tmp_path / "out", method="random", seed=5, resume=True)


def test_resume_of_another_data_set_is_refused(pictures: Callable[..., Path], phantom: Path, tmp_path: Path) -> None:
    protect(phantom, tmp_path / "out", method="random", report=False)
    with pytest.raises(ConfigError, match="expected the data set of the run that is resumed"):
        protect(pictures(), tmp_path / "out", method="random", resume=True)


def test_overwrite_deletes_only_what_umed_wrote(phantom: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    protect(phantom, out, method="random", report=False)
    (out / "notes.txt").write_text("mine")
    (out / "imagesTr" / "mine.nii.gz").write_text("mine")
    (out / "umed" / "mine.txt").write_text("mine")
    (private_of(out) / "mine.txt").write_text("mine")
    key = (private_of(out) / "release.key").read_bytes()
    protect(phantom, out, method="checkerboard", overwrite=True, report=False)
    assert (out / "notes.txt").read_text() == (out / "imagesTr/mine.nii.gz").read_text() == "mine"
    assert (out / "umed/mine.txt").read_text() == "mine"
    assert (private_of(out) / "mine.txt").read_text() == "mine" and (
        private_of(out) / "release.key"
    ).read_bytes() == key
    assert json.loads((private_of(out) / "plan.json").read_text())["method"] == "checkerboard"
    (out / "imagesTr/phantom_000.nii.gz").write_bytes(b"edited by hand")
    with pytest.raises(InputError, match=r"phantom_000.nii.gz: expected the file that umed wrote, got a changed one"):
        protect(phantom, out, method="random", overwrite=True)


def test_overwrite_spares_folders_that_only_look_like_ours(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "repository/umed").mkdir(parents=True)
    (tmp_path / "repository/umed/code.py").write_text("mine")
    with pytest.raises(InputError, match="expected an empty folder, got one with other files"):
        protect(phantom, tmp_path / "repository", method="random", overwrite=True)
    assert (tmp_path / "repository/umed/code.py").read_text() == "mine"


def test_outputs_that_would_touch_the_input_are_refused(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(phantom, target_is_directory=True)
    for output in (phantom, phantom / "out", tmp_path, tmp_path / "link", tmp_path / "link" / "sub"):
        with pytest.raises(InputError, match="expected"):
            protect(phantom, output, method="random")
    with pytest.raises(ConfigError, match="got both"):
        protect(phantom, tmp_path / "out", method="random", resume=True, overwrite=True)
    with pytest.raises(ConfigError, match=r"Did you mean 'epsilon'"):
        protect(phantom, tmp_path / "out", epsilonn=1)


class Learnt(Method):
    """Learns one number: how many samples there were."""

    name: ClassVar[str] = "learnt"
    requires_training: ClassVar[bool] = True
    fits: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def fit(self, samples: Any, plan: Any, workdir: Path, progress: Any = None) -> None:
        type(self).fits += 1
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "checkpoint").write_text("big")
        assert all(sample.image.shape[1:] == sample.regions.labels.shape for sample in samples)
        assert all(0 <= sample.image.min() and sample.image.max() <= 1 for sample in samples)
        self.seen = len(samples)

    def save(self, folder: Path) -> None:
        (folder / "seen.txt").write_text(str(self.seen))

    def load(self, folder: Path) -> None:
        self.seen = int((folder / "seen.txt").read_text())

    def direction(self, image: torch.Tensor, regions: Any, rng: np.random.Generator) -> torch.Tensor:
        return torch.full_like(image, 1 / self.seen)


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> type[Learnt]:
    """A method that learns, known to the registry."""
    Learnt.fits = 0
    monkeypatch.setitem(registry.METHODS, "learnt", registry.Entry("learnt_test:Learnt", "test"))
    monkeypatch.setitem(sys.modules, "learnt_test", sys.modules[__name__])
    monkeypatch.setattr(sys.modules[__name__], "Learnt", Learnt)
    return Learnt


def run_learnt(root: Path, out: Path, **kwargs: Any) -> Result:
    return protect(root, out, method="learnt", training={"cache_mb": 0}, **kwargs)


class Stopped(Exception):
    """What a killed run looks like from inside."""


@pytest.mark.parametrize("stage", ["train", "protect"])
def test_cases_left_out_of_training_are_told_whether_the_run_was_stopped_or_not(
    learnt: type[Learnt], stage: str, pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pictures(count=4, ending=".jpg")
    (root / "images" / "case_2.jpg").write_bytes(b"no picture")

    def stop(*args: Any) -> None:
        if args[0] not in ("look", "read for training"):
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        if stage == "train":  # between the list and the generators
            patch.setattr(learnt, "save", stop)
        run_learnt(root, tmp_path / "out", progress=stop)
    assert not (tmp_path / "out-private/release.json").exists()
    result = run_learnt(root, tmp_path / "out", resume=True)
    assert learnt.fits == (2 if stage == "train" else 1)
    run_learnt(root, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    manifest = json.loads((tmp_path / "out-private/release.json").read_text())
    reason = "images/case_2.jpg: expected a readable .jpg image, got bytes of another kind. Check the file."
    assert manifest["left_out_of_training"] == [{"id": "case_2", "reason": reason}]
    assert result.left_out == (("case_2", reason),) and f"left out of training: case_2: {reason}" in result.summary()
    page = (tmp_path / "out-private/report.html").read_text()
    assert f"Left out of training: 1 case. case_2: {reason}" in page
    assert verify(root, tmp_path / "out").ok


def test_a_case_that_is_repaired_before_the_training_is_done_again_is_not_left_out(
    learnt: type[Learnt], pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, trained = pictures(), tmp_path / "trained"
    whole = (root / "images/case_2.png").read_bytes()
    run_learnt(root, trained)
    for generators in (None, private_of(trained) / "generators"):
        out = tmp_path / f"out{generators is None}"
        (root / "images/case_2.png").write_bytes(b"no picture")
        with monkeypatch.context() as patch, pytest.raises(OSError, match="stopped"):
            patch.setattr(learnt, "save", lambda *args: (_ for _ in ()).throw(OSError("stopped")))
            run_learnt(root, out)
        assert (private_of(out) / "left_out.json").is_file()
        (root / "images/case_2.png").write_bytes(whole)
        assert run_learnt(root, out, resume=True, generators=generators).left_out == ()
        manifest = json.loads((private_of(out) / "release.json").read_text())
        assert "left_out_of_training" not in manifest and verify(root, out).ok
        run_learnt(root, out, overwrite=True)
        assert tree(out)["umed/manifest.json"] == tree(trained)["umed/manifest.json"]


def test_a_damaged_list_of_cases_left_out_is_named(
    learnt: type[Learnt], pictures: Callable[..., Path], tmp_path: Path
) -> None:
    run_learnt(pictures(), tmp_path / "out")
    (tmp_path / "out-private/left_out.json").write_text("[3]")
    with pytest.raises(InputError, match=r"left_out.json: expected the cases left out of training"):
        run_learnt(tmp_path / "pictures", tmp_path / "out", resume=True)


def test_a_learnt_method_is_trained_once_and_its_generators_can_be_used_again(
    learnt: type[Learnt], pictures: Callable[..., Path], tmp_path: Path
) -> None:
    root = pictures(count=4, empty=(1,))
    (root / "images" / "case_2.png").write_bytes(b"no picture")
    result = run_learnt(root, tmp_path / "out")
    assert learnt.fits == 1
    assert (tmp_path / "out-private/generators/seen.txt").read_text() == "2"
    assert not (tmp_path / "out-private/work").exists()
    assert [case for case, _ in result.left_out] == ["case_2"]
    whole = tree(tmp_path / "out")
    assert run_learnt(root, tmp_path / "out", resume=True).left_out == result.left_out
    assert learnt.fits == 1
    assert tree(tmp_path / "out") == whole
    run_learnt(root, tmp_path / "again", generators=tmp_path / "out-private/generators")
    assert learnt.fits == 1
    again = tree(tmp_path / "again")
    assert again["images/case_0.png"] == whole["images/case_0.png"]
    mine, theirs = (
        json.loads((tmp_path / name / "release.json").read_text()) for name in ("out-private", "again-private")
    )
    assert mine.pop("left_out_of_training")[0]["id"] == "case_2"  # others' training is theirs to tell
    for record in (mine, theirs):
        del record["hmac"], record["private"]
    assert mine == theirs
    with pytest.raises(InputError, match="expected trained generators, got none"):
        run_learnt(root, tmp_path / "third", generators=tmp_path / "nowhere")
    with pytest.raises(InputError, match="learns nothing"):
        protect(root, tmp_path / "fourth", method="random", generators=tmp_path / "out-private/generators")


def test_a_worker_that_lives_on_takes_no_run_for_another(phantom: Path, tmp_path: Path) -> None:
    """Two folders of the same settings have the same hash of a run; a Dask worker does both, one after the other."""
    from umed.cases.opening import open_source
    from umed.cases.source import Request
    from umed.core.config import make_settings
    from umed.protect.loop import make_shares, protect_share

    other = shutil.copytree(phantom, tmp_path / "other")
    packed = other / "labelsTr" / "phantom_001.nii.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()), 1))  # other bytes, the same label
    for root, out in ((phantom, tmp_path / "a"), (other, tmp_path / "b")):
        request = Request(root, make_settings("default", {"method": "random"}))
        with open_source(request) as source:
            store = Store(out)
            make_private(store.folder)
            Key.create(store.path("release.key"))
            plan = source.make_plan(request.settings)
            shares = make_shares(source, request, store, plan, store.path("release.key"), "r", "same", 1)
        assert [done.outcome.status for share in shares for done in protect_share(share)] == ["protected"] * 5
        label = packed.relative_to(other)
        assert (out / label).read_bytes() == (root / label).read_bytes()


def test_a_worker_in_another_folder_finds_what_the_run_was_given(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from umed.cases.opening import open_source
    from umed.cases.source import Request
    from umed.core.config import make_settings
    from umed.protect.loop import make_shares

    monkeypatch.chdir(phantom.parent)
    Path("site.yaml").write_text("profile: basic")
    request = Request(Path(phantom.name), make_settings("default", {"method": "random"}))
    with open_source(request) as source:
        plan = source.make_plan(request.settings)
        for profile, wanted in (("site.yaml", Path("site.yaml").resolve()), ("basic", "basic")):
            given = dataclasses.replace(request, profile=profile, key_file=Path("a.key"), masks=Path("masks"))
            [share, *_] = make_shares(source, given, Store(Path("out")), plan, Path("b.key"), "r", "run", 1)
            paths = (share.request.path, share.request.key_file, share.request.masks, share.output, share.private)
            assert share.request.profile == wanted and all(path.is_absolute() for path in (*paths, share.key_file))
