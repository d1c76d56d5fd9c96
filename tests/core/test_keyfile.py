# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from umed.core.errors import InputError
from umed.core.keyfile import Key, Secret

KEY = Key(bytes(range(32)))
NAMES = st.lists(st.text(max_size=12), max_size=3)


@given(st.text(max_size=12), NAMES, st.text(max_size=12), NAMES)
def test_other_names_give_other_secrets(release: str, names: list[str], other: str, others: list[str]) -> None:
    one, two = Secret(KEY, release).derive("case", *names), Secret(KEY, other).derive("case", *others)
    assert (one == two) == ((release, names) == (other, others))
    assert one != Secret(Key(bytes(32)), release).derive("case", *names)
    assert one != Secret(KEY, release).derive("training", *names)


def test_the_derivation_is_hkdf_of_rfc_5869() -> None:
    info = b'["umed", 1, "r", "case", "a"]'
    expected = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(KEY.secret)
    assert Secret(KEY, "r").derive("case", "a") == expected
    assert expected != HKDFExpand(algorithm=hashes.SHA256(), length=32, info=info).derive(KEY.secret)


def test_draws_repeat_and_seeds_fit_torch() -> None:
    secret = Secret(KEY, "r")
    assert np.array_equal(secret.draw("case", "a").random(8), secret.draw("case", "a").random(8))
    assert not np.array_equal(secret.draw("case", "a").random(8), secret.draw("case", "b").random(8))
    assert all(0 <= secret.seed("x", str(n)) < 2**63 for n in range(99))


def test_a_key_survives_its_file_and_nothing_shows_it(tmp_path) -> None:
    path = tmp_path / "k"
    assert KEY.write(path) == KEY == Key.load(path)
    assert KEY.secret.hex() not in repr(Secret(KEY, "r"))
    with pytest.raises(InputError, match="expected 32 bytes, got 3"):
        Key(b"abc")


def test_a_seal_holds_for_the_same_content_key_and_purpose_only() -> None:
    sealed = KEY.seal("plan", {"epsilon": 0.1, "cases": [{"id": "ä"}]})
    assert KEY.is_sealed("plan", sealed) and KEY.is_sealed("plan", dict(reversed(sealed.items())))
    assert not KEY.is_sealed("manifest", sealed) and not Key(bytes(32)).is_sealed("plan", sealed)
    for broken in ({**sealed, "epsilon": 0.2}, {**sealed, "more": 1}, {"epsilon": 0.1}, {**sealed, "hmac": None}):
        assert not KEY.is_sealed("plan", broken)
    assert not KEY.is_sealed("plan", {**sealed, "hmac": "ü"})
