# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from umed.core.errors import ConfigError, InputError
from umed.monai.bundle import check_command, check_keys, check_overrides, parse_command
from umed.monai.runs import run_protect, run_verify

CONFIG = {
    "epsilon": 4,
    "net": {"_target_": "Net", "width": 8},
    "options": {},
    "training": {"steps": 3},
    "run": ["$1"],
    "steps": ["a", {"rate": 1}],
    "same": "%net",
}

YAML = """
imports: [$import umed]
epsilon: 4
message: hello
training: {steps: 3}
initialize: [$umed.bundle.check_overrides()]
protect: ["$print(@message, @epsilon, @training#steps)"]
"""


def test_parse_command() -> None:
    words = ["protect", "--config_file", "a.yaml", "--epsilon=-3", "--net#width", "-4", "--flag", "--out-dir", "x"]
    assert parse_command(words) == {
        "run_id": "protect",
        "config_file": "a.yaml",
        "epsilon": "-3",
        "net#width": "-4",
        "flag": "True",
        "out_dir": "x",
    }


@pytest.mark.parametrize(
    "override", ["epsilon", "net#width", "net#depth", "options#new", "training#steps", "steps#1#rate"]
)
def test_known_overrides_pass(override: str) -> None:
    check_keys(CONFIG, [override, override.replace("#", "::"), "same#anything"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epsilonn", r"--epsilonn: unknown id 'epsilonn'. Did you mean 'epsilon'\?"),
        ("training#step", r"unknown id 'training#step'. Did you mean 'steps'\?"),
        ("zzz", r"unknown id 'zzz'. Known here: epsilon, net"),
        ("steps#5", r"expected an index below 2 at 'steps#5'"),
        ("epsilon#deep", r"'epsilon' is a plain value"),
    ],
)
def test_unknown_overrides_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_keys(CONFIG, [override])


def test_check_overrides_from_python(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    assert check_overrides(["epsilon"], [tmp_path / "a.yaml"])
    with pytest.raises(ConfigError, match="Did you mean 'message'"):
        check_overrides(["mesage"], [tmp_path / "a.yaml"])
    with pytest.raises(ConfigError, match="does not exist"):
        check_overrides(["mesage"], [tmp_path / "b.yaml"])
    assert check_overrides(), "not on monai.bundle's command line"


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["protect", "--epsilon", "8", "--training#steps", "5"], 0, "hello 8 5", ""),
        (["protect", "--epsilonn", "8"], 2, "", "umed: --epsilonn: unknown id 'epsilonn'. Did you mean 'epsilon'?"),
    ],
)
def test_through_monai_bundle(
    words: list[str],
    code: int,
    out: str,
    err: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    monai_bundle: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    done = monai_bundle("run", *words, "--config_file", "a.yaml")
    assert done.returncode == code, done.stderr
    assert out in done.stdout and err in done.stderr
    if code:
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["protcet"], r"unknown run id 'protcet'; known: .*Did you mean 'protect'\?"),
        (["protect", "--meta_file", "none.json"], "--meta_file: expected a file"),
        (["protect", "--loging_file", "x"], r"--loging_file: unknown option. Did you mean 'logging_file'\?"),
        (["protect", "--args_file", "args.yaml"], r"--mesage: unknown id 'mesage'. Did you mean 'message'\?"),
    ],
)
def test_command_lines_that_monai_would_accept(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    (tmp_path / "args.yaml").write_text("mesage: hi")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        check_command([*words, "--config_file", "a.yaml"])


def test_run_protect_and_verify(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_protect(phantom, tmp_path / "out", method="random", epsilon="8/255", psnr_target=None, quiet=True)
    assert result.exit_code == 0 and result.plan.epsilon == 8 / 255
    assert run_verify(phantom, tmp_path / "out", quiet=True).ok
    assert "5 cases" in capsys.readouterr().out
    with pytest.raises(InputError):
        run_verify(phantom, tmp_path / "nowhere")


def test_probe_is_printed_and_put_into_the_report(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_protect(phantom, tmp_path / "out", method="checkerboard", probe=True, probe_steps=2, quiet=True)
    assert "probe victim: DSC" in capsys.readouterr().out
    assert "probe DSC" in (tmp_path / "out/umed/report.html").read_text()
