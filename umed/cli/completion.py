# SPDX-License-Identifier: Apache-2.0
"""Shell completion: ``umed --print-completion bash`` prints a script for the shell, made by shtab."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


class PrintCompletion(argparse.Action):
    """Prints the script of a shell and ends; shtab is imported only then."""

    def __call__(self, parser: argparse.ArgumentParser, _args: Any, shell: Any, _option: str | None = None) -> None:
        """Print it."""
        import shtab

        _complete_paths(parser, shtab.FILE)
        print(shtab.complete(parser, shell))
        parser.exit()


def _complete_paths(parser: argparse.ArgumentParser, files: Any) -> None:
    """Let every option that takes a path be completed with files and folders."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_paths(command, files)
        elif action.type is Path:
            action.complete = files  # type: ignore[attr-defined]


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add ``--print-completion``."""
    words = f"print a script that completes umed's words: {', '.join(SHELLS)}"
    parser.add_argument("--print-completion", action=PrintCompletion, choices=SHELLS, metavar="SHELL", help=words)
