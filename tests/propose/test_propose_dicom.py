# SPDX-License-Identifier: Apache-2.0
"""From DICOM series without masks to a protected or anonymized release that says which masks are proposals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from tests.dicom_files import dataset, image, save, uid, write_series
from tests.propose_files import fill_boxes
from tests.release_files import all_bytes, labels, make_key, write_seg
from tests.sam_files import dice, shape_picture, tight_box, two_shapes
from tests.sealed import edit, record
from umed.cases.proposals import NAME
from umed.cases.records import private_of
from umed.cli.main import main
from umed.data.files import sha256
from umed.dicom.masks import series_masks
from umed.dicom.read.scan import scan
from umed.networks.sam import make_sam
from umed.propose import image_loop
from umed.propose.segment_anything import Answer
from umed.protect.manifest import read_manifest
from umed.protect.verify import verify
from umed.release.anonymize import anonymize

SHAPE = (6, 40, 44)
BOX = [5, 10, 20, 30]
CALLED = "Erika Muster"


@pytest.fixture(scope="module")
def random_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that know nothing, where only the way matters."""
    path = tmp_path_factory.mktemp("random") / "random.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        torch.save(make_sam("tiny").sam.state_dict(), path)
    return path


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prompt finds its own box, whatever the network says; one that ends at x 43 finds nothing."""
    fill_boxes(monkeypatch, nothing_at=43)


def ct(root: Path, series: int, seed: int = 0) -> list[Path]:
    """Water with noise; its own frame of reference."""
    volume = (1024 + np.random.default_rng(seed).normal(0, 60, SHAPE)).astype(np.int16)
    return write_series(
        root / f"{CALLED} {series}", volume, bits=16, series=series, FrameOfReferenceUID=uid("for", series)
    )


def clinic(root: Path) -> dict[str, str]:
    """CT with a SEG, CT without, an 8-bit grey picture, and what is no image; ids by name."""
    write_seg(ct(root, 1), labels(SHAPE), root / "seg.dcm")
    ct(root, 2, seed=1)
    grey = np.random.default_rng(3).integers(20, 230, SHAPE[1:], dtype=np.uint8)
    save(image(grey, "US", position=None, series=3), root / f"{CALLED} sono.dcm")
    save(dataset("PR", series=4), root / "state.dcm")
    save(dataset("SR", series=5), root / "report.dcm")
    (root / "notes.txt").write_text(CALLED)
    return ids(root)


def ids(root: Path) -> dict[str, str]:
    """Series ids by what they are."""
    found = {}
    for one in scan(root, root.parent / "work").series:
        number = next((n for n in "12345" if one.uid == uid("se", 1, int(n))), "seg")
        found[{"1": "annotated", "2": "ct", "3": "us", "4": "pr"}.get(number, number)] = one.id
    return found


def command(root: Path, out: Path, prompts: object, sam: Path, *more: str) -> list[str]:
    given = prompts
    if isinstance(prompts, dict):
        given = root.parent / "prompts.json"
        given.write_text(json.dumps(prompts))
    words = ["propose-masks", str(root), str(out), "--prompts", str(given), "--sam-checkpoint", str(sam)]
    return [*words, "--encoder", "tiny", "--device", "cpu", *more]


def marks(output: Path) -> dict[str, Any]:
    return {case["id"]: case.get("labels") for case in record(output)["cases"]}


def wishes(known: dict[str, str]) -> dict[str, Any]:
    """Two boxes in the CT, of two classes, and one in the picture."""
    both = [{"box": BOX, "slice": 1, "label": 2}, {"box": [30, 2, 40, 8], "slice": 4}]
    return {known["ct"]: both, known["us"]: [{"box": BOX}]}


@pytest.mark.usefixtures("filled")
def test_proposals_go_into_a_release_that_calls_them_so(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out, release = tmp_path / "in", tmp_path / "out", tmp_path / "release"
    known = clinic(root)
    before = all_bytes(root)
    assert main(command(root, out, wishes(known), random_sam)) == 3  # the report cannot be released
    said = capsys.readouterr().out
    assert "3 images: 2 proposed, 1 annotated" in said and f"next: umed protect {root} RELEASE --masks {out}" in said
    assert "left aside: report.dcm" in said and f"left aside: {known['pr']}: PR is no image" in said
    assert "notes.txt" not in said and all_bytes(root) == before
    assert sorted(all_bytes(out)) == sorted([f"{known['ct']}.nii.gz", f"{known['us']}.png", NAME])

    # Where the boxes are, voxel by voxel, in slices as umed counts them.
    found = scan(root, tmp_path / "w")
    chosen, problems = series_masks.find(found, out)
    assert problems == [] and set(chosen) == {known["annotated"], known["ct"], known["us"]}
    expected = np.zeros(SHAPE, np.int16)
    expected[1, 10:31, 5:21], expected[4, 2:9, 30:41] = 2, 1
    assert np.array_equal(chosen[known["ct"]].slices(0, 6), expected)
    assert np.array_equal(chosen[known["us"]].slices(0, 1)[0], expected[1] > 0)

    text = (out / NAME).read_text()
    record = json.loads(text)
    assert record["layout"] == "dicom" and "slice_axis" not in record
    assert record["files"] == {name: sha256(out / name) for name in all_bytes(out) if name != NAME}
    cases = {case["id"]: case for case in record["cases"]}
    assert cases[known["ct"]]["mask_files"] == {f"{known['ct']}.nii.gz": sha256(out / f"{known['ct']}.nii.gz")}
    assert [one["slice"] for one in cases[known["ct"]]["masks"]] == [1, 4]
    assert cases[known["us"]]["masks"][0]["slice"] is None
    for word in (str(tmp_path), CALLED, "report.dcm", "1.2.826", "4711", "Muster", "19640812"):
        assert word not in text

    words = ["protect", str(root), str(release), "--method", "random", "--masks", str(out), "--quiet"]
    assert main(words) == 3
    assert "2 of the masks are proposals" in capsys.readouterr().out
    assert marks(release) == {
        known["annotated"]: None, known["ct"]: "proposal", known["us"]: "proposal",
        known["seg"]: None, known["pr"]: None,
    }  # fmt: skip
    manifest = read_manifest(release)
    assert manifest["labels"].startswith("2 of 3 are proposals by Segment Anything tiny, unknown weights (SHA-256 ")
    page = (private_of(release) / "report.html").read_text()
    assert "Masks: 2 of 3 are proposals" in page and page.count("the mask is a proposal, not annotation") == 2
    assert json.loads((private_of(release) / "report.json").read_text())["labels"] == manifest["labels"]
    assert not list(release.rglob(NAME))
    checked = verify(root, release, masks=out)
    assert checked.ok and checked.notes == (manifest["labels"],)

    # A manifest that hides a proposal, or accuses an annotation, breaks a promise.
    def lie(content: dict[str, Any]) -> None:
        for case in content["cases"]:
            if case["id"] == known["ct"]:
                del case["labels"]
            elif case["id"] in (known["annotated"], known["seg"]):
                case["labels"] = "proposal"

    edit(release, lie)
    failures = {case.id: case.failures for case in verify(root, release, masks=out).cases}
    accused = ("expected the mask to be called an annotation, got the other",)
    assert failures[known["ct"]] == ("expected the mask to be called a proposal, got the other",)
    assert failures[known["annotated"]] == failures[known["seg"]] == accused and failures[known["us"]] == ()


@pytest.mark.usefixtures("filled")
def test_an_anonymized_release_has_the_mark_and_no_other_word_of_the_source(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out, release, key = tmp_path / "in", tmp_path / "out", tmp_path / "release", make_key(tmp_path)
    known = clinic(root)
    assert main(command(root, out, wishes(known), random_sam, "--quiet")) == 3
    capsys.readouterr()
    words = ["anonymize", str(root), str(release), "--key-file", str(key), "--protect", "--masks", str(out)]
    assert main([*words, "--method", "random", "--accept-burned-in", "--quiet"]) == 3
    assert "masks: 2 of 3 are proposals" in capsys.readouterr().out
    assert marks(release)[known["ct"]] == marks(release)[known["us"]] == "proposal"
    assert marks(release)[known["annotated"]] is None
    assert verify(root, release, key_file=key, masks=out).ok
    digests = json.loads((out / NAME).read_text())["files"].values()
    for name, data in all_bytes(release).items():
        for word in (CALLED, "4711-X", "Muster", uid("se", 1, 2), *digests):
            assert word.encode() not in data, name

    # A mask that a person has corrected is annotation; the other stays a proposal, also where the run goes on.
    volume = nibabel.load(out / f"{known['ct']}.nii.gz")
    corrected = np.array(volume.dataobj)
    corrected[0, 0, 2] = 1
    nibabel.save(nibabel.Nifti1Image(corrected, volume.affine), out / f"{known['ct']}.nii.gz")
    options = {"protect": True, "masks": out, "method": "random", "accept_burned_in": True, "report": False}
    done = anonymize(root, release, key_file=key, resume=True, **options)
    assert marks(release)[known["ct"]] is None and marks(release)[known["us"]] == "proposal"
    assert done.labels.startswith("1 of 3 are") and verify(root, release, key_file=key, masks=out).ok
    assert main(command(root, out, wishes(known), random_sam, "--overwrite")) == 1
    assert "got a changed one, which may be somebody's work" in capsys.readouterr().err
    (out / f"{known['ct']}.nii.gz").unlink()
    assert main(command(root, out, {known["us"]: [{"box": BOX}]}, random_sam, "--overwrite", "--quiet")) == 3
    assert sorted(all_bytes(out)) == sorted([f"{known['us']}.png", NAME])


@pytest.mark.usefixtures("filled")
def test_the_mark_is_found_beside_the_images_too_and_goes_with_the_last_changed_picture(
    tmp_path: Path, random_sam: Path
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    paths = ct(root, 2)
    paths[2].unlink()  # no regular grid: a picture a slice
    prompts = {"series_0001": [{"box": BOX, "slice": 0}, {"box": BOX, "slice": 3}]}
    assert main(command(root, out, prompts, random_sam, "--quiet")) == 0
    names = ["series_0001/slice_1.png", "series_0001/slice_5.png"]
    assert sorted(all_bytes(out)) == sorted([*names, NAME])
    shutil.copytree(out, root / "masks")
    for number, expected in ((0, "proposal"), (1, "proposal"), (2, None)):
        if number:
            mask = np.zeros(SHAPE[1:], np.uint8)
            mask[5:15, 5:15] = 1
            Image.fromarray(mask).save(root / "masks" / names[number - 1])
        release = tmp_path / f"release{number}"
        words = ["protect", str(root), str(release), "--method", "random", "--quiet", "--masks"]
        assert main([*words, str(root / "masks")]) == 0
        assert marks(release)["series_0001"] == expected
        assert ("labels" in read_manifest(release)) == (expected is not None)
        assert verify(root, release, masks=root / "masks").ok


@pytest.mark.usefixtures("filled")
def test_a_mask_whose_id_has_moved_to_another_series_is_not_used(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two series on one grid: the geometry alone could not tell them apart."""
    root, out = tmp_path / "in", tmp_path / "out"
    ct(root, 2)
    assert main(command(root, out, {"series_0001": [{"box": BOX, "slice": 2}]}, random_sam, "--quiet")) == 0
    ct(root, 1, seed=5)
    assert [one.uid for one in scan(root, tmp_path / "w").series] == [uid("se", 1, 1), uid("se", 1, 2)]
    (out / "series_0001.nii.gz").write_bytes((out / "series_0001.nii.gz").read_bytes() + bytes(1))  # corrected or not
    words = ["protect", str(root), str(tmp_path / "release"), "--method", "random", "--quiet", "--masks", str(out)]
    assert main(words) == 1
    assert "expected the series that this mask was proposed for, got another one" in capsys.readouterr().err
    assert main(["inspect", str(root), "--masks", str(out)]) == 3
    assert "series ids have changed since" in capsys.readouterr().out
    shutil.rmtree(root / f"{CALLED} 1")
    assert main(words) == 0


