# SPDX-License-Identifier: Apache-2.0
"""Whether umed can work here: Python, packages, torch, codecs of DICOM and the machine; each with its cure.

What may be broken is imported in a process of its own: a library that was built for another processor ends the process
that imports it, and the doctor must outlive it.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from umed.core.version import __version__
from umed.execution.machine import Check, check_cores, check_folder, check_locale, check_memory, check_temporary

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch keeps its builds without CUDA."""
CPU_TORCH = f"pip install torch --index-url {CPU_INDEX}"
OLDEST = (3, 10)
PATIENCE = 300
"""Seconds that one process may take; a first import from a network drive takes a minute."""
MODULES = {
    "scikit-image": "skimage",
    "pillow": "PIL",
    "simpleitk": "SimpleITK",
    "pyyaml": "yaml",
    "pytorch-ignite": "ignite",
    "pyahocorasick": "ahocorasick",
    "pylibjpeg-openjpeg": "openjpeg",
    "pylibjpeg-rle": "rle",
    "pyjpegls": "jpeg_ls",
    "python-gdcm": "gdcm",
    "segment-anything": "",
}
"""How a package is imported, where it is not by its own name; ``""``: not looked at, since it wants a torchvision that
umed does without."""
SYNTAXES = {
    "JPEG": "1.2.840.10008.1.2.4.50",
    "JPEG extended": "1.2.840.10008.1.2.4.51",
    "JPEG lossless": "1.2.840.10008.1.2.4.57",
    "JPEG lossless SV1": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG-LS near-lossless": "1.2.840.10008.1.2.4.81",
    "JPEG 2000 lossless": "1.2.840.10008.1.2.4.90",
    "JPEG 2000": "1.2.840.10008.1.2.4.91",
    "HTJ2K lossless": "1.2.840.10008.1.2.4.201",
    "HTJ2K lossless RPCL": "1.2.840.10008.1.2.4.202",
    "HTJ2K": "1.2.840.10008.1.2.4.203",
    "RLE": "1.2.840.10008.1.2.5",
}
"""Compressed transfer syntaxes of DICOM that umed reads; uncompressed and deflated files need no codec."""
_IMPORT = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, None]), flush=True)
    try:
        importlib.import_module(name)
        print(json.dumps([name, ""]), flush=True)
    except BaseException as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]), flush=True)
"""
_TORCH = """
import json, torch
ones = torch.ones(1, 1, 8, 8, 8, requires_grad=True)
total = torch.nn.functional.conv3d(ones, torch.ones(1, 1, 3, 3, 3)).sum()
total.backward()
gpu = torch.cuda.is_available()
side = torch.ones(64, 64, device="cuda" if gpu else "cpu")
print(json.dumps({
    "version": torch.__version__, "build": torch.version.cuda or torch.version.hip or "",
    "right": float(total) == 27 * 6**3 and float(ones.grad.sum()) == 27 * 6**3,
    "gpu": torch.cuda.get_device_name(0) if gpu else "",
    "gpu_right": float((side @ side).sum()) == 64**3,
}))
"""
_CODECS = """
import json, sys
from umed.dicom.pixels.codecs import available
for name, uid in json.loads(sys.argv[1]).items():
    try:
        print(json.dumps([name, available(uid)]))
    except Exception as error:
        print(json.dumps([name, []]))
