# SPDX-License-Identifier: Apache-2.0
"""The viewer in a real browser: what its canvases show, against what was given to it."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from umed.report.case_view import Changed, Shown, ViewRoom, view_case
from umed.report.pictures import png
from umed.report.template import render_text
from umed.report.viewer_files import NIIVUE, viewer_file

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENT = 180
"""Seconds to wait where the machine is busy: WebGL in software takes long to start."""
SHAPE = (20, 16, 12)
WARM, COOL, NEUTRAL = (255, 122, 24), (36, 138, 255), (24, 26, 31)
PAGE = """{% extends "cases.html.j2" %}
{% block title %}Views{% endblock %}{% block sentence %}Some cases.{% endblock %}"""
ALL = "Array.from(document.querySelectorAll('[data-viewer], [data-viewer-src]'))"
READ = """([number, columns, rows]) => ALL[number].umedViewer.screen.panels.map(([canvas]) => {
  const { width, height } = canvas, all = canvas.getContext("2d").getImageData(0, 0, width, height).data, found = [];
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
    const [x, y] = [(column + 0.5) * width / columns, (row + 0.5) * height / rows].map(Math.floor);
    found.push(...all.slice(4 * (y * width + x), 4 * (y * width + x) + 3));
  }
  return found;
})""".replace("ALL", ALL)
"""The colour in the middle of each voxel of each panel."""
LINES = """(number) => ALL[number].umedViewer.screen.panels.map(([, { width, height }], i, all) =>
  all[i][1].getContext("2d").getImageData(0, 0, width, height).data.some((value) => value > 0))""".replace("ALL", ALL)
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SHOW = """([number, view]) => {
  const viewer = ALL[number].umedViewer;
  Object.assign(viewer.view, { zoom: 1, x: 0.5, y: 0.5 });
  viewer.turn(view.plane || 0);
  viewer.change(view);
  viewer.draw();
}""".replace("ALL", ALL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def case() -> tuple[Shown, np.ndarray]:
    rng = np.random.default_rng(1)
    original = rng.integers(0, 256, (1, *SHAPE)).astype(float)
    labels = np.zeros(SHAPE, np.int16)
    labels[5:15, 4:12, 3:9] = 1
    after = np.clip(original + np.where(rng.integers(0, 2, SHAPE) > 0, 4, -4) * (labels > 0), 0, 255)
    shown = Shown(original, labels, labels > 0, (1, 1, 2), (0, 255), 4, axis=2)
    return shown, after


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory, case: tuple[Shown, np.ndarray]) -> Path:
    shown, after = case
    colours, labels = np.repeat(shown.original[..., 0], 3, 0), shown.labels[..., 5]
    flat = Shown(colours, labels, labels > 0, (1, 1), (0, 255), 4, axis=2)
    room, more = ViewRoom(), np.repeat(after[..., 0], 3, 0)
    views = [view_case("<b>volume", shown, after, room), view_case("picture", flat, more, room)]
    empty: dict[str, Any] = {"plan": None, "spectrum": "", "chart": "", "rows": [], "warnings": []}
    path = tmp_path_factory.mktemp("viewer") / "page.html"
    path.write_text(render_text(PAGE, views=views, means={}, **empty), encoding="utf-8")
    return path


def opened(browser: Any, address: str, width: int = 1280, software: bool = False) -> Any:
    page = browser.new_page(viewport={"width": width, "height": 1200})
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))
    if software:
        page.add_init_script("window.umedViewerSoftware = true")
    page.goto(address)
    end = time.monotonic() + PATIENT
    while not page.evaluate(f"{ALL}.every((one) => one.umedViewer)"):  # its policy forbids what wait_for_function does
        assert time.monotonic() < end and page.errors == [], page.errors
        page.wait_for_timeout(100)
    return page


def assert_seen(page: Any, wanted: list[np.ndarray]) -> None:
    """Each panel of the first case shows these colours, ``(rows, columns, 3)``, up to rounding."""
    rows, columns, _ = wanted[0].shape
    for seen, one in zip(page.evaluate(READ, [0, columns, rows]), wanted, strict=True):
        assert np.abs(np.reshape(seen, one.shape) - one).max() <= 2.5


def expected(case: tuple[Shown, np.ndarray], plane: int, slice_: int) -> list[np.ndarray]:
    """Original, protected and difference as they should be seen, ``(rows, columns, 3)``."""
    shown, after = case
    found = []
    for values in (shown.original[0], after[0], after[0] - shown.original[0]):
        cut = np.take(values, slice_, (2, 1, 0)[plane]).T
        found.append(cut[::-1] if plane else cut)  # the slice number runs up in the other planes
    grey = [np.repeat(one[..., None], 3, -1) for one in found[:2]]
    share = np.abs(found[2])[..., None] / 4
    return [*grey, NEUTRAL + (np.where(found[2][..., None] > 0, WARM, COOL) - np.array(NEUTRAL)) * share]


def assert_shows(page: Any, case: tuple[Shown, np.ndarray], plane: int, slice_: int) -> None:
    page.evaluate(SHOW, [0, {"plane": plane, "slice": slice_}])
    assert_seen(page, expected(case, plane, slice_))


def test_the_slider_moves_all_panels(browser: Any, page_file: Path, case: tuple[Shown, np.ndarray]) -> None:
    page = opened(browser, page_file.as_uri())
    assert page.evaluate(f"{ALL}.map((one) => one.umedViewer.drawer)") == ["canvas", "picture"]
    slider = page.get_by_label("slice", exact=True)
    assert page.get_by_text("slice 4 of 12, × 1.0").count() == 1  # the first slice of the largest ROI
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.get_by_text("slice 7 of 12, × 1.0").wait_for()
    page.evaluate(DRAWN)
    assert_seen(page, expected(case, 0, 6))
    for plane, slice_ in ((0, 0), (0, 11), (1, 7), (2, 9)):
        assert_shows(page, case, plane, slice_)
    assert page.errors == [] and page.asked == [page_file.as_uri()]
    page.close()


@pytest.mark.skipif(
    "UMED_STUDIES" not in os.environ, reason="WebGL in software takes most of a minute: set UMED_STUDIES=1 to run it"
)
@pytest.mark.slow
def test_niivue_shows_the_same(browser: Any, page_file: Path, case: tuple[Shown, np.ndarray]) -> None:
    page = opened(browser, page_file.as_uri(), software=True)
    assert page.evaluate(f"{ALL}[0].umedViewer.drawer") == "niivue"
    for plane, slice_ in ((0, 6), (1, 7), (2, 9)):
        assert_shows(page, case, plane, slice_)
    assert page.errors == [] and page.asked == [page_file.as_uri()]
    page.close()


def test_keys_and_pointer_zoom_and_move_all_panels(browser: Any, page_file: Path) -> None:
    page = opened(browser, page_file.as_uri())
    views = page.locator(".views").nth(1)
    views.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{ALL}[1].umedViewer.view.x") == 0.5  # nothing to move: the arrow scrolls the page
    for key in ("+", "+", "+", "+", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.evaluate(DRAWN)
    view = page.evaluate(f"{ALL}[1].umedViewer.view")
    assert view["zoom"] == pytest.approx(1.25**4) and view["x"] == view["y"] > 0.5
    moved = set(page.evaluate("Array.from(document.querySelectorAll('.sheet')).map((one) => one.style.transform)"))
    assert len(moved) == 1 and "scale(2.44" in moved.pop()
    page.get_by_role("button", name="whole picture").nth(1).click()
    page.locator(".views").first.locator(".tile").nth(2).dblclick(position={"x": 10, "y": 10})
    page.evaluate(DRAWN)
    assert page.evaluate(f"{ALL}[0].umedViewer.view.zoom") == 2 and page.evaluate(f"{ALL}[1].umedViewer.view.zoom") == 1
    page.locator(".views").first.focus()
    page.keyboard.press("PageUp")
    page.get_by_text("slice 5 of 12, × 2.0").wait_for()
    page.close()


def test_outlines_can_be_hidden(browser: Any, page_file: Path) -> None:
    page = opened(browser, page_file.as_uri())
    for checked in (True, False):
        page.get_by_label("outlines").set_checked(checked)
        page.evaluate(DRAWN)
        assert page.evaluate(LINES, 0) == [checked] * 3
        assert page.locator(".views").nth(1).locator("svg").first.is_visible() == checked
    page.close()


def test_fits_a_phone_and_paper(browser: Any, page_file: Path) -> None:
    page = opened(browser, page_file.as_uri(), width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("b:text('volume')").count() == 0  # a name is no markup
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    shown = "getComputedStyle(document.querySelector('.tile.live > img')).visibility"
    assert page.evaluate(shown) == "visible" and not page.locator(".controls").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.tile.live canvas')).display") == "none"
    page.close()


def test_by_address_under_a_strict_policy(browser: Any, case: tuple[Shown, np.ndarray]) -> None:
    shown, after = case
    picture = ViewRoom().picture("flat", ["original"])
    picture["panels"][0]["src"] = png(shown.original[0, ..., 0].astype(np.uint8))
    volume = ViewRoom().volume("<i>", shown, [Changed("protected", after, "difference")])
    files = {name: viewer_file(name) for name in ("viewer.js", "viewer.css", NIIVUE)}
    files |= {"volume.json": json.dumps(volume), "flat.json": json.dumps(picture)}
    files[""] = (
        "<!doctype html><link rel=stylesheet href=viewer.css><main>"
        "<div data-viewer-src=volume.json></div><div data-viewer-src=flat.json></div>"
        "<div data-viewer-src=no.json></div>"
        f"</main><script src={NIIVUE}></script><script src=viewer.js></script>"
    )
    kinds = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
    policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'"

    def answer(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        kind = kinds.get(name.rpartition(".")[2], "text/html")
        status, body = (200, files[name]) if name in files else (404, "")
        route.fulfill(status=status, body=body, content_type=kind, headers={"Content-Security-Policy": policy})

    page = browser.new_page(viewport={"width": 1000, "height": 3000})
    page.route("**/*", answer)
    page.goto("http://viewer.test/")
    end = time.monotonic() + PATIENT
    while not page.evaluate(f"{ALL}.every((one) => one.umedViewer || one.dataset.viewerFailed)"):
        assert time.monotonic() < end
        page.wait_for_timeout(100)
    assert page.evaluate(f"{ALL}.map((one) => one.umedViewer?.drawer)") == ["canvas", "picture", None]
    assert "expected a case, got 404" in page.evaluate(f"{ALL}[2].dataset.viewerFailed")
    assert_shows(page, case, 0, 6)
    assert page.locator("figcaption").all_inner_texts() == ["original", "protected", "difference", "original"]
    Image.open(io.BytesIO(page.screenshot())).verify()
    page.close()