@pytest.mark.usefixtures("filled")
def test_wrong_prompts_are_refused_before_anything_is_written(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    known = clinic(root)
    floats = dataset("OT", series=6)
    floats.Rows, floats.Columns, floats.SamplesPerPixel, floats.BitsAllocated = 4, 4, 1, 32
    floats.PhotometricInterpretation, floats.FloatPixelData = "MONOCHROME2", bytes(64)
    save(floats, root / "floats.dcm")
    other = {one.uid: one.id for one in scan(root, tmp_path / "w").series}
    known |= {"ct": other[uid("se", 1, 2)], "us": other[uid("se", 1, 3)], "annotated": other[uid("se", 1, 1)]}
    good = {known["us"]: [{"box": BOX}]}
    for prompts, more, code, message in (
        ({known["ct"]: [{"box": BOX, "slice": 6}]}, [], 1, "slice: expected 0 to 5, got 6"),
        ({known["ct"]: [{"box": BOX}]}, [], 1, "slice: expected 0 to 5 for a volume, got none"),
        ({known["ct"]: [{"box": [0, 0, 44, 41], "slice": 0}]}, [], 1, "box: expected one inside 44 x 40 px"),
        ({known["us"]: [{"box": BOX, "slice": 0}]}, [], 1, "expected none for a flat picture"),
        ({known["us"]: [{"points": [[44, 0]]}]}, [], 1, "points: expected points inside 44 x 40 px"),
        ({known["annotated"]: [{"box": BOX, "slice": 0}]}, [], 1, "expected an image without a mask"),
        ({other[uid("se", 1, 6)]: [{"box": BOX}]}, [], 1, "expected a series that can be protected"),
        ({"series_0099": [{"box": BOX}]}, [], 1, "Name it by its series id, see umed inspect. Did you mean"),
        (good, ["--slice-axis", "0"], 2, "--slice-axis: expected none for DICOM"),
    ):
        assert main(command(root, out, {**good, **prompts}, random_sam, *more)) == code
        assert message in capsys.readouterr().err and not out.exists()
    assert main(command(root, root / "out", good, random_sam)) == 1
    assert "got one inside the other" in capsys.readouterr().err
    assert main(command(root, out, good, random_sam, "--json")) == 3
    told = json.loads(capsys.readouterr().out)
    assert other[uid("se", 1, 6)] in dict(told["problems"]) and told["counts"]["no prompts"] == 1
    assert json.loads((out / NAME).read_text())["problems"] == [
        {"name": other[uid("se", 1, 6)], "reason": "it cannot be protected"}
    ]


@pytest.mark.usefixtures("filled")
def test_a_bad_series_stops_no_other_and_is_not_named_in_the_record(
    tmp_path: Path, random_sam: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    ct(root, 1)
    volume = np.full(SHAPE, 100, np.int16)
    volume[2, 0, 0] = 5000  # above BitsStored
    write_series(root / f"{CALLED} 2", volume, bits=12, series=2, FrameOfReferenceUID=uid("for", 2))
    prompts = {
        "series_0001": [{"box": BOX, "slice": 1}, {"box": [1, 1, 43, 9], "slice": 1}],
        "series_0002": [{"box": BOX, "slice": 2}],
    }
    assert main(command(root, out, prompts, random_sam)) == 3
    said = capsys.readouterr().out
    assert "1 proposed, 1 failed" in said and "failed: series_0002: series_0002, slice 2:" in said
    assert "proposed: series_0001: 1 of 2 prompts found nothing" in said
    record = json.loads((out / NAME).read_text())
    assert record["cases"][1]["reason"] == "it cannot be read, or its mask not be written"
    assert sorted(all_bytes(out)) == [NAME, "series_0001.nii.gz"]
    assert main(command(root, tmp_path / "no", {"series_0002": prompts["series_0002"]}, random_sam)) == 1
    assert "nothing was written" in capsys.readouterr().out and not (tmp_path / "no").exists()


def test_a_grid_passes_over_slices_that_cannot_be_read(
    tmp_path: Path, random_sam: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out, volume = tmp_path / "in", tmp_path / "out", np.full(SHAPE, 100, np.int16)
    volume[2, 0, 0] = 5000  # above BitsStored
    write_series(root, volume, bits=12)

    def everywhere(seen: Any, settings: Any) -> list[Answer]:
        mask = np.zeros(seen.shape, bool)
        mask[1:4, 5:9] = True
        return [Answer(mask, 0.9)]

    monkeypatch.setattr(image_loop, "ask_everywhere", everywhere)
    assert main(command(root, out, "grid", random_sam)) == 0
    assert "proposed: series_0001: 1 of 6 slices cannot be read" in capsys.readouterr().out
    expected = np.zeros(SHAPE, np.int16)
    expected[[0, 1, 3, 4, 5], 1:4, 5:9] = 1
    chosen, _ = series_masks.find(scan(root, tmp_path / "w"), out)
    assert np.array_equal(chosen["series_0001"].slices(0, 6), expected)
    assert [one["slice"] for one in json.loads((out / NAME).read_text())["cases"][0]["masks"]] == [0, 1, 3, 4, 5]
    volume[:, 0, 0] = 5000
    write_series(root, volume, bits=12)
    assert main(command(root, tmp_path / "no", "grid", random_sam)) == 1
    assert "failed: series_0001: series_0001, slice 5:" in capsys.readouterr().out and not (tmp_path / "no").exists()


@pytest.mark.usefixtures("filled")
def test_a_zip_gives_the_same_masks_as_its_folder(tmp_path: Path, random_sam: Path) -> None:
    root = tmp_path / "in"
    known = clinic(root)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", root))
    for source, name in ((root, "one"), (packed, "two")):
        assert main(command(source, tmp_path / name, wishes(known), random_sam, "--quiet")) == 3
    assert all_bytes(tmp_path / "one") == all_bytes(tmp_path / "two")
    words = ["protect", str(packed), str(tmp_path / "release"), "--method", "random", "--quiet", "--masks"]
    assert main([*words, str(tmp_path / "two")]) == 3
    assert marks(tmp_path / "release")[known["us"]] == "proposal"
    assert verify(packed, tmp_path / "release", masks=tmp_path / "two").ok


@pytest.mark.parametrize("prompted", [True, False], ids=["boxes", "grid"])
def test_what_is_seen_is_what_is_marked(tmp_path: Path, tiny_sam: Path, prompted: bool) -> None:
    """Shapes off the centre of a sagittal CT, an inverted radiograph and a colour picture come back where they are."""
    root, out, rng = tmp_path / "in", tmp_path / "out", np.random.default_rng(4)
    shapes = {name: two_shapes(80, 100, rng) for name in ("ct", "xray", "colour")}
    seen = {name: shape_picture(pair, rng) for name, pair in shapes.items()}
    volume = rng.normal(-900, 30, (5, 80, 100))
    volume[3] = 1500 * seen["ct"] - 900
    sagittal = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    write_series(root / "ct", volume.astype(np.int16), orientation=sagittal, step=(-3.0, 0, 0), series=1)
    inverted = (3000 * (1 - seen["xray"])).astype(np.uint16)
    save(image(inverted, "OT", position=None, series=2, photometric="MONOCHROME1"), root / "x.dcm")
    colour = np.repeat((255 * seen["colour"]).astype(np.uint8)[..., None], 3, axis=2)
    save(image(colour, "US", position=None, series=3), root / "c.dcm")
    found = scan(root, tmp_path / "w")
    known = {
        {1: "ct", 2: "xray", 3: "colour"}[n]: s for n in (1, 2, 3) for s in found.series if s.uid == uid("se", 1, n)
    }
    # umed counts slices along their normal, which is -x here as the step is
    place = next(k for k, (i, _) in enumerate(known["ct"].slices) if known["ct"].instances[i].number == 4)
    more = ["--points-per-side", "8", "--iou", "0.8", "--stability", "0.8"]
    prompts: Any = "grid"
    if prompted:
        more = []
        prompts = {
            known[name].id: [{"box": tight_box(shape), **({"slice": place} if name == "ct" else {})} for shape in pair]
            for name, pair in shapes.items()
        }
    assert main(command(root, out, prompts, tiny_sam, "--quiet", *more)) == 0
    chosen, problems = series_masks.find(found, out)
    assert problems == []
    for name, pair in shapes.items():
        k = place if name == "ct" else 0
        assert dice(chosen[known[name].id].slices(k, k + 1)[0] > 0, np.logical_or(*pair)) > 0.7, name
    if prompted:
        assert chosen[known["ct"].id].extent == (place, place + 1)
    # and the stored pixel under the middle of the mask is one of the bright ones
    slice_ = pydicom.dcmread(known["ct"].instances[known["ct"].slices[place][0]].path).pixel_array
    inside = chosen[known["ct"].id].slices(place, place + 1)[0] > 0
    assert slice_[inside].mean() > slice_[~inside].mean() + 300
