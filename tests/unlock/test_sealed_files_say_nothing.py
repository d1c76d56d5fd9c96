# SPDX-License-Identifier: Apache-2.0
"""Whoever has the release alone learns sizes, and of these no more than the published files and masks tell."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.outcome_files import save_picture
from tests.unlock.unlock_runs import payload_path, person, protect
from umed.data import formats
from umed.unlock import age_keys
from umed.unlock.file_payloads import make_file_payload
from umed.unlock.residual import pack_difference

CASES = tuple(f"c{number}" for number in range(8))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Eight pictures of one size with the same mask, each with noise of its own; protected for somebody."""
    root = tmp_path_factory.mktemp("silent")
    mask = np.zeros((128, 128), np.uint8)
    mask[30:100, 20:90] = 255
    for number, name in enumerate(CASES):
        values = np.random.default_rng(number).integers(40, 200, (128, 128, 3)).astype("u1")
        save_picture(root / "in" / "images" / f"{name}.png", values)
        save_picture(root / "in" / "masks" / f"{name}.png", mask)
    assert protect(root / "in", root / "out", "--method", "random", "--recipients", str(person(root, "anne").list)) == 0
    return root


def sealed(made):
    return {name: payload_path(made / "out", f"images/{name}.png").read_bytes() for name in CASES}


def test_cases_of_one_size_have_unlock_files_of_one_size(made):
    contents = {formats.read(made / "in" / "images" / f"{name}.png").stored.tobytes() for name in CASES}
    assert len(contents) == len(CASES)
    sizes = {age_keys.body_size(data) for data in sealed(made).values()}
    assert min(sizes) > 4096 and len(sizes) == 1


def test_sizes_do_not_tell_which_way_a_case_was_changed(tmp_path):
    """Another sign, another code of the same values: the same padded size."""
    draw, sizes = np.random.default_rng(0), set()
    for number in range(6):
        values = draw.integers(40, 200, (256, 256, 3)).astype("u1")
        moved = values.copy()
        moved[64:192, 64:192] += draw.choice(np.array([-3, 3]), (128, 128, 3)).astype("u1")
        save_picture(tmp_path / f"{number}.png", values)
        save_picture(tmp_path / "out" / f"{number}.png", moved)
        payload = make_file_payload(tmp_path / f"{number}.png", tmp_path / "out" / f"{number}.png", "images/x.png")
        assert payload is not None and payload.data != pack_difference(moved, values)
        sizes.add(len(payload.encode()))
    assert len(sizes) == 1 and min(sizes) > 4096


def test_no_plaintext_stands_in_them(made):
    for name, data in sealed(made).items():
        original = formats.read(made / "in" / "images" / f"{name}.png").stored
        published = formats.read(made / "out" / "images" / f"{name}.png").stored
        packed = pack_difference(original, published)
        for secret in (b"images/", name.encode() + b".png", b"difference", b"umed unlock", b"sha256", packed[:40]):
            assert secret not in data
        assert packed[len(packed) // 2 : len(packed) // 2 + 12] not in data
        assert original.tobytes()[:16] not in data


def test_bytes_are_evenly_spread(made):
    """Chi-square of all ciphertext bytes: 255 degrees of freedom, beyond 400 once in 10^8 times."""
    bodies = b"".join(data[-age_keys.body_size(data) :] for data in sealed(made).values())
    counts = np.bincount(np.frombuffer(bodies, np.uint8), minlength=256)
    assert ((counts - len(bodies) / 256) ** 2 / (len(bodies) / 256)).sum() < 400


def test_the_same_plaintext_is_another_ciphertext_each_time(made):
    public = age_keys.public_of(age_keys.new_identity())
    one, other = age_keys.encrypt(b"same", [public]), age_keys.encrypt(b"same", [public])
    assert one[-20:] != other[-20:]
    ends = [data[-64:] for data in sealed(made).values()]
    assert len(set(ends)) == len(ends)


def test_names_and_times_carry_nothing(made):
    folder = made / "out" / "umed" / "unlock"
    names = {path.name for path in folder.iterdir()}
    assert names == {"key.age", "index.age", *(payload_path(made, f"images/{name}.png").name for name in CASES)}
    assert len({path.stat().st_mtime_ns for path in folder.iterdir()}) == 1


def test_neither_manifest_nor_page_tells_more_than_names_and_checksums(made):
    manifest = json.loads((made / "out" / "umed" / "manifest.json").read_text())
    entries = {name: entry for name, entry in manifest["files"].items() if name.startswith("umed/unlock/")}
    assert len(entries) == len(CASES) + 2
    assert all(entry.keys() == {"sha256", "what"} and entry["what"] == "unlock" for entry in entries.values())
    public = (made / "anne.txt").read_text().split()[-1]
    page = (made / "out" / "umed" / "about.html").read_text()
    assert re.search(rf"files that give the originals back[^\d]*{len(entries)}\b", re.sub(r"<[^>]*>", " ", page))
    for path in (made / "out").rglob("*"):
        assert not path.is_file() or public.encode() not in path.read_bytes()
