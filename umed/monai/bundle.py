# SPDX-License-Identifier: Apache-2.0
"""What the configurations in ``monai_bundle/`` need of Python to run umed's own functions as commands.

``python -m monai.bundle run`` accepts every ``--name value``: a misspelt one is stored beside the others and never
read. Put ``$bundle.check_overrides()`` first into ``initialize`` to reject it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from monai.bundle import ConfigWorkflow
from monai.bundle.properties import TrainProperties
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from umed.core.device import is_first
from umed.core.errors import ConfigError, did_you_mean
from umed.core.failures import describe, ended_by_signals, wants_traceback
from umed.core.progress import progress_bar
from umed.data.dicom_input import require_dicom

R = TypeVar("R")

OPTIONS = (
    "run_id init_id final_id meta_file config_file logging_file tracking args_file workflow_name workflow_type "
    "workflow properties_path".split()
)
"""Options of ``monai.bundle run`` itself; a misspelt one arrives as an override."""
ALWAYS_KNOWN = {"_meta_", "bundle_root", *DEFAULT_EXP_MGMT_SETTINGS["mlflow"]["configs"]}
"""Ids of MONAI's own, which need no reader: the metadata, the root, and what ``--tracking`` adds."""
LOOKED_UP = {known["id"] for known in TrainProperties.values() if known["required"] and "::" in known["id"]}
"""Ids such as ``train::inferer`` that other tools of MONAI ask a bundle for."""


def check_overrides() -> bool:
    """Reject ids that nothing in the configuration reads; on the command line also an unknown run id or metadata file.

    Returns:
        True, for use in expressions.

    Raises:
        ConfigError: when something is unknown.
        SystemExit: with 2, after one line on stderr, on monai.bundle's command line.
    """
    workflow = _evaluating()
    if workflow is not None:
        with one_line():
            check_workflow(workflow) if on_command_line() else check_ids(workflow.parser.get())
    return True


def _evaluating() -> ConfigWorkflow | None:
    """The workflow that evaluates the calling expression: MONAI hands it to no expression, so the stack is asked."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigWorkflow):
            return owner
        frame = frame.f_back
    return None


def check_workflow(workflow: ConfigWorkflow) -> None:
    """Check what a workflow was made of.

    Args:
        workflow: its macros are resolved, as ``initialize`` does.

    Raises:
        ConfigError: for an id that is not read, an unknown run id, or a metadata file that is not there.
    """
    config: dict[str, Any] = workflow.parser.get()
    if workflow.run_id not in config and not {"#", ":"} & set(workflow.run_id):
        runs = [key for key, value in config.items() if isinstance(value, list)]
        hint = did_you_mean(workflow.run_id, runs)
        raise ConfigError(f"run: unknown run id {workflow.run_id!r}; known: {', '.join(runs)}.{hint}")
    if workflow.meta_file is None and (workflow.config_root_path / "metadata.json").is_file():  # MONAI only logs it
        raise ConfigError("--meta_file: expected a file, got one that does not exist.")
    check_ids(config)


def check_ids(config: Mapping[str, Any]) -> None:
    """Reject ids that nothing reads: no ``@`` reference names them, or what they are part of.

    Args:
        config: with macros and relative ids resolved. Lists of expressions are what a run id may name; arguments of a
            ``_target_`` and of a mapping that is read whole are left to whom they are given to.

    Raises:
        ConfigError: naming the id and the nearest known one.
    """
    _check_level(config, (), LOOKED_UP.union(_references(config)))


def _references(node: Any) -> Iterator[str]:
    """Ids that the texts below a node refer to, with ``::`` between their parts."""
    if isinstance(node, str):
        yield from ReferenceResolver.match_refs_pattern(node)
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _references(value)


def _check_level(node: Mapping[str, Any], above: tuple[str, ...], read: set[str]) -> None:
    unread = []
    for key, value in node.items():
        place = "::".join([*above, key])
        if place in read or (not above and (key in ALWAYS_KNOWN or _is_run(value))):
            continue
        if not any(one.startswith(f"{place}::") for one in read):
            unread.append(key)
        elif isinstance(value, Mapping) and "_target_" not in value:
            _check_level(value, (*above, key), read)
    if not unread:
        return
    names = [key for key in node if key not in unread and not key.startswith("_")]
    word, place = unread[0], "#".join([*above, unread[0]])
    hint, option = did_you_mean(word, names), did_you_mean(word, OPTIONS)
    if not above and option and not hint:
        raise ConfigError(f"--{word}: unknown option.{option}")
    known = f" Known {'in ' + '#'.join(above) if above else 'here'}: {', '.join(sorted(names))}."
    raise ConfigError(f"--{place}: unknown id {place!r}.{hint or known}")


def _is_run(value: Any) -> bool:
    """Whether this is a list of expressions, such as ``imports``, ``initialize`` and what run ids name."""
    return isinstance(value, list) and all(isinstance(item, str) and item.startswith("$") for item in value)


def on_command_line() -> bool:
    """Whether this process is ``python -m monai.bundle``, rather than Python code that calls MONAI."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "monai.bundle.__main__"


@contextmanager
def one_line() -> Iterator[None]:
    """On monai.bundle's command line: end with one line and the exit code of ``umed`` instead of a traceback."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not on_command_line() or wants_traceback():
            raise
        failure = describe(error, again=" with --resume true")
        print(f"umed: {failure.message}", file=sys.stderr, flush=True)
        raise SystemExit(failure.exit_code) from error


def command(function: Callable[..., R], *, quiet: bool = False, **arguments: Any) -> R:
    """Call a function of umed as the command of that name does: with a progress bar, then its summary on stdout.

    Args:
        function: such as :func:`umed.protect`.
        quiet: no progress bar.
        arguments: its arguments; ``None`` leaves its default.

    Returns:
        What it returns.

    Raises:
        UmedError: as the function does.
        SystemExit: instead, on monai.bundle's command line, after one line; and when the run has failed in part.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    with one_line(), ended_by_signals(), progress_bar(quiet or not is_first()) as progress:
        if "progress" in inspect.signature(function).parameters:
            given["progress"] = progress
        done: Any = function(**given)
    if is_first():
        print(done.summary())
    code = getattr(done, "exit_code", 0)
    if code and on_command_line():
        raise SystemExit(code)
    return done  # type: ignore[no-any-return]


def require_key(**paths: Any) -> bool:
    """What must be there before DICOM files can be anonymized: the extra, and the named paths, none of them empty."""
    with one_line():
        if not all(paths.values()):
            *others, last = paths
            raise ConfigError(f"expected {', '.join(others)} and {last}, got less. umed keygen KEY makes a key.")
        require_dicom()
    return True


def pairs(entries: Any) -> list[str]:
    """``NAME=PATH`` of each entry of a mapping, as the options of ``umed benchmark`` are written.

    >>> pairs({"set": "a", "other": ""}), pairs("a"), pairs(None)
    (['set=a'], ['a'], [])
    """
    if isinstance(entries, Mapping):
        return [f"{name}={path}" for name, path in entries.items() if path]
    return [entries] if isinstance(entries, str) and entries else list(entries or ())
