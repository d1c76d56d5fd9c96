# SPDX-License-Identifier: Apache-2.0
"""The command line of monai.bundle, without a process of its own that would import torch and MONAI again."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def monai_bundle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``python -m monai.bundle`` with the words that are given, in this process."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["monai.bundle", *words])
        capsys.readouterr()
        code: object = 0
        try:
            runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)  # type: ignore[arg-type]

    return run
