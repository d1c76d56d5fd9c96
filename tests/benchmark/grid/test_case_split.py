# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from umed.benchmark.grid.case_split import Split, split_cases
from umed.core.errors import InputError


def test_split_is_disjoint_complete_and_depends_on_the_set_alone() -> None:
    ids = [f"case_{k}" for k in range(40)]
    split = split_cases(ids, seed=3)
    assert sorted(split.train + split.validation + split.test) == sorted(ids)
    assert (len(split.train), len(split.validation), len(split.test)) == (27, 3, 10)
    assert split_cases(ids[::-1], seed=3) == split
    assert split_cases(ids, seed=4) != split


def test_split_refuses_a_case_in_two_parts() -> None:
    with pytest.raises(InputError, match="two parts"):
        Split(("a", "b"), ("c",), ("a",))
    with pytest.raises(InputError, match="at least 4"):
        split_cases(["a", "b", "c"])
    with pytest.raises(InputError, match="expected cases to train on, got 8 cases with test 0.9"):
        split_cases([str(k) for k in range(8)], test=0.9)
