# SPDX-License-Identifier: Apache-2.0
"""Fetch NiiVue from npm again, bundle it, and compare the bundle with the one that umed ships, or write it.

``python tools/niivue/build.py`` compares and ends with 1 on a difference; ``--write`` replaces the bundle, the licences
and the record beside it. It needs node with npm. Every package is pinned by its integrity in package-lock.json, and
esbuild makes the same bytes of the same packages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parents[1] / "umed" / "report" / "viewer"
BUNDLE, LICENCES, RECORD = "niivue.min.js", "NIIVUE-LICENSES.txt", "niivue.json"
OPTIONS = (
    *("--bundle", "--minify", "--format=iife", "--global-name=niivue", "--target=es2020", "--charset=ascii"),
    *("--legal-comments=none", "--external:numcodecs/*", "--metafile=meta.json", f"--outfile={BUNDLE}"),
)
"""The codecs of Zarr (1.4 MB) stay outside: the viewer reads no Zarr."""
HEAD = """The file niivue.min.js beside this one is NiiVue {version} with the packages below, bundled and minified by
esbuild and otherwise unchanged; codecs that umed does not need are left out. Made by tools/niivue/build.py of umed.
The font in it, Roboto, is under the Apache License 2.0, which is that of umed.
"""


def main() -> int:
    """Build, then compare or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace what umed ships")
    write = parser.parse_args().write
    npm = shutil.which("npm")
    if npm is None:
        print("tools/niivue/build.py: expected npm on the PATH, found none. Install node.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        made = build(Path(folder), npm)
    if write:
        SHIPPED.mkdir(exist_ok=True)
        for name, content in made.items():
            (SHIPPED / name).write_bytes(content)
    different = [name for name, content in made.items() if (SHIPPED / name).read_bytes() != content]
    for name in made:
        print(f"{name}: {'DIFFERENT from' if name in different else 'the same as'} umed/report/viewer/{name}")
    return 1 if different else 0


def build(work: Path, npm: str) -> dict[str, bytes]:
    """Content of each file by name, from packages whose integrity npm has checked."""
    for name in ("package.json", "package-lock.json", "entry.js"):
        shutil.copyfile(HERE / name, work / name)
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work, check=True)
    bundler = work / "node_modules" / ".bin" / "esbuild"
    subprocess.run([str(bundler), "entry.js", *OPTIONS], cwd=work, check=True)
    meta = json.loads((work / "meta.json").read_text("utf-8"))["outputs"][BUNDLE]["inputs"]
    used = sorted({package(name) for name, part in meta.items() if "node_modules/" in name and part["bytesInOutput"]})
    lock = json.loads((work / "package-lock.json").read_text("utf-8"))["packages"]
    bundle = (work / BUNDLE).read_bytes()
    packages = {
        name: {key: lock[f"node_modules/{name}"][key] for key in ("version", "license", "integrity")} for name in used
    }
    record = {"file": BUNDLE, "bytes": len(bundle), "sha256": hashlib.sha256(bundle).hexdigest(),
              "esbuild": lock["node_modules/esbuild"]["version"], "packages": packages}  # fmt: skip
    return {
        BUNDLE: bundle,
        LICENCES: licences(work, used, packages["@niivue/niivue"]["version"]).encode(),
        RECORD: (json.dumps(record, indent=2) + "\n").encode(),
    }


def package(path: str) -> str:
    """Name of the package that a file belongs to."""
    parts = path.rpartition("node_modules/")[2].split("/")
    return "/".join(parts[: 2 if parts[0].startswith("@") else 1])


def licences(work: Path, used: list[str], version: str) -> str:
    """Licence texts of what is in the bundle; NiiVue's package has none, so its text lies here."""
    parts = [HEAD.format(version=version)]
    for name in used:
        found = sorted(path for path in (work / "node_modules" / name).iterdir() if path.stem.lower() == "license")
        text = (found[0] if found else HERE / f"{name.partition('/')[2]}-license.txt").read_text("utf-8")
        lines = [line.rstrip() for line in text.strip().splitlines()]
        parts.append("\n".join([name, "=" * len(name), "", *lines, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
