# SPDX-License-Identifier: Apache-2.0
"""`--recipient NAME`: two names, two codes under one key; the name is sealed, and in no published byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import umed
from umed.cli.main import main
from umed.core.errors import ConfigError

NAME = "Anne of Geneva"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("data") / "in", np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    mask = np.zeros((32, 40), np.uint8)
    mask[8:24, 8:30] = 255
    for number in range(3):
        Image.fromarray(rng.integers(60, 190, (32, 40, 3), dtype=np.uint8)).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def protect(data: Path, out: Path, *options: str) -> int:
    return main(["protect", str(data), str(out), "--set", "training.iterations=0", "--quiet", *options])


def images(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((out / "images").iterdir())]


def test_each_recipient_gets_a_code_of_its_own_under_one_key(data: Path, tmp_path: Path) -> None:
    key = ["--key-file", str(tmp_path / "k.key")]
    assert main(["keygen", str(tmp_path / "k.key")]) == 0
    copies = {"none": [], "anne": ["--recipient", NAME], "bob": ["--recipient", "Bob"], "again": ["--recipient", NAME]}
    for name, options in copies.items():
        assert protect(data, tmp_path / name, *key, *options) == 0
        assert umed.verify(data, tmp_path / name, key_file=tmp_path / "k.key").ok
    found = {name: images(tmp_path / name) for name in copies}
    assert found["anne"] == found["again"]
    assert all(a != b for one, other in (("anne", "bob"), ("none", "anne"), ("none", "bob"))
               for a, b in zip(found[one], found[other], strict=True))  # fmt: skip


def test_the_name_is_sealed_and_in_no_published_byte(data: Path, tmp_path: Path) -> None:
    assert protect(data, tmp_path / "out", "--recipient", NAME) == 0
    private = tmp_path / "out-private"
    assert json.loads((private / "trace.json").read_text())["recipient"] == NAME
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert b"Anne" not in path.read_bytes()
    assert umed.verify(data, tmp_path / "out").ok
    (private / "copy.json").write_text('{"recipient": "Bob"}')
    assert any("copy.json" in one for one in umed.verify(data, tmp_path / "out").problems)


@pytest.mark.parametrize("name", ["trace.json", "copy.json"])
def test_what_a_trace_rests_on_is_found_in_a_release_under_any_name(data: Path, tmp_path: Path, name: str) -> None:
    assert protect(data, tmp_path / "out", "--recipient", NAME) == 0
    content = (tmp_path / "out-private" / name).read_bytes()
    (tmp_path / "out-private").rename(tmp_path / "away")
    (tmp_path / "out" / "notes.txt").write_bytes(content)
    assert "private" in {one.kind for one in umed.check_release(tmp_path / "out").findings}


def test_a_resumed_run_keeps_its_recipient(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert protect(data, out, "--recipient", NAME) == 0
    before = images(out)
    (out / "images" / "1.png").unlink()
    assert protect(data, out, "--resume") == 0
    assert images(out) == before
    assert json.loads((tmp_path / "out-private" / "trace.json").read_text())["recipient"] == NAME
    capsys.readouterr()
    assert protect(data, out, "--resume", "--recipient", "Bob") == 2
    assert f"expected '{NAME}', as the run that is resumed has it" in capsys.readouterr().err
    assert protect(data, out, "--overwrite") == 0
    assert "recipient" not in json.loads((tmp_path / "out-private" / "trace.json").read_text())
    assert images(out) != before


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "age1qqq", "FILE"])
def test_what_is_no_name_is_refused_before_anything_is_written(data: Path, tmp_path: Path, name: str) -> None:
    if name == "FILE":
        name = str(tmp_path / "people.txt")
        Path(name).write_text("age1qqq")
    with pytest.raises(ConfigError, match="--recipient"):
        umed.protect(data, tmp_path / "out", recipient=name, training={"iterations": 0})
    assert not (tmp_path / "out").exists() and not (tmp_path / "out-private").exists()


def test_methods_whose_copies_do_not_differ_take_no_recipient(data: Path, tmp_path: Path) -> None:
    assert protect(data, tmp_path / "out", "--method", "checkerboard", "--recipient", NAME) == 2
    assert not (tmp_path / "out").exists()
