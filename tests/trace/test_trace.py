# SPDX-License-Identifier: Apache-2.0
"""A trace from the release to the verdict, as its owner goes through it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

import umed
from umed.cli.main import main
from umed.core.errors import InputError
from umed.data import formats
from umed.protect.commitment import COMMITMENT_FILE, EARLIER, commitment_fault, commitment_text
from umed.trace.challenge import challenge
from umed.trace.judge import judge
from umed.trace.rank_test import TestResult

CASES = 14


def make_pictures(root: Path, *, classes: tuple[int, ...] = (255,), colour: bool = True) -> Path:
    """A data set of small pictures with one blob a class."""
    rng = np.random.default_rng(3)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(CASES):
        shape = (40, 48, 3) if colour else (40, 48)
        image = rng.integers(60, 190, shape, dtype=np.uint8)
        mask = np.zeros((40, 48), np.uint8)
        for place, value in enumerate(classes):
            mask[8 + 3 * place : 26, 6 + 20 * place : 20 + 20 * place] = value
        Image.fromarray(image).save(root / "images" / f"case{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"case{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with originals, release and private folder."""
    root = tmp_path_factory.mktemp("trace")
    make_pictures(root / "in")
    done = umed.protect(root / "in", root / "out", training={"iterations": 0}, report=False)
    assert all(one.status == "protected" for one in done.outcomes)
    return root


def names_and_roles(root: Path, queries: Path) -> dict[str, dict[str, object]]:
    """What the owner knows of each query."""
    name = json.loads((queries / "challenge.json").read_text())["challenge"]
    content = json.loads((root / "out-private" / "challenges" / name / "queries.json").read_text())
    found: dict[str, dict[str, object]] = content["queries"]
    return found


def answer(
    root: Path, queries: Path, answers: Path, better: Callable[[dict[str, object]], bool], kind: str = ".png"
) -> None:
    """A suspect network that is right where ``better`` says so, and loses a row of the lesion elsewhere."""
    answers.mkdir()
    for name, query in names_and_roles(root, queries).items():
        mask = np.asarray(Image.open(root / "in" / "masks" / f"{query['case']}.png")).copy()
        if not better(query):
            mask[8:12] = 0
        flips = query["flips"]
        assert isinstance(flips, list)
        mask = np.flip(mask, tuple(map(int, flips)))
        if kind == ".npz":
            share = (mask > 0).astype(np.float32) * 0.9 + 0.05
            np.savez(answers / f"{name}.npz", probabilities=np.stack([1 - share, share]))
        else:
            Image.fromarray(np.ascontiguousarray(mask)).save(answers / f"{name}{kind}")


def test_the_release_commits_to_its_coins_and_says_nothing_of_them(release: Path, tmp_path: Path) -> None:
    public = (release / "out" / COMMITMENT_FILE).read_bytes()
    assert commitment_fault(public) == ""
    trace = json.loads((release / "out-private" / "trace.json").read_text())
    assert len(trace["cases"]) == CASES
    assert all(a != b for units in trace["cases"].values() for a, b in units.values())
    for units in trace["cases"].values():
        for digests in units.values():
            assert not any(digest.encode() in public for digest in digests)
    assert umed.verify(release / "in", release / "out").ok
    shutil.copytree(release / "out", tmp_path / "out")  # away from its private folder
    assert umed.verify(release / "in", tmp_path / "out", promise={"epsilon": 4 / 255}).ok
    assert umed.check_release(release / "out", original=release / "in").ok


def test_coins_fall_both_ways_and_both_copies_keep_the_promise(release: Path) -> None:
    """The twin is as far from the original as what was published, and another one."""
    folder = release / "q-both"
    challenge(release / "in", folder, private=release / "out-private", flips=1, decoys=0)
    by_case: dict[str, dict[str, np.ndarray]] = {}
    for name, query in names_and_roles(release, folder).items():
        stored = formats.read(folder / "images" / f"{name}.png").stored.astype(int)
        by_case.setdefault(str(query["case"]), {})[str(query["role"])] = stored
    published_first = 0
    for case, copies in by_case.items():
        original = formats.read(release / "in" / "images" / f"{case}.png").stored.astype(int)
        out = formats.read(release / "out" / "images" / f"{case}.png").stored.astype(int)
        assert (copies["published"] == out).all()
        assert len(copies) == 9
        assert len({copy.tobytes() for copy in copies.values()}) == 9, "each is a draw of its own"
        assert all(np.abs(copy - original).max() <= 4 for copy in copies.values())
        sizes = [np.abs(copy - original).sum() for copy in copies.values()]
        assert 0.7 < sizes[0] / sizes[1] < 1.4
        published_first += sizes[0] > sizes[1]


