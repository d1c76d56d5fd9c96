# SPDX-License-Identifier: Apache-2.0
"""The documentation: the README stays short, links lead somewhere, and every command that it shows exists."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import umed

ROOT = Path(umed.__file__).resolve().parents[1]
HISTORY = {"experiments.md"}
"""The lab book: what was run then, with the commands of then. It is not rewritten when commands change."""
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "monai_bundle" / "docs" / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in HISTORY),
]


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(text: str) -> str:
    """A page without blocks of code, tables, pictures, headings and the addresses of links."""
    kept = [line for line in text.splitlines() if not re.match(r" {4}|\||#|!\[", line)]
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", "\n".join(kept)).replace("**", "")


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120] == []


def test_readme_has_short_sentences() -> None:
    text = prose((ROOT / "README.md").read_text(encoding="utf-8"))
    sentences = [" ".join(part.split()) for part in re.split(r"(?<=[.!?:;])\s|\n\n", text)]
    assert [sentence for sentence in sentences if len(sentence.split()) > 24] == []


def test_readme_shows_one_small_picture() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(pictures) == 1 and (ROOT / pictures[0]).stat().st_size < 200_000


@pytest.mark.parametrize("path", [*PAGES, *(ROOT / "docs" / name for name in HISTORY)], ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def test_the_errors_of_the_documentation() -> None:
    from umed.core.errors import UmedError

    assert umed.errors.UmedError is UmedError
    with pytest.raises(umed.errors.ConfigError, match="epsilon"):
        umed.plan("nowhere", overrides={"epsilon": 2})
