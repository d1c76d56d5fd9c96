# SPDX-License-Identifier: Apache-2.0
"""The documentation site: it builds without a warning, asks no other server for anything, and all its links lead on."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import umed

ROOT = Path(umed.__file__).resolve().parents[1]
LOADED = {"script", "img", "iframe", "source", "video", "audio", "embed"}
"""Elements whose ``src`` a browser asks for by itself; of ``link`` it does for all but pages of the site."""
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


class Addresses(HTMLParser):
    """What a page loads by itself, what it links to, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.classes |= set(given.get("class", "").split())
        if tag in LOADED and "src" in given:
            self.loaded.append(given["src"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loaded.append(given.get("href", ""))
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loaded += re.findall(r"url\(['\"]?(.*?)['\"]?\)", given.get("style", ""))


def read_page(text: str) -> Addresses:
    found = Addresses()
    found.feed(text)
    styles = "\n".join(re.findall(r"<style.*?>(.*?)</style>", text, re.DOTALL))
    found.loaded += style_addresses(styles)
    return found


def style_addresses(text: str) -> list[str]:
    """What a style sheet loads: fonts, pictures, other sheets."""
    return re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)


def of_others(addresses: list[str]) -> list[str]:
    return [one for one in addresses if re.match(r"(?:[a-z]+:)?//", one)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs_jupyter", reason="the site needs: pip install 'umed[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    ended = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Addresses]:
    return {path: read_page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs", reason="the site needs: pip install 'umed[docs]'")
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    written = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    sources = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(sources) > 25 and len(notebooks) == 3
    assert sources | notebooks | {"CHANGELOG", "CONTRIBUTING"} <= written


def test_nothing_is_loaded_from_other_servers(site: Path, pages: dict[Path, Addresses]) -> None:
    asked = {path.name: of_others(page.loaded) for path, page in pages.items()}
    asked |= {path.name: of_others(style_addresses(path.read_text("utf-8"))) for path in site.rglob("*.css")}
    assert {name: others for name, others in asked.items() if others} == {}
    assert any(name.endswith(".css") for name in asked) and sum(len(page.loaded) for page in pages.values()) > 100
    # The theme fetches a script where a page has a diagram of its own; ours are tables.
    assert [path.name for path, page in pages.items() if "mermaid" in page.classes] == []


def test_what_is_loaded_and_linked_exists(site: Path, pages: dict[Path, Addresses]) -> None:
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses begin at the root of a server
            continue
        for address in [*page.loaded, *page.links]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address.startswith("data:"):
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = place / "index.html" if place.is_dir() else place
            anchor = unquote(parts.fragment)
            if not place.is_file() or (anchor and place in pages and anchor not in pages[place].anchors | {"__toc"}):
                dead.append(f"{path.relative_to(site)}: {address}")
    assert dead == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ('<script src="https://cdn.example/a.js"></script>', ["https://cdn.example/a.js"]),
        ('<link rel="preconnect" href="//fonts.example">', ["//fonts.example"]),
        ("<style>@import 'https://x.example/a.css'; p {background: url(http://y.example/b.png)}</style>", 2),
        ('<a href="https://doi.org/1">a link is no load</a><img src="images/a.png">', []),
    ],
)
def test_a_page_that_asks_others_is_found(text: str, asked: list[str] | int) -> None:
    found = of_others(read_page(text).loaded)
    assert len(found) == asked if isinstance(asked, int) else found == asked


def test_public_names_are_described(site: Path) -> None:
    anchors = read_page((site / "api.html").read_text(encoding="utf-8")).anchors
    short = {anchor.rpartition(".")[2] for anchor in anchors}
    assert set(umed.__all__) - {"__version__"} <= short
    assert {"UmedError", "InputError", "GeometryError", "ConfigError", "BudgetError", "VerificationError"} <= short


def test_a_diagram_becomes_a_table(hooks: ModuleType) -> None:
    chart = """flowchart TD
  start["a/b.py"] -->|1 list| end_["c.py"]
  end_ --> more["d.py"]
"""
    lines = hooks.table_of(chart).splitlines()
    assert lines[2:] == ["| `a/b.py` | `c.py` | 1 list |", "| `c.py` | `d.py` |  |"]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    arrows = page.count("-->")
    rows = sum(len(hooks.table_of(found).splitlines()) - 2 for found in hooks.MERMAID.findall(page))
    assert rows == arrows > 40


def test_links_out_of_docs_lead_to_the_copies(hooks: ModuleType) -> None:
    assert hooks.place_of(ROOT / "README.md") == "index.md"
    assert hooks.place_of(ROOT / "docs" / "usage.md") == "usage.md"
    assert hooks.place_of(ROOT / "configs" / "slurm_dask.sh") == "configs/slurm_dask.sh"
    assert hooks.place_of(ROOT / "nothing.md") is None and hooks.place_of(ROOT.parent) is None


def test_names_of_pages_become_titles(hooks: ModuleType) -> None:
    assert hooks.title_of(ROOT / "docs" / "ranges.md") == "Ranges"
    assert hooks.title_of(ROOT / "docs" / "experiments.md") == "Lab book"
    assert hooks.title_of(ROOT / "docs" / "start-dicom.md") == "Quick start: DICOM engineer"
    assert hooks.title_of(ROOT / "docs") is None
    found = hooks.NAMED.findall("[ranges.md](ranges.md#misfits), [the ranges](ranges.md), [a.yaml](a.yaml)")
    assert found == [("ranges.md", "ranges.md")]


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(BROWSER is None, reason="no chromium here: what the pages ask for is read from their text alone")
def test_a_browser_asks_this_server_alone_and_pages_fit(address: str) -> None:
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright here: pages are not opened in a browser")
    asked: list[str] = []
    wide = []
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "architecture", "benchmark-results", "notebooks/01_protect_a_dataset"):
            for width in (400, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(f"{address}/{name}.html", wait_until="networkidle")
                over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                wide += [(name, width, over)] if over > 0 else []
        page.goto(f"{address}/index.html", wait_until="networkidle")
        # Typed, not filled in: the theme reads the field when a key goes up, or a millisecond after the focus.
        page.locator("input.md-search__input").press_sequentially("epsilon")
        page.wait_for_selector(".md-search-result__item", state="attached", timeout=60_000)
        hits = page.locator(".md-search-result__item").count()
        browser.close()
    assert len(asked) > 20 and [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert wide == [] and hits > 3
