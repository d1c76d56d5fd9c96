# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the commands of a page: each ``complaint`` names one that does not exist as it is written."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.util
import inspect
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import yaml

import umed
from umed.cli.completion import SHELLS
from umed.cli.main import main
from umed.core.registry import METHODS

ROOT = Path(umed.__file__).resolve().parents[1]
NOT_OURS = {"dask_cuda", "dask_jobqueue"}
"""Packages that a page tells the reader to install and that the tests do without."""
DEFAULTS = ROOT / "umed" / "core" / "defaults"
GRIDS = {path.stem for path in (DEFAULTS / "benchmark").glob("*.yaml")} - {"victims"}
NAMES = {"--recipe": {path.stem for path in (DEFAULTS / "recipes").glob("*.yaml")}, "--method": set(METHODS)}
MONAI_WORDS = {"config_file", "meta_file", "logging_file", "runner_id"}


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each block of code: fenced, or indented by four spaces after an empty line."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for found in fence.finditer(text):
        yield found[1] or "sh", found[2]
    rest = fence.sub("", text)
    for found in re.finditer(r"(?:^\n|\A)((?:(?: {4}.*|)\n)+)", rest, re.MULTILINE):
        if found[1].strip():
            yield "sh", found[1]


def complaints(text: str, folder: Path) -> list[str]:
    """Everything wrong in the blocks of a page, and in the commands of ``umed`` and ``make`` within its lines.

    Args:
        text: of the page.
        folder: where its commands are run.
    """
    found: list[str] = []
    for language, block in blocks(text):
        if language == "python":
            found += in_python(block)
        elif language == "sh":
            found += in_shell(block, folder)
    for command in re.findall(r"`((?:umed|make) [^`]+)`", text):
        found += in_line(command, folder, None)
    return found


def in_shell(block: str, folder: Path) -> list[str]:
    """Complaints about a block of shell commands; ``git checkout COMMIT`` puts those below it into that commit."""
    found: list[str] = []
    commit = None
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        if checkout := re.match(r"\s*git checkout (\w+)$", line):
            commit = checkout[1]
        else:
            found += in_line(line, folder, commit)
    return found


def in_line(line: str, folder: Path, commit: str | None) -> list[str]:
    """Complaints about a line, what stands behind its ``#`` included."""
    found = []
    for part in re.split(r"\s#|;|&&|\bthen:|: (?=umed )|[()]", line):
        words = split_words(part)
        while words and re.match(r"\w+=", words[0]):
            words = words[1:]
        if not words:
            continue
        if words[0] == "umed" and len(words) > 1 and re.match(r"[a-z-]", words[1]):
            found += umed_command(words[1:])
        elif words[0] == "make":
            found += make_command(words[1:])
        elif words[0] in ("bash", "sbatch") and not (folder / words[1]).is_file():
            found.append(f"{words[1]}: no such file")
        elif "monai.bundle" in words:
            found += bundle_command(words[words.index("monai.bundle") + 1 :], folder)
        elif words[0] == "python" and words[1].endswith(".py"):
            found += script_command(words[1:], folder, commit)
        elif words[0] == "pip" or words[0].endswith("/pip"):
            found += [f"umed[{extra}]: no such extra" for extra in extras(part) - known_extras()]
    return found


def split_words(part: str) -> list[str]:
    """Words of a command as a shell would see them; of prose, nothing."""
    try:
        return shlex.split(part)
    except ValueError:  # an apostrophe of prose
        return []


