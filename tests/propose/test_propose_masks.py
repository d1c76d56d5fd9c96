# SPDX-License-Identifier: Apache-2.0
"""From images without masks to a protected copy whose manifest says that its masks are proposals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from tests.conftest import save_nifti
from tests.propose_files import fill_boxes
from tests.sam_files import dice, shape_picture, tight_box, two_shapes
from tests.sealed import edit, record
from umed.cases.proposals import NAME, read_proposals
from umed.cases.records import private_of
from umed.cli.main import main
from umed.core.errors import InputError
from umed.data.files import sha256
from umed.data.layouts import find_dataset
from umed.networks.sam import make_sam
from umed.propose import file_images
from umed.propose.proposal_folder import STAGE
from umed.propose.propose_masks import propose_masks
from umed.protect.manifest import read_manifest
from umed.protect.verify import verify

Shapes = dict[str, list[np.ndarray]]


@pytest.fixture(scope="module")
def random_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that know nothing, where only the way matters; the sum of its masks' biases makes no mask empty."""
    path = tmp_path_factory.mktemp("random") / "random.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        torch.save(make_sam("tiny").sam.state_dict(), path)
    return path


def images(root: Path) -> Shapes:
    """An 8-bit colour PNG, a 16-bit PNG, a 16-bit TIFF and a CT-like volume whose slices 2 and 4 show shapes."""
    root.mkdir()
    rng = np.random.default_rng(4)
    shapes: Shapes = {name: two_shapes(80, 100, rng) for name in ("colour", "deep", "tiff")}
    values = {name: shape_picture(pair, rng) for name, pair in shapes.items()}
    Image.fromarray(np.repeat((255 * values["colour"]).astype(np.uint8)[..., None], 3, axis=2)).save(
        root / "colour.png"
    )
    Image.fromarray((60000 * values["deep"] + 500).astype(np.uint16)).save(root / "deep.png")
    tifffile.imwrite(root / "tiff.tif", (60000 * values["tiff"]).astype(np.uint16))
    volume = rng.normal(-900, 30, (100, 80, 6))
    for place in (2, 4):
        shapes[f"ct/{place}"] = two_shapes(80, 100, rng)
        volume[..., place] = 1500 * shape_picture(shapes[f"ct/{place}"], rng).T - 900
    affine = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, -4], [0, 0, 3.0, 5], [0, 0, 0, 1]])
    save_nifti(root / "ct.nii.gz", volume.astype(np.int16), affine=affine)
    return shapes


