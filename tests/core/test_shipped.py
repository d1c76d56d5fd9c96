# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import yaml

from umed.core.shipped import shipped_names, shipped_text


@pytest.mark.parametrize("folder", ["recipes", "benchmark", "deid"])
def test_every_shipped_name_is_a_file_that_holds_a_mapping(folder):
    names = shipped_names(folder)
    assert names == sorted(names) and len(names) > 1
    for name in names:
        assert isinstance(yaml.safe_load(shipped_text(f"{folder}/{name}.yaml")), dict)
