# SPDX-License-Identifier: Apache-2.0
"""The rules of the house. A module imports only what stands left of it in the chain below.

``python -m tests.test_architecture`` writes the chain into CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

import umed
from tests.benchmark.benchmark_folder import make_cell
from tests.fresh_process import Ended, in_a_fresh_process
from umed.data.phantom import make_phantom

ROOT = Path(umed.__file__).parent
CHAIN = """
core data dicom deid plan cases unlock execution
networks training methods report protect release trace propose benchmark monai app cli
""".split()
LEFT_OF_TORCH = CHAIN[: CHAIN.index("networks")]
START, END = "<!-- chain: written by python -m tests.test_architecture -->", "<!-- end of the chain -->"
MOST_LINES = 400
MAY_READ_ARGV = {
    "__main__.py",
    "cli/main.py",
    "benchmark/victims/external/nnunet_runner.py",
    "trace/suspects/nnunet_predict.py",
}
"""The command line itself, and scripts that run in nnU-Net's environment."""
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem not in ("__init__", "__main__")
)


def part(path: Path) -> str:
    """First name below ``umed`` of a module."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path, *, nested: bool = True) -> frozenset[str]:
    """Modules that a file imports; without ``nested`` only those at its top level, as run on import."""
    tree = parsed(path)
    nodes = ast.walk(tree) if nested else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return frozenset(found)


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


LOOKING = (
    "--version",
    "--help",
    "info --json",
    "inspect {data}",
    "plan {data}",
    "verify {data} {data}",
    "report {benchmark}",
)


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """What comes of commands that only look, ``--version`` first, in one process that has imported nothing yet."""
    root = tmp_path_factory.mktemp("looking")
    data = make_phantom(root / "phantom", cases=2, size=(24, 24, 16))
    make_cell("set", "clean", "unet", [], 0).write(root / "benchmark" / "cells")
    return in_a_fresh_process([], LOOKING, root, {"data": data, "benchmark": root / "benchmark"})


@pytest.mark.parametrize("words", LOOKING[:-1])
def test_commands_that_only_look_import_no_torch(words: str, looking: Ended) -> None:
    _, _, err, loaded, _ = looking[words]
    assert not {"torch", "monai"} & set(loaded), err


def test_help_imports_nothing_heavy(looking: Ended) -> None:
    """Also not what reads YAML: it takes a second on a busy core to import what a help text does not need."""
    code, out, err, loaded, _ = looking["--help"]
    assert loaded == [] and code == 0 and "propose-masks" in out, err
    assert looking["--version"][3] == []


def test_report_of_a_benchmark_imports_no_torch(looking: Ended) -> None:
    _, _, err, loaded, new = looking["report {benchmark}"]
    assert not {"torch", "monai"} & set(loaded), err
    assert (new.parent / "benchmark" / "report.html").is_file()


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


def name_of(path: Path) -> str:
    """Dotted name of a module or package."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Modules that each module imports, also those that it names as ``"package.module:thing"``."""
    known = {name_of(path): path for path in ROOT.rglob("*.py")}
    graph = {}
    for name, path in known.items():
        named = re.findall(r"\"(umed\.[\w.]+):\w+\"", path.read_text(encoding="utf-8"))
        graph[name] = {other for other in imports(path) | set(named) if other in known} - {name}
    return graph


def reaches(start: str, goal: str) -> bool:
    """Whether a module imports another, itself or by way of those that it imports."""
    seen, left = {start}, [start]
    while left:
        new = import_graph()[left.pop()] - seen
        seen |= new
        left += new
    return goal in seen


def test_no_module_leads_back_to_itself() -> None:
    """Also through imports inside of functions and for types alone: a module can be read without the next one."""
    known = {name_of(path): path for path in MODULES if path.stem != "__init__"}
    left = {name: {other for other in imports(path) if other in known} - {name} for name, path in known.items()}
    while ready := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in ready}
    assert sorted(left) == []


