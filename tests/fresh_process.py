# SPDX-License-Identifier: Apache-2.0
"""Commands in one process that has imported nothing yet, and what they imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

HEAVY = (
    "numpy",
    "scipy",
    "nibabel",
    "skimage",
    "PIL",
    "pydicom",
    "torch",
    "monai",
    "tqdm",
    "shtab",
    "yaml",
    "jinja2",
    "cryptography",
)
MANY = f"""
import contextlib, io, json, sys
absent, commands = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(absent))
from umed.cli.main import main
ended = []
for words in commands:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code or 0
    ended.append([code, out.getvalue(), err.getvalue(), sorted(set({HEAVY}) & set(sys.modules) - set(absent))])
print(json.dumps(ended))
"""
Ended = dict[str, tuple[int, str, str, list[str], Path]]
"""Exit code, what was said, what of ``HEAVY`` was imported so far, and where something new may have been written."""


def in_a_fresh_process(absent: list[str], commands: Sequence[str], folder: Path, names: Mapping[str, Path]) -> Ended:
    """What comes of commands, one after the other, in one process that has imported nothing yet."""
    news = [folder / f"new{number}" for number in range(len(commands))]
    filled = [
        [word.format(**names, new=new) for word in words.split()] for words, new in zip(commands, news, strict=True)
    ]
    command = [sys.executable, "-c", MANY, json.dumps([absent, filled])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {words: (*one, new) for words, one, new in zip(commands, found, news, strict=True)}
