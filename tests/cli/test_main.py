# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from umed import __version__
from umed.cli.main import COMMANDS, main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["protct", "a", "b"], "unknown command 'protct'. Did you mean 'protect'?"),
        (["protect", "a", "b", "--epsilonn", "1"], "unknown option '--epsilonn'. Did you mean '--epsilon'?"),
        (["protect", "a", "b", "--epsilonn=1"], "Did you mean '--epsilon'?"),
        (["protect", "a", "b", "c"], "unknown argument 'c'"),
        (["protect", "a"], "OUTPUT"),
        (["protect", "a", "b", "--epsilon", "four"], "a fraction such as 4/255, got 'four'"),
        (["protect", "a", "b", "--radius", "3cm"], "a length such as 3px or 2.5mm, got '3cm'"),
        (["protect", "a", "b", "--range", "percentil"], "Did you mean 'percentile'?"),
        (["protect", "a", "b", "--resume", "--overwrite"], "not allowed with"),
        (["protect", "a", "b", "--method", "randon"], "Did you mean 'random'?"),
        (["protect", "a", "b", "--set", "training.iteration=1"], "Did you mean 'iterations'?"),
        (["protect", "a", "b", "--recipe", "defualt"], "Did you mean 'default'?"),
        (["benchmark", "quik"], "Did you mean 'quick'?"),
        (["benchmark", "quick", "--shard", "2"], "expected K/N such as 0/2, got '2'"),
        (["benchmark", "quick", "--data", "other=x"], "with a name of the grid (data), got 'other=x'"),
        (["benchmark", "quick", "--set", "training.step=3", "--dry-run"], "Did you mean 'steps'?"),
        (["--versio"], "--versio"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_documents_itself_and_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "exit codes: 0 ok, 1 failed, 2 wrong usage" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"umed {__version__}\n"


def test_missing_input_is_one_line_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("umed: ")


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["umed"] == __version__
    assert {"random", "checkerboard", "umed"} <= set(found["methods"])
    assert {"decathlon", "nnunet", "pairs"} <= set(found["layouts"])
    assert main(["info"]) == 0
    assert "checkerboard" in capsys.readouterr().out
