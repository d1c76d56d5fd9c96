# SPDX-License-Identifier: Apache-2.0
"""Random folders as people have them: pictures and masks among everything else that lies in such a folder."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from PIL import Image

FOLDERS = ("", "images", "masks", "images/deep er", "masks/deep er", "extra", ".hidden", "__MACOSX", "umed", ".git/x")
ODD = ("a b", "ä", ".x", "n\nl", "-", "R^J 19700131", "bad\udcff", "x'y\"", "c0", "c1", "c1_mask", "README", "dataset")
ENDINGS = ("", ".png", ".PNG", ".jpg", ".nii.gz", ".bmp", ".mha", ".txt", ".md", ".csv", ".json", ".zip", ".raw")
CONTENTS = ("picture", "picture", "mask", "mask", "no lesion", "nothing", "text", "noise", "fork", "fifo")
LINKS = ("inside", "outside", "broken", "folder")


def png(kind: str, name: str) -> bytes:
    """A picture or a mask, another for every name."""
    rng = np.random.default_rng(list(os.fsencode(name)))
    values = rng.integers(20, 230, (16, 16, 3), dtype=np.uint8)
    if kind != "picture":
        top, left, bottom, right = (*rng.integers(1, 6, 2), *rng.integers(8, 14, 2))
        values = np.zeros((16, 16), np.uint8)
        values[top:bottom, left:right] = 0 if kind == "no lesion" else 255
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    return buffer.getvalue()


BYTES = {"nothing": b"", "text": b"case,age\nc0,3\n", "noise": bytes(range(256)) * 4, "fork": b"\0\5\x16\7" + bytes(64)}


class Thing(NamedTuple):
    """One thing in a tree."""

    folder: str
    name: str
    content: str


THINGS = st.lists(
    st.builds(
        lambda folder, name, ending, content: Thing(folder, f"{name}{ending}", content),
        st.sampled_from(FOLDERS),
        st.one_of(st.sampled_from(ODD), st.text("aé~%$ .^{}", min_size=1, max_size=4)),
        st.sampled_from(ENDINGS),
        st.sampled_from(CONTENTS + LINKS),
    ),
    max_size=14,
)
TREES = st.tuples(THINGS, st.sampled_from(("pairs", "decathlon")), st.booleans())
"""Things, the layout of the one good case among them, and whether an index lists files that are not there, too."""


def plant(root: Path, tree: tuple[list[Thing], str, bool]) -> Path:
    """Write a tree around one good case."""
    things, layout, missing = tree
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    outside = root.with_name("outside.png")
    outside.write_bytes(png("picture", "outside"))
    (root / "images/good.png").write_bytes(png("picture", "good"))
    (root / "masks/good.png").write_bytes(png("mask", "good"))
    for thing in things:
        path = root / thing.folder / thing.name
        if os.path.lexists(path) or thing.name in (".", "..") or layout == "pairs" and path == root / "dataset.json":
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if thing.content == "fifo":
            os.mkfifo(path)
        elif thing.content in LINKS:
            targets = {"inside": root / "images/good.png", "outside": outside, "folder": root / "images"}
            path.symlink_to(targets.get(thing.content, root / "nowhere"))
        else:
            known = BYTES.get(thing.content)
            path.write_bytes(png(thing.content, f"{thing.folder}/{thing.name}") if known is None else known)
    if layout == "decathlon":
        pictures = sorted(path.name for path in (root / "images").iterdir() if path.name.isprintable())
        listed = [*pictures, *(["gone 1.png", "gone 2.png"] if missing else [])]
        training = [{"image": f"images/{name}", "label": f"masks/{name}"} for name in listed]
        index = {"labels": {"0": "background", "1": "lesion"}, "training": training, "numTraining": len(training)}
        (root / "dataset.json").unlink(missing_ok=True)
        (root / "dataset.json").write_text(json.dumps(index))
    return root


def snapshot(root: Path) -> dict[str, tuple[str, bytes]]:
    """Everything below a folder that is no folder, by name: its kind, and its bytes or where it leads."""
    found: dict[str, tuple[str, bytes]] = {}
    for folder, folders, names in os.walk(root):
        for name in [*names, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                found[path.relative_to(root).as_posix()] = "link", os.fsencode(os.readlink(path))
            elif stat.S_ISREG(mode):
                found[path.relative_to(root).as_posix()] = "file", path.read_bytes()
            else:
                found[path.relative_to(root).as_posix()] = "special", b""
    return found