def test_queries_do_not_say_what_they_are(release: Path) -> None:
    folder = release / "q-blind"
    done = challenge(release / "in", folder, private=release / "out-private", decoys=1)
    known = names_and_roles(release, folder)
    assert done.twins == 8 and done.count == len(known) == CASES * (1 + 8 + 1) * 4
    assert sorted(path.name for path in folder.iterdir()) == ["challenge.json", "images"]
    assert {path.stem for path in (folder / "images").iterdir()} == set(known)
    text = (folder / "challenge.json").read_text()
    assert not any(word in text for word in ("published", "twin", "case0", "decoy"))
    assert len({path.stat().st_mtime_ns for path in (folder / "images").iterdir()}) == 1
    mode = (release / "out-private" / "challenges").stat().st_mode & 0o077
    assert mode == 0


@pytest.mark.parametrize("kind", [".png", ".npz", ".tif"])
def test_a_network_that_knows_the_release_is_evidence_and_an_innocent_one_is_not(release: Path, kind: str) -> None:
    queries = release / f"q{kind}"
    challenge(release / "in", queries, private=release / "out-private")
    answer(release, queries, release / f"guilty{kind}", lambda query: query["role"] == "published", kind)
    answer(release, queries, release / f"innocent{kind}", lambda query: hash(str(query["case"])) % 2 == 0, kind)
    given = {"private": release / "out-private", "output": release / "out"}
    guilty = judge(queries, release / f"guilty{kind}", page=release / f"verdict{kind}", **given).releases[0]
    assert guilty.result.won == guilty.result.cases == CASES
    assert guilty.p == pytest.approx(9.0**-CASES)
    assert guilty.is_evidence and guilty.soft == (kind == ".npz")
    page = (release / f"verdict{kind}" / "trace.html").read_text()
    assert "evidence that the network was trained on this release" in page and guilty.commitment in page
    said = json.loads((release / f"verdict{kind}" / "trace.json").read_text())
    assert said["releases"][0]["evidence"] is True
    innocent = judge(queries, release / f"innocent{kind}", **given).releases[0]
    assert innocent.result.cases == 0 and innocent.p == 1 and not innocent.is_evidence


def test_whose_copy_it_was(release: Path, tmp_path: Path) -> None:
    """Two releases of the same data: only the one that the network knows is evidence, after correction."""
    umed.protect(release / "in", tmp_path / "other", training={"iterations": 0}, report=False)
    challenge(release / "in", tmp_path / "q1", private=release / "out-private", flips=1)
    challenge(release / "in", tmp_path / "q2", private=tmp_path / "other-private", flips=1)
    answer(release, tmp_path / "q1", tmp_path / "a1", lambda query: query["role"] == "published")
    name = json.loads((tmp_path / "q2" / "challenge.json").read_text())["challenge"]
    shutil.copytree(tmp_path / "other-private" / "challenges" / name, release / "out-private" / "challenges" / name)
    answer(release, tmp_path / "q2", tmp_path / "a2", lambda query: True)
    verdict = judge(
        tmp_path / "q1",
        tmp_path / "a1",
        private=release / "out-private",
        also=[(tmp_path / "q2", tmp_path / "a2", tmp_path / "other-private")],
    )
    mine, theirs = verdict.releases
    assert mine.p == pytest.approx(2 * 9.0**-CASES) and mine.is_evidence
    assert not theirs.is_evidence


def test_whose_copy_it_was_is_said_by_name(release: Path, tmp_path: Path) -> None:
    """Two copies under one key and two names: the verdict names the one that the network knows."""
    assert main(["keygen", str(tmp_path / "k.key")]) == 0
    key = {"key_file": tmp_path / "k.key"}
    for name in ("Anne", "Bob"):
        umed.protect(
            release / "in",
            tmp_path / name,
            training={"iterations": 0},
            report=False,
            recipient=name,
            check=False,
            **key,
        )
        challenge(release / "in", tmp_path / f"q{name}", private=tmp_path / f"{name}-private", flips=1, **key)
        knows = {"Anne": "published", "Bob": "neither"}[name]
        challenges = release / "out-private" / "challenges"
        shutil.copytree(tmp_path / f"{name}-private" / "challenges", challenges, dirs_exist_ok=True)
        answer(release, tmp_path / f"q{name}", tmp_path / f"a{name}", lambda query, knows=knows: query["role"] == knows)
    words = ["trace", "judge", *(str(tmp_path / name) for name in ("qBob", "aBob")), "--private"]
    words += [str(tmp_path / "Bob-private"), "--key-file", str(tmp_path / "k.key"), "--verdict", str(tmp_path / "v")]
    words += ["--also", *(str(tmp_path / name) for name in ("qAnne", "aAnne", "Anne-private")), "--quiet"]
    assert main(words) == 0
    said = json.loads((tmp_path / "v" / "trace.json").read_text())
    assert said["whose"] == "whose copy: Anne"
    assert [one["recipient"] for one in said["releases"]] == ["Bob", "Anne"]
    assert [one["evidence"] for one in said["releases"]] == [False, True]
    page = (tmp_path / "v" / "trace.html").read_text()
    assert "the copy of Anne (Anne-private): evidence" in page and "whose copy: Anne" in page


