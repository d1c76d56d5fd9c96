# SPDX-License-Identifier: Apache-2.0
"""The whole job in a real browser: files, pictures, DICOM, broken input, a second tab, a killed worker, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.release_files import hospital
from umed.data.phantom import make_phantom

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync".split()
PATIENT = 400_000
"""Milliseconds that a command may take where the machine is busy."""
QUICK = "method=checkerboard"
"""A method that trains nothing."""


@dataclass
class Browser:
    """A browser that has opened the link of a server."""

    server: subprocess.Popen[str]
    context: Any
    page: Any
    base: str
    root: Path
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, name: str) -> None:
        """Go to a step."""
        self.page.goto(f"{self.base}/{name}")
        self.page.set_viewport_size({"width": 400, "height": 800})
        assert self.page.evaluate("document.documentElement.scrollWidth") <= 400, name
        self.page.set_viewport_size({"width": 1280, "height": 900})

    def press(self, name: str, page: Any = None) -> None:
        """Press a button."""
        (page or self.page).get_by_role("button", name=name, exact=True).click()

    def reads(self, text: str, page: Any = None) -> None:
        """Wait until a text is there."""
        (page or self.page).get_by_text(text).first.wait_for(timeout=PATIENT)

    def choose(self, path: Path) -> None:
        """Choose a folder by its path, and wait until it is looked into."""
        self.open("")
        self.page.get_by_label("Folder, or a zip of DICOM files").fill(str(path))
        self.press("Look into it")
        self.page.wait_for_url("**/contents")
        self.page.locator("main .notice").first.wait_for(timeout=PATIENT)

    def options(self, out: Path, *settings: str) -> None:
        """Fill in the options, and go on."""
        self.open("options")
        self.page.get_by_text("More", exact=True).click()
        self.page.get_by_label("Folder to publish").fill(str(out))
        self.page.get_by_label("Private folder").fill(f"{out}-private")
        self.page.get_by_label("Further settings").fill("\n".join(settings))
        self.press("Save, and go on")
        self.page.wait_for_url("**/run")

    def children(self) -> list[int]:
        """Processes that the server has started."""
        said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.server.pid)], capture_output=True, text=True)
        return [int(word) for word in said.stdout.split()]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    root = tmp_path_factory.mktemp("app")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(root)}
    server = subprocess.Popen(
        [sys.executable, "-m", "umed", "app"], stdout=subprocess.PIPE, text=True, env=environment, cwd=Path.cwd()
    )
    try:
        assert server.stdout is not None
        link = next(
            found[0] for line in server.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line))
        )
        with sync_api.sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = chromium.new_context()
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url))
            complaints: list[str] = []
            context.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.goto(link)
            yield Browser(server, context, page, page.url.rstrip("/"), root, asked, complaints)
            chromium.close()
    finally:
        server.kill()
        server.wait()


def test_files_with_a_second_tab_and_a_killed_worker(browser: Browser) -> None:
    page = browser.page
    browser.choose(make_phantom(browser.root / "nifti", cases=2, size=(24, 24, 16)))
    browser.reads("2 of 2 cases can be protected.")
    out = browser.root / "nifti-out"
    browser.options(out, QUICK)

    browser.open("preview")
    browser.press("Draw the preview")
    page.locator("iframe").wait_for(timeout=PATIENT)
    frame = page.frame_locator("iframe")
    slider = frame.get_by_label("slice", exact=True).first  # of the viewer that reports have, too
    slider.wait_for(timeout=PATIENT)
    before = slider.input_value()
    slider.press("ArrowRight")
    assert int(slider.input_value()) == int(before) + 1

    browser.open("run")
    browser.press("Start")
    page.locator("#headway").wait_for()
    tab = browser.context.new_page()
    tab.goto(f"{browser.base}/options")
    browser.reads("Run is running.", tab)
    browser.press("Save, and go on", tab)
    browser.reads("Run is running, maybe in another tab.", tab)
    tab.close()
    (worker,) = browser.children()
    os.kill(worker, signal.SIGKILL)
    browser.reads("was ended from outside (signal 9)")
    page.get_by_role("button", name=re.compile("^(Start|Resume)$")).click()
    browser.reads("Everything is in the release")

    browser.open("publish")
    browser.press("Run the checks")
    browser.reads("Proof of the bound: in order.")
    browser.reads("Look over the release: in order.")
    assert page.get_by_role("button", name="Copy the path to publish").get_attribute("data-copy") == str(out)
    page.frame_locator("iframe").get_by_text("phantom_000").first.wait_for()
    assert (out / "dataset.json").is_file() and (out.parent / "nifti-out-private" / "release.key").is_file()


def test_pictures_that_are_dropped(browser: Browser, make_pairs: Any) -> None:
    data = make_pairs(browser.root / "pictures", cases=2)
    browser.open("")
    browser.page.locator("#pick").set_input_files(data)
    browser.page.wait_for_url("**/contents", timeout=PATIENT)
    browser.reads("2 of 2 cases can be protected.")
    copies = list(browser.root.glob("umed-app-*/dropped-*"))
    assert [path.stat().st_mode & 0o777 for path in copies] == [0o700]
    out = browser.root / "pictures-out"
    browser.options(out, QUICK)
    browser.press("Start")
    browser.reads("The run is done")
    assert sorted(path.name for path in (out / "images").iterdir()) == ["photo_0.png", "photo_1.png"]


def test_a_drop_that_breaks_off_is_gone_at_once(browser: Browser, make_pairs: Any) -> None:
    def gone() -> bool:
        end = time.monotonic() + 20
        while (left := set(browser.root.glob("umed-app-*/dropped-*")) - before) and time.monotonic() < end:
            time.sleep(0.05)
        return not left

    before = set(browser.root.glob("umed-app-*/dropped-*"))  # one that a job has used stays
    data = make_pairs(browser.root / "broken", cases=2)
    browser.open("")
    browser.page.route("**/drop/*?name=*masks*", lambda route: route.abort())
    browser.page.locator("#pick").set_input_files(data)
    browser.page.locator("#message .notice.bad").wait_for(timeout=20_000)
    assert gone()
    browser.page.unroute("**/drop/*?name=*masks*")
    browser.complaints[:] = [one for one in browser.complaints if "ERR_FAILED" not in one]
    browser.page.route("**/drop/*?name=*masks*", lambda route: None)  # never answered
    browser.page.locator("#pick").set_input_files(data)
    browser.page.get_by_text("Copying ").wait_for(timeout=20_000)
    assert set(browser.root.glob("umed-app-*/dropped-*")) - before
    browser.page.goto("about:blank")
    assert gone()
    browser.page.unroute("**/drop/*?name=*masks*")


def test_dicom_is_de_identified_and_protected(browser: Browser) -> None:
    page, out = browser.page, browser.root / "dicom-out"
    browser.choose(hospital(browser.root / "dicom"))
    browser.reads("dicom layout")
    browser.open("options")
    page.get_by_label("Time between visits").check()
    page.get_by_label("Key of the project").fill(str(browser.root / "project.key"))
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Folder to publish").fill(str(out))
    page.get_by_label("Private folder").fill(f"{out}-private")
    page.get_by_label("Further settings").fill(QUICK)
    browser.press("Save, and go on")
    page.wait_for_url("**/run")
    browser.reads("time between visits")
    browser.press("Start")
    browser.reads("The run is done")
    browser.open("publish")
    browser.press("Run the checks")
    browser.reads("Search for anything that identifies: in order.")
    browser.reads("not searched: text and faces in pixels (7)")
    browser.reads("Proof of the bound: in order.")
    assert (browser.root / "project.key").stat().st_mode & 0o777 == 0o600
    released = [path.read_bytes() for path in out.rglob("*.dcm")]
    assert len(released) >= 6 and not any(b"Muster" in one for one in released)


def test_input_that_cannot_be_used(browser: Browser) -> None:
    folder = browser.root / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    (folder / "a.txt").write_text("no image")
    browser.choose(folder)
    browser.reads("cannot be used")
    assert browser.page.get_by_role("link", name="Go on").count() == 0
    assert browser.page.locator("main").inner_text().count("<img src=x onerror=alert(1)>") >= 1
    browser.open("preview")
    assert browser.page.url.endswith("/contents")
    browser.open("")
    browser.page.get_by_label("Folder, or a zip of DICOM files").fill("nowhere")
    browser.press("Look into it")
    browser.reads("expected a full path")


def test_a_folder_is_found_by_keyboard(browser: Browser) -> None:
    page = browser.page
    browser.open("")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    summary = page.get_by_text("Browse…")
    summary.focus()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Use this folder")
    button.focus()
    page.keyboard.press("Enter")
    assert page.get_by_label("Folder, or a zip of DICOM files").input_value() == str(Path.cwd())
    for step in ("", "contents"):
        browser.open(step)
        nameless = "e => e.filter(f => !f.labels.length && !f.ariaLabel).length"
        assert page.locator("input, select, textarea").evaluate_all(nameless) == 0
        assert page.locator("h1").count() == 1 and page.locator("main").count() == 1


def test_nothing_is_asked_of_anybody_else(browser: Browser) -> None:
    host = browser.base.rpartition("/")[0]
    assert len(browser.asked) > 20
    assert {url for url in browser.asked if not url.startswith((host, "data:", "blob:"))} == set()
    assert [one for one in browser.complaints if "422" not in one and "409" not in one] == []  # none of the policy


def test_ctrl_c_stops_what_runs_and_removes_what_was_dropped(browser: Browser) -> None:
    browser.choose(make_phantom(browser.root / "last", cases=1, size=(24, 24, 16)))
    browser.options(browser.root / "last-out", "training.iterations=100000")
    browser.press("Start")
    browser.page.locator("#headway").wait_for()
    (worker,) = browser.children()
    browser.server.send_signal(signal.SIGINT)
    assert browser.server.wait(60) == 0
    end = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
    assert list(browser.root.glob("umed-app-*")) == []
    assert "umed app has ended" in browser.server.stdout.read()  # type: ignore[union-attr]
