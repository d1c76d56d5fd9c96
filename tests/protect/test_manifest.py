# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from umed.cases.records import Store, make_private
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.core.types import Outcome
from umed.plan.planning import Plan
from umed.protect.manifest import make_record, read_manifest, read_record, record_of, write_manifest, write_record

KEY = Key(bytes(range(32)))
SECRET = ("a_case_id", "psnr", "release", "plan", "method", "seed", "generators", "spatial_dims")
"""What a thief could use, or needs not know; none of it is public."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "out")
    store.public("").mkdir(parents=True)
    make_private(store.folder)
    return store


def whole(*outcomes: Outcome, **more: Any) -> dict[str, Any]:
    """A record with all that a run adds."""
    files = {"images/a.png": {"sha256": "0" * 64, "what": "protected image"}}
    return {
        **make_record(Plan(seed=7), "pairs", outcomes, "1.2", **more),
        "release": "r",
        "method": "m",
        "files": files,
    }


def test_the_record_comes_back_in_order_and_knows_its_neighbours(store: Store) -> None:
    outcomes = [Outcome("b", "failed", "b.nii: no"), Outcome("a", "protected", "", {"files": [{"psnr": 50.0}]})]
    store.path("plan.json").write_text("{}")
    write_record(store, KEY, whole(*outcomes))
    read = read_record(store.folder, KEY)
    assert [case["id"] for case in read["cases"]] == ["a", "b"] and read["plan"]["seed"] == 7 and read["format"] == 2
    assert list(read["private"]) == ["plan.json"] and read["key"] == KEY.digest()
    first = store.path("release.json").read_bytes()
    write_record(store, KEY, whole(*outcomes[::-1]))
    assert store.path("release.json").read_bytes() == first
    KEY.write(store.path("release.key"))
    assert record_of(store.output) == read == record_of(store.output, store.folder, store.path("release.key"))


def test_the_public_manifest_says_nothing_of_cases_or_codes(store: Store) -> None:
    case = Outcome("a_case_id", "protected", "", {"files": [{"psnr": 50.0}]})
    write_manifest(store, KEY, whole(case, labels="proposals"))
    manifest = read_manifest(store.output)
    text = store.public("manifest.json").read_text()
    assert not [word for word in SECRET if f'"{word}"' in text]
    assert manifest["labels"] == "proposals" and manifest["bound"]["epsilon"] == 4 / 255
    assert "not for diagnosis" in manifest["notice"] and KEY.is_sealed("manifest", manifest)
    write_manifest(store, KEY, {**whole(), "plan": {}})
    manifest = read_manifest(store.output)
    assert manifest["bound"] == {} and "not perturbed" in manifest["notice"]


def test_cases_left_out_of_training_are_listed_only_where_there_are_any(store: Store) -> None:
    assert "left_out_of_training" not in whole()
    record = whole(left_out=[("b", "no"), ("a", "not either")])
    assert record["left_out_of_training"] == [{"id": "a", "reason": "not either"}, {"id": "b", "reason": "no"}]
    with pytest.raises(ValueError, match="expected no path"):
        write_record(store, KEY, whole(left_out=[("a", "/home/jane/scan.nii: bad")]))


@pytest.mark.parametrize("leak", ["/home/jane/scan.nii: bad", "read C:\\data\\scan.nii", "got '/mnt/x/y'"])
def test_no_absolute_path_goes_out(store: Store, leak: str) -> None:
    with pytest.raises(ValueError, match="expected no path"):
        write_record(store, KEY, whole(Outcome("a", "failed", leak)))
    with pytest.raises(ValueError, match="expected no path"):
        write_manifest(store, KEY, whole(labels=leak))
    assert not store.path("release.json").exists() and not store.public("manifest.json").exists()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"format": 9}', '{"format": 2}', '{"format": 2, "layout": "pairs", "files": {"a": 1}}', "[" * 99999],
)
def test_a_damaged_manifest_is_named(store: Store, content: str) -> None:
    with pytest.raises(InputError, match="got nothing"):
        read_manifest(store.output)
    store.public("manifest.json").write_text(content)
    with pytest.raises(InputError, match="expected"):
        read_manifest(store.output)


def test_an_edited_record_or_one_of_another_key_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="got nothing"):
        read_record(store.folder, KEY)
    write_record(store, KEY, whole())
    with pytest.raises(ConfigError, match="--key-file"):
        read_record(store.folder, Key(bytes(32)))
    path = store.path("release.json")
    record = json.loads(path.read_text())
    record["plan"]["epsilon"] = 1
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="edited since: its seal is broken"):
        read_record(store.folder, KEY)
    for content, match in (
        ("{", "expected JSON"),
        ("[]", "expected a JSON object"),
        ('{"format": 1}', "format 2, got 1"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=match):
            read_record(store.folder, KEY)


def test_a_manifest_of_umed_0_1_is_given_as_it_is(store: Store) -> None:
    store.public("manifest.json").write_text('{"format": 1, "plan": {}}')
    assert read_manifest(store.output) == {"format": 1, "plan": {}}
