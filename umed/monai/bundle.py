# SPDX-License-Identifier: Apache-2.0
"""A check of overrides that monai.bundle lacks, for the configurations in ``monai_bundle/``.

``python -m monai.bundle run`` accepts every ``--name value``: a misspelt one is stored beside the others and never
read. Put ``$umed.monai.bundle.check_overrides()`` first into ``initialize`` to reject it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from umed.core.errors import ConfigError, UmedError, did_you_mean

R = TypeVar("R")

RUN_ARGUMENTS = frozenset(
    "run_id init_id final_id meta_file config_file logging_file tracking args_file workflow_name workflow_type "
    "workflow properties_path".split()
)
"""Options of ``monai.bundle run`` itself; everything else is an override."""


def parse_command(argv: Sequence[str]) -> dict[str, str]:
    """Read the options of a ``monai.bundle run`` command line the way ``fire`` does.

    Args:
        argv: words after ``run``.

    Returns:
        Value of each option as text, ``"True"`` for a flag; ``run_id`` may also be given by position.
    """
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":  # what follows are fire's own flags
            break
        if not word.startswith("-") or word.lstrip("-")[:1].isdigit():
            options.setdefault("run_id", word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals:
            value = words.pop(0) if words and not _is_option(words[0]) else "True"
        options[name.replace("-", "_")] = value
    return options


def _is_option(word: str) -> bool:
    return word.startswith("-") and not word.lstrip("-")[:1].isdigit()


def _load(paths: Iterable[str | Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in paths:
        if not Path(path).is_file():
            raise ConfigError(f"config_file: expected a file, got {str(path)!r}, which does not exist.")
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}  # JSON is YAML
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: expected a mapping, got {type(content).__name__}.")
        merged |= content
    return merged


def _as_list(text: str | None) -> list[str]:
    """``"a.yaml"``, ``"['a.yaml','b.yaml']"`` or ``"a.yaml,b.yaml"`` (fire reads a tuple there) as a list."""
    if text is None:
        return []
    inner = text.strip().strip("[]()")
    return [part.strip().strip("'\"") for part in inner.split(",") if part.strip()]


def check_keys(config: Mapping[str, Any], overrides: Iterable[str]) -> None:
    """Reject overrides that no part of a configuration reads.

    Args:
        config: merged content of the configuration files.
        overrides: ids such as ``"epsilon"`` or ``"network_def#channels"`` (``::`` is the same as ``#``).

    Raises:
        ConfigError: naming the override and the nearest known id. New keys are let through in an empty mapping, and as
            arguments of a ``_target_``, which checks them itself.
    """
    for override in overrides:
        node: Any = config
        done: list[str] = []
        for part in override.replace("::", "#").split("#"):
            place = "#".join([*done, part])
            if isinstance(node, Mapping):
                free = bool(done) and (not node or "_target_" in node or part in ("_disabled_", "_requires_", "_mode_"))
                if part not in node:
                    if free:
                        break
                    raise ConfigError(f"--{override}: unknown id {place!r}.{_suggest(part, node, done)}")
                node = node[part]
            elif isinstance(node, list):
                if not part.lstrip("-").isdigit() or int(part) >= len(node):
                    raise ConfigError(f"--{override}: expected an index below {len(node)} at {place!r}.")
                node = node[int(part)]
            elif isinstance(node, str) and node[:1] in "%@$":
                break  # a reference or an expression: what lies below it is not known here
            else:
                raise ConfigError(f"--{override}: {'#'.join(done)!r} is a plain value and holds no {part!r}.")
            done.append(part)


def _suggest(word: str, node: Mapping[str, Any], done: Sequence[str]) -> str:
    names = [str(key) for key in node if not str(key).startswith("_")]
    hint = did_you_mean(word, names)
    return hint or f" Known {'in ' + '#'.join(done) if done else 'here'}: {', '.join(sorted(names))}."


def is_bundle_run(argv: Sequence[str]) -> bool:
    """Whether these are the words of ``python -m monai.bundle run``."""
    words = Path(argv[0]).parts[-3:] if argv else ()
    return words[-3:] == ("monai", "bundle", "__main__.py") and len(argv) > 1 and argv[1] in ("run", "run_workflow")


def check_overrides(overrides: Iterable[str] | None = None, files: Sequence[str | Path] = ()) -> bool:
    """Reject misspelt options of ``python -m monai.bundle run``: overrides, run id, metadata file.

    Called from Python rather than from that command line, it checks what it is given.

    Args:
        overrides: ids to check, ``None`` for those on the command line.
        files: configuration files, those on the command line when empty.

    Returns:
        True, for use in expressions.

    Raises:
        ConfigError: when something is unknown.
        SystemExit: with 2, after one line on stderr, on the command line.
    """
    if overrides is not None:
        check_keys(_load(files), overrides)
        return True
    if not is_bundle_run(sys.argv):
        return True
    return one_line(lambda: check_command(sys.argv[2:], files))


def check_command(argv: Sequence[str], files: Sequence[str | Path] = ()) -> bool:
    """Check the words after ``python -m monai.bundle run``.

    Args:
        argv: the words.
        files: configuration files, those of the words when empty.

    Returns:
        True.

    Raises:
        ConfigError: for an unknown override, option or run id, or a missing file.
    """
    given = parse_command(argv)
    if "args_file" in given:
        defaults = {key: str(value) for key, value in _load([given["args_file"]]).items()}
        given = defaults | given
    config = _load(files or _as_list(given.get("config_file")))
    for path in _as_list(given.get("meta_file")):
        if not Path(path).is_file():
            raise ConfigError(f"--meta_file: expected a file, got {path!r}, which does not exist.")
    run_id = given.get("run_id", "run")
    if run_id not in config and "#" not in run_id:
        runs = [key for key, value in config.items() if isinstance(value, list)]
        raise ConfigError(f"run: unknown run id {run_id!r}; known: {', '.join(runs)}.{did_you_mean(run_id, runs)}")
    unknown = [name for name in given if name not in RUN_ARGUMENTS]
    known = {**config, **dict.fromkeys(RUN_ARGUMENTS)}
    for name in unknown:
        top = name.replace("::", "#").split("#")[0]
        hint = did_you_mean(top, known)
        if top not in config and hint and did_you_mean(top, config) == "":
            raise ConfigError(f"--{name}: unknown option.{hint}")  # a misspelt option of monai.bundle itself
    if "tracking" not in given:  # tracking adds ids of its own
        check_keys(config, unknown)
    return True


def one_line(work: Callable[[], R]) -> R:
    """Run from monai.bundle's command line: end with one line and the exit code of ``umed`` instead of a traceback."""
    try:
        return work()
    except UmedError as error:
        if not is_bundle_run(sys.argv):
            raise
        print(f"umed: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from error
