# SPDX-License-Identifier: Apache-2.0
"""Names of devices are checked where they are given, and that they are there where they are used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from umed.benchmark.benchmark import benchmark
from umed.core.config import make_settings
from umed.core.device import pick_device
from umed.core.errors import ConfigError


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, wanted in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert pick_device("auto") == torch.device(wanted)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0 ", ""])
def test_a_name_that_is_none_is_refused_before_anything_is_done(name: str) -> None:
    with pytest.raises(ConfigError, match="device: expected auto, cpu, cuda, cuda:1"):
        make_settings("default", {"device": name})


def test_a_device_that_is_not_there_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device: expected one that this machine has, got 'cuda:99'"):
        benchmark("quick", tmp_path / "out", device="cuda:99")
    assert not (tmp_path / "out").exists()
