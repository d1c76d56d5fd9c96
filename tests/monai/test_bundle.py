# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, update_kwargs

from umed.benchmark.probe import protect_and_probe
from umed.core.errors import ConfigError, InputError
from umed.monai.bundle import check_ids, check_overrides, check_workflow, command
from umed.protect.run import protect
from umed.protect.verify import verify

CONFIG = {
    "epsilon": 4,
    "net": {"_target_": "Net", "width": 8},
    "options": {},
    "training": {"steps": 3},
    "run": ["$print(@epsilon, @net, @options, @training#steps, @steps, @same#width)"],
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


def parsed(config: dict[str, Any], *overrides: str) -> dict[str, Any]:
    """A configuration after overrides, as ``monai.bundle run`` parses it."""
    parser = ConfigParser(copy.deepcopy(config))
    parser.update(dict.fromkeys(overrides, 1))
    parser.resolve_macro_and_relative_ids()
    found: dict[str, Any] = parser.get()
    return found


@pytest.mark.parametrize(
    "override", ["epsilon", "net#width", "net#depth", "options#new", "training#steps", "steps#1#rate"]
)
def test_known_overrides_pass(override: str) -> None:
    check_ids(parsed(CONFIG, override))
    check_ids(parsed(CONFIG, override.replace("#", "::")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epsilonn", r"--epsilonn: unknown id 'epsilonn'. Did you mean 'epsilon'\?"),
        ("training#step", r"unknown id 'training#step'. Did you mean 'steps'\?"),
        ("zzz", r"unknown id 'zzz'. Known here: epsilon, net"),
    ],
)
def test_unknown_overrides_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_ids(parsed(CONFIG, override))


def test_check_overrides_from_python(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    ConfigWorkflow(str(tmp_path / "a.yaml"), epsilon=8).initialize()
    with pytest.raises(RuntimeError) as caught:
        ConfigWorkflow(str(tmp_path / "a.yaml"), mesage=8).initialize()
    assert isinstance(caught.value.__cause__, ConfigError) and "Did you mean 'message'" in str(caught.value.__cause__)
    assert check_overrides(), "not in a workflow"


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
    ("given", "message"),
    [
        ({"run_id": "protcet"}, r"unknown run id 'protcet'; known: .*Did you mean 'protect'\?"),
        ({"meta_file": "none.json"}, "--meta_file: expected a file"),
        ({"loging_file": "x"}, r"--loging_file: unknown option. Did you mean 'logging_file'\?"),
        ({"args_file": "args.yaml"}, r"--mesage: unknown id 'mesage'. Did you mean 'message'\?"),
    ],
)
def test_command_lines_that_monai_would_accept(
    given: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    (tmp_path / "args.yaml").write_text("mesage: hi")
    (tmp_path / "metadata.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    given = {"run_id": "protect", **update_kwargs(given.pop("args_file", None), **given)}
    with pytest.raises(ConfigError, match=message):
        check_workflow(ConfigWorkflow("a.yaml", **given))


def test_run_protect_and_verify(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"input": phantom, "output": tmp_path / "out", "quiet": True}
    result = command(protect, **given, method="random", epsilon="8/255", psnr_target=None)
    assert result.exit_code == 0 and result.plan.epsilon == 8 / 255
    assert command(verify, **given).ok
    assert "5 cases" in capsys.readouterr().out
    with pytest.raises(InputError):
        command(verify, input=phantom, output=tmp_path / "nowhere")


def test_probe_is_printed_and_put_into_the_report(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"input": phantom, "output": tmp_path / "out", "quiet": True}
    command(protect_and_probe, **given, method="checkerboard", probe_steps=2)
    assert "probe victim: no verdict" in capsys.readouterr().out, "two steps teach nothing"
    assert "probe DSC" not in (tmp_path / "out-private/report.html").read_text()