"""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found.

    Args:
        checks: everything that was looked at, in the order in which it is said.
    """

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """0 where all that is needed works, else 1."""
        return 1 if any(one.level == "broken" for one in self.checks) else 0

    def summary(self) -> str:
        """The answer, then a line for each check, the bad ones with their cure."""
        counts = {level: sum(one.level == level for one in self.checks) for level in ("broken", "note")}
        answer = "umed can work here." if not counts["broken"] else f"{counts['broken']} to mend before umed can work."
        if counts["note"]:
            answer += f" {counts['note']} worth knowing."
        width = max((len(one.name) for one in self.checks), default=0)
        lines = [answer]
        for one in sorted(self.checks, key=lambda check: ("broken", "note", "ok").index(check.level)):
            mark = {"broken": "BROKEN", "note": "note", "ok": "ok"}[one.level]
            lines.append(f"{mark:6}  {one.name:{width}}  {one.said}{f'. {one.cure}' if one.cure else ''}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        checks = [{"name": one.name, "level": one.level, "said": one.said, "cure": one.cure} for one in self.checks]
        return {"ok": self.exit_code == 0, "exit_code": self.exit_code, "umed": __version__, "checks": checks}


def diagnose(folder: str | Path = ".", more: Sequence[Check] = ()) -> Diagnosis:
    """Look at everything that umed needs here; changes nothing.

    Args:
        folder: where releases are to be written.
        more: what was looked at elsewhere, such as a file of weights.

    Returns:
        What was found.
    """
    needs = {extra: requirements(extra) for extra in ("", *extras())}
    missing = {name: said for wanted in needs.values() for name, said in _missing(wanted)}
    broken = _broken([name for wanted in needs.values() for name in wanted if name not in missing and name != "torch"])
    return Diagnosis(
        (
            *check_python(),
            *check_packages(needs[""], missing, broken),
            *check_torch(),
            *(one for extra in extras() for one in check_extra(extra, needs[extra], missing, broken)),
            *check_codecs(),
            *more,
            *check_cores(),
            *check_memory(),
            *check_folder(Path(folder), "folder", needed=True),
            *check_temporary(),
            *check_locale(),
        )
    )


def check_python() -> Iterator[Check]:
    """Version, and whether it is built for 64 bits, without which no torch is there."""
    said = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST or sys.maxsize <= 1 << 32:
        yield Check("Python", "broken", said, "Install Python 3.10 or newer, for 64 bits, and umed in it.")
    else:
        yield Check("Python", "ok", said)


def check_packages(wanted: Mapping[str, str], missing: Mapping[str, str], broken: Mapping[str, str]) -> Iterator[Check]:
    """What umed cannot do without: there, new enough, and it can be imported; torch has a check of its own.

    Args:
        wanted: names of packages, with the line that asks for each.
        missing: what is not there or too old, and why.
        broken: what cannot be imported, and why.
    """
    if not wanted:
        yield Check("umed", "note", "not installed as a package, so nobody knows what it needs", "Run: pip install .")
        return
    bad = {name: said for name, said in {**missing, **broken}.items() if name in wanted}
    for name, said in bad.items():
        cure = CPU_TORCH if name == "torch" else f"Run: pip install --force-reinstall '{wanted[name]}'"
        yield Check(name, "broken", said, cure)
    if not bad:
        yield Check("packages", "ok", f"umed {__version__} and the {len(wanted)} packages that it needs")


def check_torch() -> Iterator[Check]:
    """Whether torch computes, and which build it is."""
    try:
        metadata.version("torch")
    except metadata.PackageNotFoundError:
        return  # said with the packages
    lines, fault = _ask(_TORCH)
    if fault or not lines:
        yield Check("torch", "broken", f"cannot compute ({fault or 'it said nothing'})", f"Run: {CPU_TORCH}")
        return
    found = lines[-1]
    cuda = f", CUDA {found['build']}" if found["build"] else ", CPU build"
    said = f"{found['version']}{cuda}"
    if not found["right"]:
        yield Check("torch", "broken", f"{said}: computes wrongly", f"Run: {CPU_TORCH} --force-reinstall")
    elif not found["gpu_right"]:
        yield Check("torch", "broken", f"{said}: {found['gpu']} computes wrongly", "Use --device cpu, or another GPU.")
    elif found["build"] and not found["gpu"]:
        cure = f"Nothing to do; to save gigabytes: {CPU_TORCH} --force-reinstall. If there is a GPU, see its driver."
        yield Check("torch", "note", f"{said}, but no GPU can be used", cure)
    else:
        yield Check("torch", "ok", f"{said}{', ' + found['gpu'] if found['gpu'] else ''}: computes")


def check_extra(
    extra: str, wanted: Mapping[str, str], missing: Mapping[str, str], broken: Mapping[str, str]
) -> Iterator[Check]:
    """Whether an extra is whole, not there, or broken; the rest as in :func:`check_packages`."""
    name, step = f"[{extra}]", f"Run: pip install 'umed[{extra}]'"
    absent = [f"{one}: {missing[one]}" for one in wanted if one in missing]
    bad = [one for one in wanted if one in broken]
    if len(absent) == len(wanted):
        yield Check(name, "note", "not installed", f"{step}, if you need it.")
        return
    for one in bad:
        yield Check(name, "broken", f"{one}: {broken[one]}", f"Run: pip install --force-reinstall '{wanted[one]}'")
    if absent:
        yield Check(name, "note", "; ".join(absent), step)
    elif not bad:
        yield Check(name, "ok", "installed")


def check_codecs() -> Iterator[Check]:
    """Which compressed DICOM files can be read."""
    try:
        metadata.version("pydicom")
    except metadata.PackageNotFoundError:
        return  # said with the extras
    lines, fault = _ask(_CODECS, json.dumps(SYNTAXES))
    if fault:
        yield Check("codecs", "broken", f"cannot be looked at ({fault})", "Run: pip install 'umed[dicom]'")
        return
    absent = [name for name, found in lines if not found]
    if absent:
        cure = "Files of these kinds are put aside. Run: pip install 'umed[dicom]'"
        yield Check("codecs", "note", f"none for {', '.join(absent)}", cure)
    there = [f"{name} ({found[0]})" for name, found in lines if found]
    if there:
        yield Check("codecs", "ok", ", ".join(there))


def extras() -> list[str]:
    """Extras of umed but that of its developers, as its metadata has them."""
    try:
        found = metadata.metadata("umed").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return []
    return sorted(name for name in found if name not in ("dev", "docs"))


def requirements(extra: str) -> dict[str, str]:
    """What umed needs, or what one of its extras adds: names of packages with the line that asks for each."""
    try:
        lines = metadata.requires("umed") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        need, _, marker = line.partition(";")
        if ("extra ==" in marker) == bool(extra) and (not extra or extra in marker.replace("'", '"').split('"')):
            name = need.strip()
            for sign in "<>=!~[ (":
                name = name.partition(sign)[0]
            found[name.lower()] = need.strip()
    return found


def _missing(wanted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Of some packages those that are not there, or too old."""
    for name, line in wanted.items():
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"
            continue
        try:
            from packaging.requirements import Requirement
        except ImportError:  # comes with other packages, usually
            continue
        if not Requirement(line).specifier.contains(there, prereleases=True):
            yield name, f"expected {line}, got {there}"


def _broken(names: Sequence[str]) -> dict[str, str]:
    """Of some packages those that cannot be imported, with the reason; one that ends the process is told, too."""
    by_module = {MODULES.get(name, name.replace("-", "_")): name for name in names}
    by_module.pop("", None)
    found: dict[str, str] = {}
    waiting = list(by_module)
    while waiting:
        lines, fault = _ask(_IMPORT, *waiting)
        ended = {name: said for name, said in lines if said is not None}
        found |= {by_module[name]: said.splitlines()[0][:200] for name, said in ended.items() if said}
        waiting = [name for name in waiting if name not in ended]
        if waiting:  # the first of them took the process down
            found[by_module[waiting.pop(0)]] = f"cannot be imported ({fault or 'the process ended'})"
    return found


def _ask(script: str, *words: str) -> tuple[list[Any], str]:
    """Run a script in another process: what it printed as JSON, and why it failed."""
    command = [sys.executable, "-W", "ignore", "-c", script, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], type(error).__name__
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{"))]
    if done.returncode == 0:
        return lines, ""
    last = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
    return lines, f"signal {-done.returncode}" if done.returncode < 0 else last
