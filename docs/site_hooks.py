# SPDX-License-Identifier: Apache-2.0
"""Hooks of the documentation site: the same Markdown must read well on the forge, and without a network in the site.

MkDocs knows only what lies in ``docs/``. These hooks take along what its pages link to elsewhere in the repository
(notebooks, configurations, the changelog), turn those links to where the copies lie, draw diagrams as tables (the
theme would fetch a script for them), and take scripts of other servers out of notebooks.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
ALONG = ("CHANGELOG.md", "CONTRIBUTING.md", "notebooks/*.ipynb")
"""Pages of the site that lie outside ``docs/``, whether linked or not."""
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
"""Target of a link or picture in Markdown."""
NAMED = re.compile(r"\[`?([\w/-]+\.md)`?\](?=\(([^)#\s]+\.md)[#)])")
"""A link to a page whose text is the name of the file, which says more on the forge than in the site."""
SHORT = 30
"""Characters of a heading that may stand for its page in a sentence."""
MERMAID = re.compile(r"^```mermaid\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
NODE = re.compile(r"(\w+)\[\"(.+?)\"\]")
ARROW = re.compile(r"^\s*(\w+)(?:\[[^\]]*\])?\s*-->\s*(?:\|(.+?)\|\s*)?(\w+)")


def place_of(path: Path) -> str | None:
    """Where a file of the repository lies in the site, as a path below its root; nothing for what does not exist.

    Args:
        path: absolute; the README stands for the home page, since that is what the site has in its place.
    """
    if path == ROOT / "README.md":
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return path.relative_to(ROOT).as_posix() if path.is_file() and path.is_relative_to(ROOT) else None


def linked(page: Path) -> set[Path]:
    """Files of the repository outside ``docs/`` that a page of Markdown or a notebook links to."""
    found = set()
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / unquote(target.partition("#")[0])).resolve()
        if path.is_file() and path.is_relative_to(ROOT) and not path.is_relative_to(DOCS) and path.name != "README.md":
            found.add(path)
    return found


@event_priority(100)  # before the plugin that makes pages of notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside ``docs/`` and is a page or linked from one."""
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    found = {path for pattern in ALONG for path in ROOT.glob(pattern)} | {ROOT / "monai_bundle" / "docs" / "README.md"}
    waiting += found
    while waiting:
        page = waiting.pop()
        new = linked(page) - found
        found |= new
        waiting += [path for path in new if path.suffix in (".md", ".ipynb")]
    for path in sorted(found):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to where their targets lie in the site, names of files into titles, and diagrams into tables."""
    source = Path(page.file.abs_src_path or "")
    here = Path(page.file.src_uri).parent.as_posix()

    def turned(match: re.Match[str]) -> str:
        file, sharp, anchor = match[1].partition("#")
        if not file or re.match(r"[a-z]+:", file):
            return match[1]
        place = place_of((source.parent / unquote(file)).resolve())
        return os.path.relpath(place, here) + sharp + anchor if place else match[1]

    def titled(match: re.Match[str]) -> str:
        return f"[{title_of((source.parent / unquote(match[2])).resolve()) or match[1]}]"

    return MERMAID.sub(lambda diagram: table_of(diagram[1]), LINK.sub(turned, NAMED.sub(titled, markdown)))


def title_of(path: Path) -> str | None:
    """What a page of Markdown is called: its first heading, a long one up to its colon; nothing for what is no page."""
    heading = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE) if path.is_file() else None
    if heading is None:
        return None
    return heading[1] if len(heading[1]) <= SHORT else heading[1].partition(":")[0]


def table_of(diagram: str) -> str:
    """A flow chart of Mermaid as a table of Markdown: a line an arrow, in the order of the chart."""
    names = dict(NODE.findall(diagram))
    lines = ["| module | uses | to |", "|---|---|---|"]
    for line in diagram.splitlines():
        if arrow := ARROW.match(line):
            start, why, end = arrow.groups()
            lines.append(f"| `{names[start]}` | `{names[end]}` | {why or ''} |")
    return "\n".join(lines) + "\n"


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take scripts out of notebooks that other servers would be asked for, and turn their links to pages."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    kept = re.sub(r"<script\b[^>]*>(?:(?!</script>).)*?</script>", _without_servers, html, flags=re.DOTALL)
    return re.sub(r'href="\.\./docs/([\w-]+)\.md', r'href="../\1.html', kept)


def _without_servers(script: re.Match[str]) -> str:
    """The script, or nothing where it asks another server or sets up what would."""
    return "" if re.search(r"<script[^>]*\ssrc=|https?://|MathJax|mermaid", script[0]) else script[0]
