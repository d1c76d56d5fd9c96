# SPDX-License-Identifier: Apache-2.0
"""The commands for DICOM, as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pydicom
import pytest

from tests.fresh_process import Ended, in_a_fresh_process
from tests.release_files import SHAPE, hospital, make_key, released
from umed.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hospital(tmp_path_factory.mktemp("in"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def output(source: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """De-identified only."""
    target = tmp_path_factory.mktemp("run") / "out"
    assert main(["anonymize", str(source), str(target), "--key-file", str(key), "--quiet"]) == 3
    return target


def test_keygen_writes_a_key_that_only_its_owner_may_read(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "project.key"
    assert main(["keygen", str(path)]) == 0
    said = capsys.readouterr()
    secret = path.read_text().split("\n")[1]
    assert len(bytes.fromhex(secret)) == 32
    assert said.err == "" and said.out.startswith(f"{path}: new key, fingerprint ") and secret not in said.out
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keygen_never_replaces_a_file(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "project.key"
    assert main(["keygen", str(path)]) == 0
    before = path.read_bytes()
    capsys.readouterr()
    assert main(["keygen", str(path)]) == 1
    said = capsys.readouterr()
    assert "exists and is not overwritten" in said.err and said.err.count("\n") == 1 and said.out == ""
    assert path.read_bytes() == before
    assert main(["keygen", str(tmp_path / "none" / "project.key")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{source} {new}", "--key-file: expected the secret key, got none. Make one with: umed keygen"),
        ("", "INPUT: expected INPUT and OUTPUT, or --check OUTPUT"),
        ("{source} --key-file {key}", "OUTPUT: expected INPUT and OUTPUT"),
        ("{source} {new} more --key-file {key}", "unknown argument 'more'"),
        ("{source} {new} --key-file {key} --masks {source}", "expected --protect beside them"),
        ("{source} {new} --key-file {key} --generators {source}", "expected --protect beside them"),
        ("{source} {new} --key-file {key} --method random", "expected --protect beside them"),
        ("{source} {new} --key-file {key} --set training.iterations=1", "expected --protect beside them"),
        ("{source} {new} --key-file {key} --original {source}", "--original: expected --check beside it"),
        ("{source} {new} --check {output}", "expected no more than --original INPUT and --profile"),
        ("--check {output} --protect", "expected no more than --original INPUT and --profile"),
        ("--check {output} --overwrite", "expected no more than --original INPUT and --profile"),
        ("{source} {new} --key-file {key} --profile bassic", "Did you mean 'basic'?"),
        ("{source} {new} --key-file {key} --profile basic+longitudnal", "Did you mean 'longitudinal'?"),
        ("{source} {new} --key-file {key} --transfer-syntax jpeg-ls", "Did you mean 'jpegls'?"),
        ("{source} {new} --key-file {key} --protct", "unknown option '--protct'. Did you mean '--protect'?"),
        ("{source} {new} --key-file {key} --protect --method randon", "Did you mean 'random'?"),
        ("{source} {new} --key-file {key} --resume --overwrite", "not allowed with"),
        ("{source} {inside} --key-file {inside}/k.key", "expected a key outside the output"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(
    words: str, message: str, source: Path, key: Path, output: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "inside").mkdir()
    shutil.copy(key, tmp_path / "inside" / "k.key")
    names = {"source": source, "key": key, "output": output, "new": tmp_path / "new", "inside": tmp_path / "inside"}
    assert main(["anonymize", *words.format(**names).split()]) == 2
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("anonymize {none} {new} --key-file {key}", "expected a folder or zip of DICOM files, got nothing"),
        ("anonymize {source} {new} --key-file {none}", "no such key file"),
        ("anonymize {source} {new} --key-file {notes}", "64 hexadecimal digits"),
        ("anonymize {source} {source}/out --key-file {key}", "one inside the other"),
        ("anonymize {source} {output} --key-file {key}", "--resume to go on or --overwrite to start again"),
        ("anonymize {source} {new} --key-file {key} --protect --generators {none}", "expected trained generators"),
        ("anonymize {source} {new} --key-file {key} --protect --masks {none}", "expected a folder of masks"),
        ("anonymize --check {none}", "expected a folder that umed wrote"),
        ("anonymize --check {output} --original {none}", "expected a folder of DICOM files or a zip"),
        ("verify {source} {output} --key-file {none}", "no such key file"),
        ("inspect {none}", "got nothing"),
    ],
)
def test_what_is_not_there_exits_1_with_one_line(
    words: str, message: str, source: Path, key: Path, output: Path, tmp_path: Path, capsys: Capture
) -> None:
    names = {"source": source, "key": key, "output": output, "new": tmp_path / "new", "none": tmp_path / "none"}
    assert main(words.format(**names, notes=source / "notes.txt").split()) == 1
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "new").exists() and not (tmp_path / "none").exists()


def test_a_key_that_others_may_read_is_refused_in_one_line(
    source: Path, key: Path, tmp_path: Path, capsys: Capture
) -> None:
    if os.name != "posix":
        pytest.skip("no file modes")
    shutil.copy(key, tmp_path / "k.key")
    (tmp_path / "k.key").chmod(0o644)
    assert main(["anonymize", str(source), str(tmp_path / "out"), "--key-file", str(tmp_path / "k.key")]) == 1
    path, said = tmp_path / "k.key", capsys.readouterr().err
    assert said.startswith(f"umed: {path}: expected a key that only its owner may read") and said.count("\n") == 1
    assert f"chmod 600 {path}" in said and not list(tmp_path.glob("out*"))


def test_json_is_one_object_and_tells_everything(source: Path, key: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    words = ["anonymize", str(source), str(out), "--key-file", str(key), "--protect", "--method", "checkerboard"]
    assert main([*words, "--json", "--quiet", "--transfer-syntax", "rle"]) == 3
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert found["exit_code"] == 3 and found["files_written"] == SHAPE[0] + 1
    assert [one["status"] for one in found["outcomes"]] == ["protected", "carried"]
    assert {one["name"]: one["category"] for one in found["quarantine"]} == {
        "notes.txt": "no-dicom", "report.dcm": "file", "cut.dcm": "file",
    }  # fmt: skip
    assert (
        Path(found["report"]).is_file()
        and json.loads((Path(found["private"]) / "quarantine.json").read_text())["files"]
    )
    syntaxes = {ds.Modality: ds.file_meta.TransferSyntaxUID.name for ds in released(out).values()}
    assert syntaxes["CT"] == "RLE Lossless"
    assert main([*words, "--resume", "--transfer-syntax", "rle"]) == 3
    assert "series_0001: protected" in capsys.readouterr().out
    assert main([*words, "--resume"]) == 2
    assert "another syntax" in capsys.readouterr().err


def test_summary_counts_and_names_the_private_list(source: Path, key: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["anonymize", str(source), str(tmp_path / "out"), "--key-file", str(key)]) == 3
    said = capsys.readouterr().out
    assert said.startswith(f"{SHAPE[0] + 1} files written, 3 quarantined\n")
    assert "quarantined: report.dcm: " in said and str(tmp_path / "out-private" / "quarantine.json") in said


def test_exit_codes_count_dicom_files_only(source: Path, key: Path, tmp_path: Path, capsys: Capture) -> None:
    clean = tmp_path / "clean"
    shutil.copytree(source / "ct of Erika", clean)
    (clean / "notes.txt").write_text("not DICOM")
    assert main(["anonymize", str(clean), str(tmp_path / "a"), "--key-file", str(key)]) == 0
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(source / "report.dcm", only)
    assert main(["anonymize", str(only), str(tmp_path / "b"), "--key-file", str(key)]) == 1
    assert "structured report" in capsys.readouterr().err


def test_check_finds_nothing_and_then_what_was_planted(
    source: Path, output: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["anonymize", "--check", str(output)]) == 0
    assert main(["anonymize", "--check", str(output), "--original", str(source)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["nothing was found that identifies"] * 2
    assert all(line.startswith("not searched: text and faces in pixels (") for line in lines[1::2])
    assert "none were given" in lines[1] and "none were given" not in lines[3]
    leaky = tmp_path / "leaky"
    shutil.copytree(output, leaky)
    path = next(path for path in sorted(leaky.rglob("*.dcm")))
    ds = pydicom.dcmread(path)
    ds.OperatorsName = "Muster^Erika"
    ds.save_as(path)
    assert main(["anonymize", "--check", str(leaky)]) == 1
    said = capsys.readouterr().out
    assert f"{path.relative_to(leaky).as_posix()}: (0008,1070): name" in said and "Muster" not in said


def test_check_against_originals_finds_a_name_where_names_may_be(
    source: Path, output: Path, tmp_path: Path, capsys: Capture
) -> None:
    leaky = tmp_path / "leaky"
    shutil.copytree(output, leaky)
    (leaky / "umed" / "note.txt").write_text("seen by Gregor")
    assert main(["anonymize", "--check", str(leaky)]) == 0
    capsys.readouterr()
    assert main(["anonymize", "--check", str(leaky), "--original", str(source), "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["ok"] is False and {one["file"] for one in found["findings"]} == {"umed/note.txt"}
    assert "Gregor" not in said.out


def test_check_follows_the_private_attributes_of_a_profile(key: Path, tmp_path: Path, capsys: Capture) -> None:
    source = hospital(tmp_path / "in")
    for path in (source / "ct of Erika").iterdir():
        ds = pydicom.dcmread(path)
        ds.private_block(0x0019, "MAKER 1", create=True).add_new(0x0C, "IS", 700)
        ds.save_as(path)
    profile = tmp_path / "site.yaml"
    profile.write_text('profile: safe_private\nsafe_private: {"MAKER 1": {"0019,0C": IS}}\n')
    out = str(tmp_path / "out")
    assert main(["anonymize", str(source), out, "--key-file", str(key), "--profile", str(profile)]) == 3
    assert any((0x0019, 0x100C) in ds for ds in released(tmp_path / "out").values())
    capsys.readouterr()
    assert main(["anonymize", "--check", out]) == 1
    assert "private attribute" in capsys.readouterr().out
    assert main(["anonymize", "--check", out, "--profile", str(profile)]) == 0


def test_verify_needs_the_key(source: Path, key: Path, output: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["verify", str(source), str(output), "--key-file", str(key), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert main(["verify", str(source), str(output)]) == 2
    assert "expected the key of the run, got none" in capsys.readouterr().err
    assert main(["verify", str(source), str(output), "--key-file", str(make_key(tmp_path))]) == 2
    assert "Give the key of this release" in capsys.readouterr().err


def test_verify_finds_a_changed_pixel(source: Path, key: Path, output: Path, tmp_path: Path, capsys: Capture) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(output, broken)
    path = next(path for path in sorted(broken.rglob("*.dcm")) if pydicom.dcmread(path).Modality == "CT")
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    private = str(output.with_name("out-private"))
    assert main(["verify", str(source), str(broken), "--key-file", str(key), "--private", private]) == 1
    said = capsys.readouterr().out
    assert "checksum" in said and "expected the pixels of the source, got 1 others" in said


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_inspect_and_plan_a_folder_and_a_zip_of_it(source: Path, packed: bool, tmp_path: Path, capsys: Capture) -> None:
    root = Path(shutil.make_archive(str(tmp_path / "all"), "zip", source)) if packed else source
    assert main(["inspect", str(root)]) == 3  # a report and a cut file would not be released
    said = capsys.readouterr().out
    assert f"{root.name}: dicom layout, 2 cases: 1 to carry, 1 to protect" in said
    assert "10 files in INPUT: 6 to protect, 1 to carry, 3 to leave out" in said
    assert "6 x 40 x 44" in said and "seg.dcm" in said and "left out: 1 document: " in said
    assert main(["inspect", str(root), "--json"]) == 3
    facts = json.loads(capsys.readouterr().out)
    assert [case["action"] for case in facts["cases"]] == ["protect", "carry"]
    assert main(["plan", str(root), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["range"] == [-160.0, 240.0]


def test_a_zip_ends_as_its_folder_does(source: Path, key: Path, output: Path, tmp_path: Path) -> None:
    root = shutil.make_archive(str(tmp_path / "all"), "zip", source)
    assert main(["anonymize", root, str(tmp_path / "out"), "--key-file", str(key)]) == 3
    mine, theirs = ({uid: ds.PixelData for uid, ds in released(o).items()} for o in (tmp_path / "out", output))
    assert mine == theirs


WITHOUT = [
    "inspect {source}",
    "anonymize {source} {new} --key-file {key}",
    "anonymize --check {output}",
    "protect {source} {new}",
    "verify {source} {output} --key-file {key}",
]


@pytest.fixture(scope="module")
def without(source: Path, key: Path, output: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    names = {"source": source, "key": key, "output": output}
    return in_a_fresh_process(["pydicom"], WITHOUT, tmp_path_factory.mktemp("without"), names)


@pytest.mark.parametrize("words", WITHOUT)
def test_without_the_extra_every_command_names_what_to_install(words: str, without: Ended) -> None:
    code, out, err, _, new = without[words]
    assert code == 1 and out == "" and not new.exists()
    assert err.count("\n") == 1 and "pip install 'umed[dicom]'" in err


LOOKING = {
    "--help": 0,
    "info": 0,
    "keygen {new}": 0,
    "inspect {source}": 3,
    "plan {source}": 3,
    "verify {source} {output} --key-file {key}": 0,
    "anonymize --check {output} --original {source}": 0,
    "anonymize {source} {new} --key-file {key}": 3,
}


@pytest.fixture(scope="module")
def looking(source: Path, key: Path, output: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    names = {"source": source, "key": key, "output": output}
    return in_a_fresh_process([], list(LOOKING), tmp_path_factory.mktemp("looking"), names)


@pytest.mark.parametrize(("words", "expected"), LOOKING.items())
def test_torch_is_imported_only_to_protect(words: str, expected: int, looking: Ended) -> None:
    code, _, err, loaded, _ = looking[words]
    assert code == expected and not {"torch", "monai"} & set(loaded), err