def test_missing_answers_leave_a_case_out_and_are_said(release: Path, tmp_path: Path) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=2)
    answer(release, tmp_path / "q", tmp_path / "a", lambda query: query["role"] == "published")
    first = sorted((tmp_path / "a").iterdir())[0]
    known = names_and_roles(release, tmp_path / "q")[first.stem]
    first.unlink()
    found = judge(tmp_path / "q", tmp_path / "a", private=release / "out-private").releases[0]
    if known["role"] == "decoy":
        assert found.cases == CASES
    else:
        assert found.cases == CASES - 1
        assert found.left_out == ((known["case"], "not all of its queries were answered"),)


def test_classes_of_any_value(tmp_path: Path) -> None:
    make_pictures(tmp_path / "in", classes=(3, 7), colour=False)
    umed.protect(tmp_path / "in", tmp_path / "out", training={"iterations": 0}, report=False)
    challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private", flips=1)
    answer(tmp_path, tmp_path / "q", tmp_path / "a", lambda query: query["role"] == "published")
    found = judge(tmp_path / "q", tmp_path / "a", private=tmp_path / "out-private").releases[0]
    assert found.result.won == CASES and found.mean[0] == 1


def test_volumes(tmp_path: Path, phantom: Path) -> None:
    umed.protect(phantom, tmp_path / "out", training={"iterations": 0}, report=False)
    done = challenge(phantom, tmp_path / "q", private=tmp_path / "out-private", flips=4, cases=2)
    assert done.cases == 2
    name = json.loads((tmp_path / "q" / "challenge.json").read_text())["challenge"]
    known = json.loads((tmp_path / "out-private" / "challenges" / name / "queries.json").read_text())["queries"]
    (tmp_path / "a").mkdir()
    for query, what in known.items():
        image = nib.load(next((tmp_path / "q" / "images").glob(f"{query}.*")))
        label = nib.load(next((phantom / "labelsTr").glob(f"{what['case']}.*")))
        mask = np.asanyarray(label.dataobj).copy()
        if what["role"] != "published":
            mask[: mask.shape[0] // 2] = 0
        mask = np.flip(mask, tuple(what["flips"]))
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), tmp_path / "a" / f"{query}.nii.gz")
    found = judge(tmp_path / "q", tmp_path / "a", private=tmp_path / "out-private").releases[0]
    assert found.result.won == 2 and not found.is_evidence
    assert "no verdict is possible" in found.sentence


def test_other_originals_are_left_out(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / "in", tmp_path / "in")
    picture = tmp_path / "in" / "images" / "case03.png"
    Image.fromarray(np.asarray(Image.open(picture)) ^ 1).save(picture)
    done = challenge(tmp_path / "in", tmp_path / "q", private=release / "out-private", flips=1)
    assert done.left_out == (("case03", "the original is not the one that was protected"),)
    assert done.cases == CASES - 1


