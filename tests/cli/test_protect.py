# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.cli.main import main


def test_protect_verify_and_tamper(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["protect", str(phantom), str(out), "--method", "random", "--range", "-160,240", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["counts"]["protected"] == 5 and found["exit_code"] == 0
    assert Path(found["manifest"]).is_file() and Path(found["report"]).is_file()
    assert main(["verify", str(phantom), str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert main(["protect", str(phantom), str(out), "--method", "random"]) == 1
    assert "--resume" in capsys.readouterr().err
    target = out / "labelsTr/phantom_001.nii.gz"
    target.write_bytes((phantom / "labelsTr/phantom_002.nii.gz").read_bytes())
    assert main(["verify", str(phantom), str(out)]) == 1
    assert "phantom_001" in capsys.readouterr().out


def test_verify_takes_a_promise(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["protect", str(phantom), str(out), "--method", "random", "--range", "-160,240"]) == 0
    (tmp_path / "out-private").rename(tmp_path / "safe")
    command = ["verify", str(phantom), str(out)]
    capsys.readouterr()
    assert main(command) == 2
    assert "name the promise yourself with --epsilon 4/255 --radius 3px" in capsys.readouterr().err
    named = [*command, "--epsilon", "4/255", "--radius", "3px", "--range", "-160,240"]
    assert main(named) == 0
    said = capsys.readouterr().out
    assert "more than 0.01569 (4/255) of the range, 6 stored steps in every image" in said
    assert "range: [-160, 240]" in said and "its seal was not checked" in said
    more = ["--support", "roi", "--percentiles", "1,99", "--spatial-dims", "3", "--json"]
    assert main([*named, *more]) == 0
    assert "support: ROI and 3 px" in " ".join(json.loads(capsys.readouterr().out)["promise"])
    for option, word in (
        (["--epsilon", "1/255"], "expected changes of at most 1 stored"),
        (["--radius", "0px"], "outside ROI"),
        (["--mark"], "every promise holds"),
        (["--support", "full", "--epsilon-background", "1/255"], "1 outside the labels"),
    ):
        assert main([*named, *option]) == (0 if option == ["--mark"] else 1)
        assert word in capsys.readouterr().out
    assert main([*command, "--private", str(tmp_path / "safe")]) == 0
    assert main([*named, "--private", str(tmp_path / "safe"), "--epsilon", "8/255"]) == 0
    assert "looser than the private plan: epsilon 0.03137 instead of 0.01569" in capsys.readouterr().out
    assert main([*named, "--percentiles", "1"]) == 2
    assert "two percentiles such as 0.5,99.5" in capsys.readouterr().err


def test_some_failed_is_3_and_all_failed_is_1(pictures: Callable[..., Path], tmp_path: Path) -> None:
    root = pictures()
    (root / "images/case_1.png").write_bytes(b"no picture")
    assert main(["protect", str(root), str(tmp_path / "a"), "--method", "random"]) == 3
    assert main(["protect", str(root), str(tmp_path / "b"), "--method", "random", "--epsilon", "1/9999"]) == 1


def test_dry_run_writes_nothing(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protect", str(phantom), str(tmp_path / "out"), "--dry-run"]) == 0
    assert "phantom_000" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(["protect", str(phantom), str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"plan", "facts"}


def test_inspect_and_plan(phantom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(phantom), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["layout"] == "decathlon" and len(facts["cases"]) == 5
    assert main(["inspect", str(phantom)]) == 0
    assert "24 x 24 x 16" in capsys.readouterr().out
    words = ["plan", str(phantom), "--seed", "9", "--radius", "2.5mm", "--set", "training.iterations=11", "--json"]
    assert main(words) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["seed"], plan["radius"], plan["radius_unit"], plan["training"]["iterations"]) == (9, 2.5, "mm", 11)
    assert main(["plan", str(phantom)]) == 0
    assert "HU" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["plan", "protect"])
def test_a_misspelt_option_of_the_method_is_wrong_usage(
    command: str, phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, str(phantom), *([str(tmp_path / "out")] if command == "protect" else [])]
    assert main([*words, "--set", "method_options.smothing=0.5"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "method_options.smothing" in captured.err and "Did you mean 'smoothing'?" in captured.err
    assert not (tmp_path / "out").exists()


def test_sample_writes_the_phantom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(tmp_path / "s"), "--cases", "2", "--size", "24", "24", "16"]) == 0
    assert len(list((tmp_path / "s/imagesTr").iterdir())) == 2
    assert main(["sample", str(tmp_path / "t"), "--cases", "0"]) == 2