def diagrams() -> list[tuple[str, dict[str, str], list[tuple[str, str]]]]:
    """Heading, module of each node, and arrows of every diagram of docs/architecture.md."""
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = []
    for heading, block in re.findall(r"^## ([^\n]*)\n(?:(?!^## ).)*?^```mermaid\n(.*?)^```", text, re.M | re.S):
        nodes = dict(re.findall(r"(\w+)\[\"?(umed/[\w/]+\.py)", block))
        bare = re.sub(r"\[[^\]]*\]", "", block)
        arrows = [pair for line in bare.splitlines() for pair in arrows_of(line)]
        found.append((heading, nodes, arrows))
    return found


def arrows_of(line: str) -> list[tuple[str, str]]:
    """Arrows of a line such as ``a -->|words| b --> c``."""
    names = re.split(r"\s*-->(?:\|[^|]*\|)?\s*", line.strip())
    return list(zip(names, names[1:], strict=False))


def test_four_ways_are_drawn() -> None:
    drawn = diagrams()
    assert len(drawn) == 4
    for heading, nodes, arrows in drawn:
        assert len(nodes) >= 6 and len(arrows) >= 6, heading
        assert {name for arrow in arrows for name in arrow} == set(nodes), heading


@pytest.mark.parametrize("number", range(4))
def test_a_drawn_way_follows_the_imports(number: int) -> None:
    """Each arrow leads from a module to one that it imports, and never to the right in the chain."""
    _, nodes, arrows = diagrams()[number]
    assert [path for path in nodes.values() if not (ROOT.parent / path).is_file()] == []
    for start, goal in arrows:
        first, last = ROOT.parent / nodes[start], ROOT.parent / nodes[goal]
        assert reaches(name_of(first), name_of(last)), f"{nodes[start]} --> {nodes[goal]}"
        assert CHAIN.index(part(last)) <= CHAIN.index(part(first)), f"{nodes[start]} --> {nodes[goal]}"


def test_an_arrow_against_the_imports_would_be_found() -> None:
    assert reaches("umed.protect.run", "umed.plan.budget")
    assert not reaches("umed.plan.budget", "umed.protect.run")
    assert not reaches("umed.data.formats", "umed.plan.budget")
    assert arrows_of("  a -->|1 of two| b --> c") == [("a", "b"), ("b", "c")]


def chain_for_people() -> str:
    """The chain as CONTRIBUTING.md shows it."""
    half = CHAIN.index("networks")
    return f"    {' '.join(CHAIN[:half])}\n    {' '.join(CHAIN[half:])}"


def contributing() -> tuple[Path, str]:
    """CONTRIBUTING.md, and how it should read."""
    path = ROOT.parent / "CONTRIBUTING.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(START)
    return path, f"{before}{START}\n\n{chain_for_people()}\n\n{END}{rest.split(END)[1]}"


def test_contributing_shows_this_chain() -> None:
    path, text = contributing()
    assert path.read_text(encoding="utf-8") == text, "run: python -m tests.test_architecture"


def test_no_two_modules_share_a_name() -> None:
    names = Counter(path.name for path in ROOT.rglob("*.py") if path.stem not in ("__init__", "__main__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_public_class_name_occurs_twice() -> None:
    names = Counter(
        node.name
        for path in ROOT.rglob("*.py")
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_the_root_holds_packages_only() -> None:
    found = [path for path in ROOT.iterdir() if path.name != "__pycache__"]
    assert {path.name for path in found if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}
    assert [path.name for path in found if path.is_dir() and not (path / "__init__.py").is_file()] == []


def test_the_library_never_reads_the_command_line() -> None:
    readers = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(parsed(path)):
            reads = isinstance(node, ast.Attribute) and node.attr == "argv" and getattr(node.value, "id", "") == "sys"
            if reads or (isinstance(node, ast.ImportFrom) and node.module == "sys" and "argv" in imported(node)):
                readers.add(path.relative_to(ROOT).as_posix())
    assert readers <= MAY_READ_ARGV


def imported(node: ast.ImportFrom) -> set[str]:
    """Names that a statement imports."""
    return {alias.name for alias in node.names}


def test_files_stay_short() -> None:
    long = {path.relative_to(ROOT).as_posix(): length(path) for path in ROOT.rglob("*.py") if length(path) > MOST_LINES}
    assert long == {}


def length(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    page, content = contributing()
    page.write_text(content, encoding="utf-8")