@functools.cache
def options_of(command: str) -> tuple[set[str], str]:
    """Long options of a command of ``umed``, and its help; empty where there is no such command."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        code = main([command, "--help"])
    text = said.getvalue() if code == 0 else ""
    return set(re.findall(r"--[a-z][\w-]*", text)), text


def umed_command(words: list[str]) -> list[str]:
    command, *rest = (word.strip("`,.") for word in words)
    if command == "--print-completion":
        return [f"umed {command} {name}: no such shell" for name in rest[:1] if name not in SHELLS]
    if command.startswith("--"):
        return [] if command in ("--help", "--version") else [f"umed {command}: no such option"]
    options, text = options_of(command)
    if not text:
        return [f"umed {command}: no such command"]
    given = [word.split("=")[0] for word in rest if word.startswith("--")]
    found = [f"umed {command} {name}: no such option" for name in given if name not in options]
    for option, value in zip(rest, rest[1:], strict=False):
        if option in NAMES and re.fullmatch(r"[a-z_]+", value) and value not in NAMES[option]:
            found.append(f"umed {command} {option} {value}: no such name")
    if command == "benchmark" and rest and re.fullmatch(r"[a-z]+", rest[0]) and rest[0] not in GRIDS:
        found.append(f"umed benchmark {rest[0]}: no such grid")
    return found


def make_command(words: list[str]) -> list[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_]+) *[:?]?=", text, re.MULTILINE))
    given = [word.partition("=") for word in words]
    found = [f"make {name}: no such target" for name, equals, _ in given if not equals and name not in targets]
    return found + [f"make {name}=: no such variable" for name, equals, _ in given if equals and name not in variables]


def bundle_command(words: list[str], folder: Path) -> list[str]:
    """Complaints about ``python -m monai.bundle COMMAND ID --config_file FILE --NAME VALUE``."""
    command, *rest = words
    run_id = rest[0] if rest and not rest[0].startswith("--") else "run"
    options = {
        re.split("#|::", word[2:])[0]: value
        for word, value in zip(rest, [*rest[1:], ""], strict=True)
        if word.startswith("--")
    }
    files = yaml.safe_load(options.get("config_file", "[]"))
    keys: set[str] = set()
    for name in files if isinstance(files, list) else [files]:
        if not (folder / name).is_file():
            return [f"{name}: no such file"]
        keys |= set(yaml.safe_load((folder / name).read_text(encoding="utf-8")))
    if "meta_file" in options and not (folder / options["meta_file"]).is_file():
        return [f"{options['meta_file']}: no such file"]
    if run_id not in keys:
        return [f"monai.bundle {command} {run_id}: no such id in {options.get('config_file')}"]
    unknown = set(options) - keys - MONAI_WORDS if command == "run" else set()
    return [f"monai.bundle run {run_id} --{name}: no such key" for name in sorted(unknown)]


def script_command(words: list[str], folder: Path, commit: str | None) -> list[str]:
    """Complaints about ``python FILE --NAME``; in an older commit only where the history is at hand."""
    script, options = words[0], [word.split("=")[0] for word in words[1:] if word.startswith("--")]
    if commit is None:
        if not (folder / script).is_file():
            return [f"{script}: no such file"]
        text = (folder / script).read_text(encoding="utf-8")
    else:
        shown = subprocess.run(
            ["git", "-C", str(ROOT), "show", f"{commit}:{script}"], capture_output=True, text=True, check=False
        )
        if shown.returncode:
            missing = "does not exist" in shown.stderr or "exists on disk" in shown.stderr
            return [f"{script}: no such file in commit {commit}"] if missing else []  # else: no history here
        text = shown.stdout
    return [f"{script} {name}: no such option" for name in options if f'"{name}"' not in text]


def extras(text: str) -> set[str]:
    return {name for group in re.findall(r"(?:umed|\.)\[([\w,]+)\]", text) for name in group.split(",")}


@functools.cache
def known_extras() -> set[str]:
    table = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = table.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))


def in_python(block: str) -> list[str]:
    """Complaints about imports, attributes of modules, keywords of calls and lists that hold a command of ``umed``."""
    tree = ast.parse(block)
    names: dict[str, object] = {}
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += take_imports(node, names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = names.get(node.value.id)
            if isinstance(owner, ModuleType) and not hasattr(owner, node.attr):
                found.append(f"{node.value.id}.{node.attr}: no such name")
        elif isinstance(node, ast.List) and node.elts and getattr(node.elts[0], "value", None) == "umed":
            found += umed_command([item.value for item in node.elts[1:] if isinstance(item, ast.Constant)])
        if isinstance(node, ast.Call):
            found += wrong_keywords(node, names)
    return found


def take_imports(node: ast.Import | ast.ImportFrom, names: dict[str, object]) -> list[str]:
    """Import what a block imports into ``names``."""
    found = []
    for alias in node.names:
        module = node.module if isinstance(node, ast.ImportFrom) else alias.name
        assert module is not None
        if module.split(".")[0] in NOT_OURS:
            continue
        try:
            loaded = importlib.import_module(module)
            whole = isinstance(node, ast.Import)
            names[alias.asname or alias.name.split(".")[0]] = loaded if whole else getattr(loaded, alias.name)
        except (ImportError, AttributeError):
            found.append(f"from {module} import {alias.name}: no such name")
    return found


def wrong_keywords(call: ast.Call, names: dict[str, object]) -> list[str]:
    """Keywords that a function of ``umed`` does not take."""
    function: object = None
    if isinstance(call.func, ast.Name):
        function = names.get(call.func.id)
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        function = getattr(names.get(call.func.value.id), call.func.attr, None)
    if not callable(function) or not getattr(function, "__module__", "").startswith("umed"):
        return []
    parameters = inspect.signature(function).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return []
    given = [word.arg for word in call.keywords if word.arg is not None]
    return [
        f"{getattr(function, '__name__', '')}({name}=): no such argument" for name in given if name not in parameters
    ]
