# SPDX-License-Identifier: Apache-2.0
"""What every command of umed is given in tests of its ends: small inputs, and places to write to."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tests import dicom_files
from tests.benchmark.benchmark_folder import make_cell
from umed.cli.main import main
from umed.unlock.age_keys import new_identity, write_identity

WORDS = {
    "protect": "{data} {out} --method checkerboard --quiet",
    "anonymize": "{dicom} {out} --key-file {key} --quiet",
    "verify": "{data} {protected} --private {private} --quiet",
    "check-release": "{protected} --original {data} --private {private} --quiet",
    "inspect": "{data} --quiet",
    "plan": "{data} --method checkerboard --quiet",
    "benchmark": "quick --data {data} --out {out} --set methods=[checkerboard] --set price=false --quiet",
    "train-generator": "unseg --data {data} --out {out} --iterations 1 --encoder tiny --quiet",
    "propose-masks": "{data} {out} --prompts grid --sam-checkpoint {file} --quiet",
    "sample": "{out} --cases 1 --size 16 16 16",
    "demo": "--out {out} --cases 12 --steps 1 --quiet",
    "keygen": "{out}",
    "unlock": "{protected} {out} --key {recipient} --quiet",
    "trace": "challenge {data} {out} --private {traced} --quiet",
    "report": "{cells}",
    "import-generator": "unseg {file} --sam-checkpoint {file} --out {out}",
    "info": "",
    "app": "",
    "doctor": "",
    "card": "{protected} --private {private} --title T --author A --contact C --licence research-no-training",
}
"""Words after the name of each command; names in braces are fields of :class:`Places`."""
NOBODY = 65534


class Places(NamedTuple):
    """Where everything lies; ``out`` is not there yet."""

    root: Path
    data: Path
    dicom: Path
    key: Path
    protected: Path
    private: Path
    cells: Path
    file: Path
    recipient: Path
    traced: Path
    out: Path

    def words(self, command: str) -> list[str]:
        """The command line of a command."""
        return [command, *WORDS[command].format(**self._asdict()).split()]


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def call(words: list[str], user: int | None = None) -> Said:
    """Run umed in this process; as another user, whom permissions bind, where the tests run as root."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if user is not None:
            os.setegid(user)
            os.seteuid(user)
        try:
            code = main(words)
        finally:
            if user is not None:
                os.seteuid(0)
                os.setegid(0)
    return Said(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def places() -> Iterator[Places]:
    """Make them, where every user may look."""
    root = Path(tempfile.mkdtemp(prefix="umed-ends-"))
    root.chmod(0o777)
    found = Places(
        root,
        *(
            root / name
            for name in ("in", "dicom", "k.key", "done", "done-private", "cells", "f", "r.key", "t-private", "o")
        ),
    )
    try:
        draw = np.random.default_rng(0)
        for number in range(4):
            mask = np.zeros((32, 32), np.uint8)
            mask[8:24, 8:24] = 255
            for folder, array in (("images", draw.integers(0, 255, (32, 32), dtype=np.uint8)), ("masks", mask)):
                (found.data / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(found.data / folder / f"{number}.png")
        dicom_files.write_series(found.dicom, np.zeros((2, 16, 16), np.int16))
        assert call(["keygen", str(found.key)]).code == 0
        people = root / "people.txt"
        people.write_text(write_identity(found.recipient, new_identity()))
        words = ["protect", str(found.data), str(found.protected), "--method", "checkerboard", "--quiet"]
        words += ["--recipients", str(people)]
        assert call(words).code == 0
        words = ["protect", str(found.data), str(root / "t"), "--set", "training.iterations=0", "--quiet"]
        assert call(words).code == 0
        for method in ("clean", "umed"):
            cell = make_cell("set", method, "unet", [], 0, (0.8, 0.7), protected=method != "clean")
            cell.write(found.cells / "cells")
        found.file.write_text("text")
        if os.geteuid() == 0:
            for path in (
                found.key,
                found.recipient,
                *found.private.rglob("*"),
                found.private,
                *found.traced.rglob("*"),
                *found.root.glob("*"),
            ):
                os.chown(path, NOBODY, NOBODY)
        yield found
    finally:
        for folder, _, _ in os.walk(root):
            os.chmod(folder, 0o700)
        shutil.rmtree(root)


def error_of(said: Said) -> dict[str, Any]:
    """The one JSON object on stdout."""
    content = json.loads(said.out)
    assert isinstance(content, dict)
    return content