def test_what_was_changed_since_is_refused(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private = tmp_path / "private"
    shutil.copytree(release / "out-private", private)
    trace = json.loads((private / "trace.json").read_text())
    trace["cases"] = {case: {unit: two[::-1] for unit, two in units.items()} for case, units in trace["cases"].items()}
    (private / "trace.json").write_text(json.dumps(trace))
    words = ["trace", "challenge", str(release / "in"), str(tmp_path / "q"), "--private", str(private)]
    assert main([*words, "--output", str(release / "out"), "--quiet"]) == 1
    assert "The record was changed since" in capsys.readouterr().err
    assert not (tmp_path / "q").exists()


def test_a_release_that_commits_to_another_test_is_not_challenged(release: Path, tmp_path: Path) -> None:
    """Before its copies are spent; its commitment is still a valid one."""
    private = tmp_path / "private"
    shutil.copytree(release / "out-private", private)
    trace = json.loads((private / "trace.json").read_text())
    (private / "trace.json").write_text(json.dumps({**trace, "tests": EARLIER[0]}))
    with pytest.raises(InputError, match="expected a release that commits to the test of this version .*umed trace 1"):
        challenge(release / "in", tmp_path / "q", private=private)
    assert not (tmp_path / "q").exists()
    assert commitment_fault(commitment_text("0" * 64, EARLIER[0]).encode()) == ""
    assert commitment_fault(commitment_text("0" * 64, "umed trace 3").encode())


def test_large_queries_get_fewer_twins(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {}
    for most in (20e9, 150e3, 1.0):
        monkeypatch.setattr("umed.trace.challenge.MOST_BYTES", most)
        queries = tmp_path / f"q{most:g}"
        done = challenge(release / "in", queries, private=release / "out-private", flips=1, decoys=0, cases=8)
        written = sum(path.stat().st_size for path in (queries / "images").iterdir())
        assert done.count == len(list((queries / "images").iterdir())) == 8 * (1 + done.twins) and done.cases == 8
        sizes[most] = done.twins, written
    assert sizes[20e9][0] == 8 and sizes[1.0][0] == 1
    assert 1 <= sizes[150e3][0] < 8 and sizes[150e3][1] <= 1.1 * max(150e3, sizes[1.0][1])
    asked = challenge(release / "in", tmp_path / "asked", private=release / "out-private", flips=1, cases=2, twins=3)
    assert asked.twins == 3, "what was asked for is kept"


def test_answers_that_are_all_alike_are_no_verdict_for_that_reason(release: Path, tmp_path: Path) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1, twins=1, decoys=0)
    answer(release, tmp_path / "q", tmp_path / "a", lambda query: query["case"] in ("case00", "case01"))
    found = judge(tmp_path / "q", tmp_path / "a", private=release / "out-private").releases[0]
    assert found.result.cases == 0 and "at least 10 cases that differ are needed" in found.sentence
    few = replace(found, result=TestResult(1.0, 1.0, 0.6, 12, 0, 2))
    assert "too many copies score alike, so that p = 0.6 is the least there can be" in few.sentence


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda q, a: (q / "challenge.json").write_text('{"challenge": "../../x"}'), "expected the id of a challenge"),
        (lambda q, a: (q / "challenge.json").unlink(), "got nothing"),
        (lambda q, a: (q.parent / "v").mkdir(), "new folder for the verdict"),
        (lambda q, a: shutil.rmtree(a), "expected a folder with an answer"),
        (lambda q, a: [path.unlink() for path in a.iterdir()], "got none"),
    ],
)
def test_what_does_not_belong_together_is_refused_in_one_line(
    release: Path,
    tmp_path: Path,
    break_it: Callable[[Path, Path], object],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1)
    answer(release, tmp_path / "q", tmp_path / "a", lambda query: True)
    break_it(tmp_path / "q", tmp_path / "a")
    words = ["trace", "judge", str(tmp_path / "q"), str(tmp_path / "a"), "--private", str(release / "out-private")]
    assert main([*words, "--verdict", str(tmp_path / "v"), "--quiet"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert not list((tmp_path / "v").glob("*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((2, 40, 48), np.float32) + 3, "from 0 to 1"),
        (np.full((2, 40, 48), np.nan, np.float32), "from 0 to 1"),
        (np.zeros((3, 40, 48), np.float32), "background first"),
        (np.zeros((2, 4, 4), np.float32), "background first"),
    ],
)
def test_answers_that_are_none_are_named(release: Path, tmp_path: Path, content: np.ndarray, said: str) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1, decoys=0)
    answer(release, tmp_path / "q", tmp_path / "a", lambda query: True, ".npz")
    name = sorted(names_and_roles(release, tmp_path / "q"))[0]
    np.savez(tmp_path / "a" / f"{name}.npz", content)
    found = judge(tmp_path / "q", tmp_path / "a", private=release / "out-private").releases[0]
    assert len(found.left_out) == 1 and said in found.left_out[0][1]


class Reads(torch.nn.Module):
    """A network that answers by the brightness of a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(channels, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.mix(image)


@pytest.mark.parametrize("window", [[], ["--window", "32", "32"]])
def test_a_network_in_torchscript_is_asked(release: Path, tmp_path: Path, window: list[str]) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1, cases=3, twins=1, decoys=0)
    torch.manual_seed(0)
    torch.jit.script(Reads(3)).save(str(tmp_path / "net.ts"))
    words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(tmp_path / "net.ts"), "--quiet"]
    assert main([*words, *window, "--trust-code"]) == 0
    assert len(list((tmp_path / "a").iterdir())) == 6
    for path in (tmp_path / "a").iterdir():
        shares = np.load(path)["probabilities"]
        assert shares.shape == (2, 40, 48) and np.allclose(shares.sum(0), 1, atol=1e-5)
    found = judge(tmp_path / "q", tmp_path / "a", private=release / "out-private").releases[0]
    assert found.soft and found.cases == 3


def test_what_is_no_such_network_is_refused(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1, cases=2)
    (tmp_path / "text.ts").write_text("no network")
    torch.jit.script(Reads(5)).save(str(tmp_path / "five.ts"))
    for name, said in (("text.ts", "TorchScript"), ("five.ts", "--window"), ("none.ts", "nothing there")):
        words = ["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a"), "--model", str(tmp_path / name), "--quiet"]
        assert main([*words, "--trust-code"]) == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and said in lines[0]
        assert not (tmp_path / "a").exists()
    assert main(["trace", "ask", str(tmp_path / "q"), str(tmp_path / "a")]) == 2
    assert main(["trace", "judge", str(tmp_path / "q"), str(tmp_path / "a"), "--model", "x"]) == 2


def test_two_answers_to_one_query_are_refused_and_probabilities_win(release: Path, tmp_path: Path) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1, decoys=0)
    answer(release, tmp_path / "q", tmp_path / "a", lambda query: True)
    answer(release, tmp_path / "q", tmp_path / "soft", lambda query: query["role"] == "published", ".npz")
    for path in (tmp_path / "soft").iterdir():
        shutil.copy(path, tmp_path / "a" / path.name)
    found = judge(tmp_path / "q", tmp_path / "a", private=release / "out-private").releases[0]
    assert found.soft and found.result.won == CASES
    name = sorted(names_and_roles(release, tmp_path / "q"))[0]
    shutil.copy(tmp_path / "a" / f"{name}.png", tmp_path / "a" / f"{name}.tif")
    (tmp_path / "a" / f"{name}.npz").unlink()
    with pytest.raises(InputError, match="expected one answer"):
        judge(tmp_path / "q", tmp_path / "a", private=release / "out-private")


def test_images_whose_data_file_would_name_the_case_are_left_out(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(2):
        image = sitk.GetImageFromArray(rng.integers(0, 900, (8, 24, 24)).astype(np.int16))
        mask = np.zeros((8, 24, 24), np.uint8)
        mask[2:6, 6:18, 6:18] = 1
        sitk.WriteImage(image, str(tmp_path / "in" / "images" / f"case{number}.mhd"))
        sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "in" / "masks" / f"case{number}.mha"))
    umed.protect(tmp_path / "in", tmp_path / "out", training={"iterations": 0}, report=False)
    with pytest.raises(InputError, match=r"convert the images to \.mha"):
        challenge(tmp_path / "in", tmp_path / "q", private=tmp_path / "out-private")
    assert not (tmp_path / "q").exists()


def test_a_cut_npz_leaves_its_case_out(release: Path, tmp_path: Path) -> None:
    challenge(release / "in", tmp_path / "q", private=release / "out-private", flips=1, decoys=0)
    answer(release, tmp_path / "q", tmp_path / "a", lambda query: True, ".npz")
    names = sorted(names_and_roles(release, tmp_path / "q"))
    whole = (tmp_path / "a" / f"{names[0]}.npz").read_bytes()
    for place, cut in enumerate((b"", whole[:30], whole[: len(whole) // 2], whole[:200] + b"\xff" * 40 + whole[240:])):
        (tmp_path / "a" / f"{names[place]}.npz").write_bytes(cut)
    found = judge(tmp_path / "q", tmp_path / "a", private=release / "out-private").releases[0]
    assert 1 <= len(found.left_out) <= 4 and found.cases == CASES - len(found.left_out)
    assert all("expected probabilities" in why for _, why in found.left_out)


def test_a_commitment_that_was_edited_is_found(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / "out", tmp_path / "out")
    file = tmp_path / "out" / COMMITMENT_FILE
    file.write_text(file.read_text().replace('"format": 1', '"format": 1, "note": "J. Doe"'))
    broken = umed.verify(release / "in", tmp_path / "out", promise={"epsilon": 4 / 255}).problems
    assert any("expected the commitment that umed writes" in one for one in broken)
    found = umed.check_release(tmp_path / "out")
    assert "commitment" in {one.kind for one in found.findings}


def test_methods_without_secret_carriers_commit_to_nothing(release: Path, tmp_path: Path) -> None:
    umed.protect(release / "in", tmp_path / "out", method="checkerboard", report=False)
    assert not (tmp_path / "out" / COMMITMENT_FILE).exists()
    with pytest.raises(InputError, match="secret carriers"):
        challenge(release / "in", tmp_path / "q", private=tmp_path / "out-private")
