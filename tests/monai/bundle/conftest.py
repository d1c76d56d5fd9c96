# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from umed.data.phantom import make_phantom

ROOT = Path(__file__).resolve().parents[3] / "monai_bundle"


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(tmp_path_factory.mktemp("phantom") / "in", cases=2, size=(32, 32, 24))


@pytest.fixture(autouse=True)
def in_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
