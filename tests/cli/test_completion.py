# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from umed.cli.completion import SHELLS
from umed.cli.main import COMMANDS, main

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("shell", SHELLS)
def test_script_knows_every_command_and_its_options(shell: str, capsys: Capture) -> None:
    assert main(["--print-completion", shell]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert all(word in said.out for word in [*COMMANDS, "psnr-target", "accept-burned-in", "sam-checkpoint"])


def test_bash_completes_commands_options_and_paths(tmp_path: Path, capsys: Capture) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    assert main(["--print-completion=bash"]) == 0
    (tmp_path / "umed.bash").write_text(capsys.readouterr().out)
    (tmp_path / "scans.nii").touch()

    def answers(*words: str) -> set[str]:
        """What a person gets who presses the tab key after these words."""
        line = " ".join(f"'{word}'" for word in ("umed", *words))
        script = (
            f"shopt -s extglob progcomp; compopt() {{ :; }}; source umed.bash\n"
            f"COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
            "_shtab_umed; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run([bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert answers("pro") == {"protect", "propose-masks"}
    assert answers("protect", "--psn") == {"--psnr-target"}
    assert "scans.nii" in answers("protect", "sca")


def test_fish_completes_commands_options_and_paths(tmp_path: Path, capsys: Capture) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("no fish")
    assert main(["--print-completion=fish"]) == 0
    (tmp_path / "umed.fish").write_text(capsys.readouterr().out)
    (tmp_path / "scans.nii").touch()

    def answers(line: str) -> set[str]:
        script = f"source umed.fish; complete -C '{line}'"
        done = subprocess.run(
            [fish, "--no-config", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return {one.partition("\t")[0] for one in done.stdout.splitlines()}

    assert answers("umed pro") == {"protect", "propose-masks"}
    assert answers("umed protect --psn") == {"--psnr-target"}
    assert "scans.nii" in answers("umed protect sca")


def test_zsh_completes_options(tmp_path: Path, capsys: Capture) -> None:
    """In a terminal of its own, since zsh completes nowhere else; the tab key is pressed after ``--psn``."""
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("no zsh")
    assert main(["--print-completion=zsh"]) == 0
    (tmp_path / "_umed").write_text(capsys.readouterr().out)
    start = "PS1=''; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; print -r -- \\$_comps[umed]"
    (tmp_path / "ask.zsh").write_text(
        "zmodload zsh/zpty\nzpty z zsh -f -i\n"
        f'zpty -w z "{start}"\n'
        "zpty -n -w z $'umed protect --psn\\t'\nzpty -n -w z $'\\nexit\\n'\n"
        "while zpty -r z part; do print -rn -- $part; done\n"
    )
    done = subprocess.run([zsh, "-f", "ask.zsh"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert "\n_umed\n" in done.stdout and "--psnr-target" in done.stdout


def test_another_shell_is_wrong_usage(capsys: Capture) -> None:
    assert main(["--print-completion", "ksh"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "bash" in said.err and said.err.count("\n") == 1
