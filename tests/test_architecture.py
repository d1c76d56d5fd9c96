# SPDX-License-Identifier: Apache-2.0
"""A module imports only what stands left of it in the chain below; ``umed`` commands that only look need no torch."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import umed

ROOT = Path(umed.__file__).parent
CHAIN = """
core data dicom deid plan cases execution networks training methods report protect release propose benchmark monai cli
""".split()
LEFT_OF_TORCH = CHAIN[: CHAIN.index("networks")]
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem not in ("__init__", "__main__")
)


def part(path: Path) -> str:
    """First name below ``umed`` of a module."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path, *, nested: bool = True) -> set[str]:
    """Modules that a file imports; without ``nested`` only those at its top level, as run on import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if nested else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in MODULES} <= set(CHAIN)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    here = CHAIN.index(part(path))
    names = {name.split(".")[1] for name in imports(path) if name.startswith("umed.")}
    assert {name for name in names if name in CHAIN and CHAIN.index(name) > here} == set()


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if part(path) in LEFT_OF_TORCH and path.stem != "device"],  # it asks torch what is there
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_torch_on_the_left(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    assert not tops & {"torch", "monai", "ignite"}


@pytest.mark.parametrize(
    "words", [["--help"], ["info", "--json"], ["inspect", "{data}"], ["plan", "{data}"], ["verify", "{data}", "{data}"]]
)
def test_commands_that_only_look_import_no_torch(words: list[str], phantom: Path) -> None:
    arguments = [word.format(data=phantom) for word in words]
    code = (
        "import sys; from umed.cli.main import main; main(sys.argv[1:]); "
        "loaded = {'torch', 'monai'} & set(sys.modules); sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_report_of_a_benchmark_imports_no_torch(tmp_path: Path) -> None:
    from tests.benchmark.benchmark_folder import make_cell

    make_cell("set", "clean", "unet", [], 0).write(tmp_path / "cells")
    test_commands_that_only_look_import_no_torch(["report", str(tmp_path)], tmp_path)
    assert (tmp_path / "report.html").is_file()


def test_public_names_resolve_even_after_their_modules_were_imported() -> None:
    import importlib

    importlib.import_module("umed.protect.run")
    importlib.import_module("umed.plan.planning")
    assert callable(umed.protect) and callable(umed.verify) and callable(umed.plan) and callable(umed.inspect)
    assert sorted(umed.__all__) == sorted(set(umed.__all__))
    with pytest.raises(AttributeError, match="no attribute 'protec'"):
        umed.protec  # noqa: B018


@pytest.mark.parametrize("path", sorted((ROOT.parent / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_scripts_import_what_is_there(path: Path) -> None:
    found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    for node in found:
        if node.module is not None and node.module.partition(".")[0] == "umed":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
