# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json

import pytest

from umed.report.viewer_files import NIIVUE, SCRIPT, STYLE, VIEWER_FILES, viewer_file


def test_niivue_is_the_one_that_was_built() -> None:
    record, bundle = json.loads(viewer_file("niivue.json")), viewer_file(NIIVUE).encode()
    assert record["sha256"] == hashlib.sha256(bundle).hexdigest() and record["bytes"] == len(bundle) < 1_000_000
    assert record["packages"]["@niivue/niivue"]["license"] == "BSD-2-Clause"
    texts = viewer_file("NIIVUE-LICENSES.txt")
    for name, package in record["packages"].items():
        assert package["license"] in ("BSD-2-Clause", "MIT", "ISC") and package["integrity"].startswith("sha512-")
        assert f"\n{name}\n{'=' * len(name)}\n" in texts
    assert "Redistributions in binary form" in texts


@pytest.mark.parametrize("name", [NIIVUE, SCRIPT, STYLE])
def test_files_can_stand_in_a_page(name: str) -> None:
    text = viewer_file(name)
    assert ("</style" if name == STYLE else "</script") not in text and "<!--" not in text
    assert "eval(" not in text and "new Function" not in text


def test_only_these_files_can_be_had() -> None:
    assert all(viewer_file(name) for name in VIEWER_FILES)
    with pytest.raises(KeyError, match="expected one of niivue.min.js"):
        viewer_file("../templates/page.js")