def boxes(shapes: Shapes) -> dict[str, list[dict[str, Any]]]:
    """A box around the first shape as class 1, around the second as class 2."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, pair in shapes.items():
        case, _, place = name.partition("/")
        where = {"slice": int(place)} if place else {}
        found.setdefault(case, []).extend(
            {"box": tight_box(shape), "label": k + 1, **where} for k, shape in enumerate(pair)
        )
    return found


def command(root: Path, out: Path, prompts: object, sam: Path, *more: str) -> list[str]:
    given = prompts
    if isinstance(prompts, dict):
        given = root.parent / "prompts.json"
        given.write_text(json.dumps(prompts))
    words = ["propose-masks", str(root), str(out), "--prompts", str(given), "--sam-checkpoint", str(sam)]
    return [*words, "--encoder", "tiny", "--device", "cpu", *more]


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_boxes_become_masks_that_fit_and_are_protected_and_marked(
    tmp_path: Path, tiny_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out, release = tmp_path / "in", tmp_path / "out", tmp_path / "release"
    shapes = images(root)
    before = tree(root)
    assert main(command(root, out, boxes(shapes), tiny_sam)) == 0
    said = capsys.readouterr().out
    assert "4 images: 4 proposed" in said and "no annotation" in said and f"umed protect {out} RELEASE" in said
    written = tree(out)
    assert tree(root) == before and {f"images/{name}": data for name, data in before.items()}.items() <= written.items()
    assert sorted(written) == sorted(
        [*(f"images/{name}" for name in before), "masks/ct.nii.gz", NAME]
        + [f"masks/{name}.png" for name in ("colour", "deep", "tiff")]
    )
    volume = nibabel.load(out / "masks" / "ct.nii.gz")
    assert volume.get_data_dtype() == np.uint8 and volume.shape == (100, 80, 6)
    assert np.array_equal(volume.affine, nibabel.load(root / "ct.nii.gz").affine)
    labels = {name: np.array(Image.open(out / "masks" / f"{name}.png")) for name in ("colour", "deep", "tiff")}
    ct = np.asarray(volume.dataobj)
    labels |= {f"ct/{place}": ct[..., place].T for place in (2, 4)}
    assert not ct[..., [0, 1, 3, 5]].any()
    scores = [dice(labels[name] == k + 1, shape) for name, pair in shapes.items() for k, shape in enumerate(pair)]
    assert np.mean(scores) > 0.8 and min(scores) > 0.5, scores
    record = json.loads((out / NAME).read_text())
    assert record["sam"]["sha256"] == sha256(tiny_sam) and record["sam"]["encoder"] == "tiny"
    assert record["prompts"] == {"kind": "file", "sha256": sha256(tmp_path / "prompts.json")}
    assert record["files"] == {name: sha256(out / name) for name in written if name != NAME}
    assert str(tmp_path) not in json.dumps(record) and "not annotation" in record["note"]
    for case in record["cases"]:
        assert case["mask_sha256"] == sha256(out / case["mask"]) and case["status"] == "proposed"
        assert all(0 < one["share"] < 0.5 and 0.3 < one["predicted_iou"] < 1.2 for one in case["masks"])
    assert [one["slice"] for one in record["cases"][1]["masks"]] == [2, 2, 4, 4]

    # A person corrects one mask: it is annotation from then on. The volume cannot stand among pictures.
    for folder, name in (("images", "ct.nii.gz"), ("masks", "ct.nii.gz")):
        (out / folder / name).unlink()
    corrected = labels["deep"].copy()
    corrected[:3, :3] = 1
    Image.fromarray(corrected).save(out / "masks" / "deep.png")
    assert main(["protect", str(out), str(release), "--method", "random", "--quiet"]) == 0
    assert "2 of the masks are proposals" in capsys.readouterr().out
    manifest = read_manifest(release)
    assert {name: one["what"] for name, one in manifest["files"].items() if name.startswith("masks/")} == {
        "masks/colour.png": "proposed label",
        "masks/deep.png": "label",
        "masks/tiff.png": "proposed label",
    }
    assert manifest["labels"].startswith("2 of 3 are proposals by Segment Anything tiny, unknown weights (SHA-256 ")
    page = (private_of(release) / "report.html").read_text()
    assert 'class="warning">Masks: 2 of 3 are proposals' in page
    assert page.count("the mask is a proposal, not annotation") == 2
    assert not (release / NAME).exists() and str(tmp_path) not in json.dumps(manifest)
    found = verify(out, release)
    assert found.ok and found.notes == (manifest["labels"],) and "2 of 3 are proposals" in found.summary()

    # A manifest that hides a proposal, or accuses an annotation, breaks a promise.
    def lie(content: dict[str, Any]) -> None:
        del content["cases"][0]["labels"]
        content["cases"][1]["labels"] = "proposal"

    edit(release, lie)
    failures = {case.id: case.failures for case in verify(out, release).cases}
    assert failures["colour"] == ("expected the mask to be called a proposal, got the other",)
    assert failures["deep"] == ("expected the mask to be called an annotation, got the other",)


def test_a_grid_proposes_one_class_slice_by_slice_and_is_repeatable(tmp_path: Path, tiny_sam: Path) -> None:
    root = tmp_path / "in"
    shapes = images(root)
    more = ["--label", "3", "--points-per-side", "8", "--iou", "0.8", "--stability", "0.8", "--quiet"]
    for name in ("one", "two"):
        assert main(command(root, tmp_path / name, "grid", tiny_sam, *more)) == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    labels = np.array(Image.open(tmp_path / "one" / "masks" / "colour.png"))
    assert set(np.unique(labels)) == {0, 3}
    assert dice(labels == 3, shapes["colour"][0] | shapes["colour"][1]) > 0.7
    ct = np.asarray(nibabel.load(tmp_path / "one" / "masks" / "ct.nii.gz").dataobj)
    assert min(dice(ct[..., k].T == 3, np.logical_or(*shapes[f"ct/{k}"])) for k in (2, 4)) > 0.7
    record = json.loads((tmp_path / "one" / NAME).read_text())
    assert record["prompts"]["kind"] == "grid" and record["prompts"]["iou"] == 0.8 and record["label"] == 3


def test_a_grid_that_finds_nothing_says_so_and_writes_nothing(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    images(root)
    assert main(command(root, out, "grid", random_sam, "--iou", "1", "--points-per-side", "2")) == 1
    said = capsys.readouterr().out
    assert "4 nothing found" in said and "nothing was written" in said and not out.exists()


def one_picture(root: Path, name: str = "a.png") -> None:
    root.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / name)


def fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every prompt find its own box, whatever the network says."""
    fill_boxes(monkeypatch, nothing_at=63)


