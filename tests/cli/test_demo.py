# SPDX-License-Identifier: Apache-2.0
"""``umed demo`` as it is typed: what it prints, for people and for programs; and ``--next`` lines of other commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.benchmark.phantom_pictures import write_pictures
from umed.cli.main import main


@pytest.mark.slow
def test_a_first_run_answers_and_says_what_to_publish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my demo"
    words = ["demo", "--out", str(out), "--cases", "12", "--steps", "1"]
    assert main(words) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("no verdict: the control learnt nothing")
    assert f"publish: {out}/release (umed check-release: nothing speaks against it)" in lines
    assert f"never publish: {out}/release-private (key, report, page)" in lines
    assert any(line.startswith("next: umed demo --data FOLDER") for line in lines)
    assert (out / "release-private/demo.html").is_file() and (out / "release-private/report.html").is_file()
    assert "9 cases are protected, 3 others stay clean and judge" in said.err
    assert re.search(r"umed: train two thieves, .*: done, 2 of 2", said.err)
    assert main(words) == 1
    assert "Add --overwrite to replace it" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json", "--quiet"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == "" and found["exit_code"] == 0 and found["verified"] and found["release_check"]["ok"]
    assert found["release"] == str(out / "release")
    assert main(["verify", found["input"], found["release"]]) == 0
    assert f"next: umed check-release '{found['release']}' --original '{found['input']}'" in capsys.readouterr().out
    assert main(["check-release", found["release"], "--original", found["input"]]) == 0
    assert f"next: publish '{found['release']}' as it is" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--steps", "0"], 2, "--steps: expected at least 1, got 0"),
        (["--cases", "3"], 2, "--cases: expected at least 12, got 3"),
        (["--step", "3"], 2, "did you mean"),
        (["--data", "nowhere"], 1, "nowhere"),
    ],
)
def test_wrong_words_take_one_line(
    words: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["demo", "--out", str(out), *words]) == code
    err = capsys.readouterr().err
    assert said in err.lower() and len(err.splitlines()) == 1 and not out.exists()


def test_what_looks_says_what_comes_next_but_not_to_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(write_pictures(tmp_path / "data", 4))
    for command, said in (("inspect", f"next: umed plan {data}"), ("plan", f"next: umed protect {data} OUTPUT")):
        assert main([command, data]) == 0
        assert said in capsys.readouterr().out
        for silent in ("--quiet", "--json"):
            assert main([command, data, silent]) == 0
            assert "next:" not in capsys.readouterr().out