BOX = {"box": [5, 6, 20, 30]}


def test_a_bad_image_stops_no_other_and_leaves_nothing_behind(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(monkeypatch)
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b", "c", "d", "e"):
        one_picture(root / "images", f"{name}.png")
    (root / "images" / "b.png").write_bytes(b"no picture")
    (root / "images" / "x.webp").write_bytes(b"other")
    (root / "LICENSE").write_text("CC0")
    real = file_images.write_label

    def fails(volume: Any, labels: Any, path: Path) -> None:
        real(volume, labels, path)
        if path.stem.endswith("c"):
            raise RuntimeError(f"struck while {path} was half there")

    monkeypatch.setattr(file_images, "write_label", fails)
    empty = {"box": [5, 6, 63, 30]}
    prompts = {"a": [BOX, empty], "b": [BOX], "c": [BOX], "d": [empty]}
    assert main(command(root, out, prompts, random_sam, "--json")) == 3
    found = {case["id"]: case for case in json.loads(capsys.readouterr().out)["cases"]}
    statuses = {name: case["status"] for name, case in found.items()}
    assert statuses == {
        "a": "proposed", "b": "failed", "c": "failed", "d": "nothing found", "e": "no prompts", "x.webp": "no prompts"
    }  # fmt: skip
    assert found["a"]["reason"] == "1 of 2 prompts found nothing" and "RuntimeError: struck" in found["c"]["reason"]
    assert sorted(tree(out)) == ["LICENSE", "images/a.png", "masks/a.png", NAME]
    assert str(tmp_path) not in (out / NAME).read_text()
    labels = np.array(Image.open(out / "masks" / "a.png"))
    assert labels[6:31, 5:21].all() and labels.sum() == 25 * 16


def test_masks_that_are_there_are_kept_and_never_replaced(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(monkeypatch)
    root, out, release = tmp_path / "in", tmp_path / "out", tmp_path / "release"
    for name in ("a.png", "b.png"):
        one_picture(root / "images", name)
    (root / "masks").mkdir()
    own = np.zeros((48, 64), np.uint8)
    own[20:30, 30:40] = 255
    Image.fromarray(own).save(root / "masks" / "b_segmentation.png")
    assert main(command(root, out, {"b": [BOX]}, random_sam)) == 1
    assert "case 'b': expected an image without a mask" in capsys.readouterr().err and not out.exists()
    assert main(command(root, out, {"a": [BOX]}, random_sam)) == 0
    assert tree(out)["masks/b.png"] == tree(root)["masks/b_segmentation.png"]
    assert main(["protect", str(out), str(release), "--method", "random", "--quiet"]) == 0
    assert [case.get("labels") for case in record(release)["cases"]] == ["proposal", None] and verify(out, release).ok
    assert main(command(out, tmp_path / "again", "grid", random_sam)) == 1
    assert "got masks that are proposals already" in capsys.readouterr().err


def test_overwrite_replaces_proposals_but_no_work_of_a_person(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(monkeypatch)
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png"):
        one_picture(root, name)
    assert main(command(root, out, {"a": [BOX], "b": [BOX]}, random_sam)) == 0
    assert main(command(root, out, {"a": [BOX]}, random_sam)) == 1
    assert "Give --overwrite to replace them" in capsys.readouterr().err
    (out / STAGE / "images").mkdir(parents=True)  # a run that was killed
    (out / STAGE / "images" / "half.png").write_bytes(b"")
    assert main(command(root, out, {"a": [{"box": [1, 1, 9, 9]}]}, random_sam, "--overwrite")) == 0
    assert sorted(tree(out)) == ["images/a.png", "masks/a.png", NAME]
    Image.fromarray(np.ones((48, 64), np.uint8)).save(out / "masks" / "a.png")
    before = tree(out)
    assert main(command(root, out, {"a": [BOX]}, random_sam, "--overwrite")) == 1
    assert "got a changed one, which may be somebody's work" in capsys.readouterr().err and tree(out) == before
    (out / "masks" / "b.png").write_bytes(b"drawn by hand")
    (out / "masks" / "a.png").unlink()
    assert main(command(root, out, {"a": [BOX]}, random_sam, "--overwrite")) == 1
    assert "b.png: expected files of umed only" in capsys.readouterr().err


def test_a_stopped_run_leaves_no_mask_that_could_pass_for_annotation(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(monkeypatch)
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png"):
        one_picture(root, name)
    (tmp_path / "prompts.json").write_text(json.dumps({"a": [BOX], "b": [BOX]}))
    seen = []

    def stop(_stage: str, done: int, _total: int) -> None:
        if not done:
            return
        seen.extend(path.name for path in (out / STAGE / "masks").iterdir())
        with pytest.raises(InputError):
            find_dataset(out)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propose_masks(root, out, prompts=tmp_path / "prompts.json", sam=random_sam, encoder="tiny", progress=stop)
    assert seen == ["a.png"] and not out.exists()


def test_names_that_pairs_would_mix_up_fail(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(monkeypatch)
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "a_img.png", "b.jpg"):
        one_picture(root, name)
    assert main(command(root, out, {name: [BOX] for name in ("a", "a_img", "b")}, random_sam)) == 3
    assert "a_img.png: expected a name of its own, got one whose mask could be taken for that of a" in (
        capsys.readouterr().out
    )
    assert [(case.id, *map(str, case.labels)) for case in find_dataset(out).cases] == [
        ("a", "masks/a.png"),
        ("b", "masks/b.png"),
    ]


def test_data_sets_with_an_index_give_their_images(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch, make_decathlon: Any, make_nnunet: Any
) -> None:
    fill(monkeypatch)
    root = make_decathlon(tmp_path / "decathlon")
    prompts = {"test_case_900": [{"box": [1, 1, 4, 5], "slice": 3}], "case_900": [{"box": [1, 1, 4, 5], "slice": 3}]}
    name = next(case.id for case in find_dataset(root).cases if not case.labels)
    given = {name: prompts[name]}
    assert main(command(root, tmp_path / "out", given, random_sam, "--quiet")) == 0
    found = {case.id: case.labels for case in find_dataset(tmp_path / "out").cases}
    assert len(found) == 4 and all(found.values())
    labels = np.asarray(nibabel.load(tmp_path / "out" / "masks" / f"{name}.nii.gz").dataobj)
    assert labels[1:5, 1:6, 3].all() and labels.sum() == 20
    several = make_nnunet(tmp_path / "nnunet")
    for path in (several / "labelsTr").iterdir():
        path.unlink()
    done = propose_masks(several, tmp_path / "no", prompts="grid", sam=random_sam, encoder="tiny")
    assert done.exit_code == 1 and "expected one image file, got 2 channels" in done.cases[0].reason


@pytest.mark.parametrize(
    ("prompts", "more", "code", "message"),
    [
        ({"b": [BOX]}, [], 1, "case 'b': expected the id of an image in the input, got an unknown one"),
        ({"a": [BOX, {"box": [0, 0, 65, 5]}]}, [], 1, "entry 2: box: expected one inside 64 x 48 px"),
        ({"a": [{**BOX, "slice": 0}]}, [], 1, "expected none for a flat picture"),
        ({"v": [BOX]}, [], 1, "slice: expected 0 to 3 for a volume, got none"),
        ({"v": [{"box": [0, 0, 9, 9], "slice": 5}]}, [], 1, "slice: expected 0 to 3, got 5"),
        ({"v": [{"box": [0, 0, 9, 3], "slice": 10}]}, ["--slice-axis", "0"], 1, "slice: expected 0 to 9, got 10"),
        ("nowhere.json", [], 1, "expected a prompts file or the word grid"),
        ("grid", ["--label", "0"], 2, "--label: expected 1 to 255, got 0"),
        ("grid", ["--slice-axis", "3"], 2, "--slice-axis: expected 0, 1 or 2, got 3"),
        ("grid", ["--iou", "2"], 2, "--iou: expected a number from 0 to 1, got 2"),
        ("grid", ["--encoder", "vitb"], 2, "Did you mean 'vit_b'"),
        ("grid", ["--encoder", "vit_s"], 1, "expected the weights of a vit_s SAM"),
        ("grid", ["--device", "warp"], 2, "device"),
        ("grid", ["--sam-checkpoint", "none.pth"], 1, "none.pth: expected weights of Segment Anything"),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_is_written(
    tmp_path: Path,
    random_sam: Path,
    capsys: pytest.CaptureFixture[str],
    prompts: object,
    more: list[str],
    code: int,
    message: str,
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    one_picture(root)
    save_nifti(root / "v.nii.gz", np.zeros((10, 9, 4), np.int16))
    assert main(command(root, out, prompts, random_sam, *more)) == code
    assert message in capsys.readouterr().err and not out.exists()


def test_without_weights_it_says_where_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_picture(tmp_path / "in")
    assert main(["propose-masks", str(tmp_path / "in"), str(tmp_path / "out"), "--prompts", "grid"]) == 2
    said = capsys.readouterr().err
    assert "Get sam_vit_b_01ec64.pth from https://github.com/facebookresearch" in said and "downloads nothing" in said


def test_folders_that_cannot_be_used_are_refused(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "in"
    one_picture(root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "slice").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "odd" / "masks").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for source, target, message in (
        ("in", "in/out", "got one inside the other"),
        ("in", "full", "got one with other files"),
        ("dicom", "out", "expected DICOM images, got none (slice:"),
        ("odd", "out", "expected images/ beside masks/, got none"),
        ("empty", "out", "expected images, got none that is read"),
        ("nowhere", "out", "expected a folder of images, got nothing"),
    ):
        assert main(command(tmp_path / source, tmp_path / target, "grid", random_sam)) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not (root / "out").exists()


def test_a_damaged_record_is_refused_and_that_of_somebody_else_is_not_read(tmp_path: Path, pictures: Any) -> None:
    root = pictures(2)
    plain = tmp_path / "plain"
    assert main(["protect", str(root), str(plain), "--method", "random", "--quiet"]) == 0
    (root / NAME).write_text(json.dumps({"talks": ["one"]}))
    assert read_proposals(root) is None
    words = ["--method", "random", "--quiet", "--key-file", str(private_of(plain) / "release.key")]
    assert main(["protect", str(root), str(tmp_path / "same"), *words]) == 0
    one, same = tree(plain), tree(tmp_path / "same")
    assert one.pop("umed/manifest.json") != same.pop("umed/manifest.json"), "a file more was left out"
    assert one == same and "labels" not in read_manifest(plain)
    for text, message in (
        ("{", "expected JSON"),
        ('{"kind": "umed mask proposals", "format": 9}', "expected format 1, got 9"),
        ('{"kind": "umed mask proposals", "format": 1}', "expected what umed propose-masks wrote"),
    ):
        (root / NAME).write_text(text)
        with pytest.raises(InputError, match=message):
            read_proposals(root)
        assert main(["protect", str(root), str(tmp_path / "no"), "--method", "random", "--quiet"]) == 1
    assert not (tmp_path / "no").exists()
