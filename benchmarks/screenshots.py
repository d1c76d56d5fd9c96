# SPDX-License-Identifier: Apache-2.0
"""Pictures of the how-tos: each page of umed app, and the report, on computed pictures of skin and in a real browser.

    python benchmarks/screenshots.py docs/images            # app-contents.png, app-preview.png, ..., report.png
    python benchmarks/screenshots.py LOOK --width 400       # to look at: narrow, --dark for the dark colours

It needs the extra app, playwright and a chromium that is there already, and takes some minutes, most of them for the
forecast. Nothing is downloaded, and no patient is in it. The data lie in the temporary folder as ``example``, since
pages show where they are; that must not be there yet, and is removed at the end.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from umed.data.skin_phantom import make_skin_phantom

FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync".split()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENT = 600_000
"""Milliseconds that a command may take."""
COLOURS, MOST = (256, 128, 64, 32), 60_000
"""Colours of a picture: the first number that keeps it below so many bytes."""
CASES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--width", type=int, default=1280, help="pixels of the window")
    parser.add_argument("--dark", action="store_true", help="dark colours")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    root = Path(tempfile.gettempdir()) / "example"
    if chromium is None or root.exists():
        sys.exit(f"expected a chromium, and nothing at {root}; got {chromium} and {root.exists()}")
    args.folder.mkdir(parents=True, exist_ok=True)
    root.mkdir(mode=0o700)
    try:
        data = make_skin_phantom(root / "skin", cases=CASES)
        sorted((data / "masks").iterdir())[-1].unlink()  # something that needs a look
        with served(root) as link, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(
                viewport={"width": args.width, "height": 900}, color_scheme="dark" if args.dark else "light"
            )
            page.goto(link)
            Tour(page, page.url.rstrip("/"), args.folder).walk(data)
            browser.close()
    finally:
        shutil.rmtree(root)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Start umed app in a folder, and give its link."""
    umed = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "TMPDIR": str(root), "PYTHONPATH": umed}
    command = [sys.executable, "-m", "umed", "app"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
    try:
        assert server.stdout is not None
        yield next(found[0] for line in server.stdout if (found := re.search(r"http://127\S+token=\S+", line)))
    finally:
        server.terminate()
        server.wait()


class Tour:
    """The whole job, with a picture of each page.

    Args:
        page: of the browser.
        base: address of the page.
        folder: where the pictures go.
    """

    def __init__(self, page: Any, base: str, folder: Path) -> None:
        self.page, self.base, self.folder = page, base, folder

    def walk(self, data: Path) -> None:
        """From the folder to what may be published."""
        page = self.page
        page.get_by_label("Folder, or a zip of DICOM files").fill(str(data))
        self.shoot("app-data", 620)
        self.press("Look into it")
        page.wait_for_url("**/contents")
        page.locator("main .notice").first.wait_for(timeout=PATIENT)
        self.shoot("app-contents", 900)
        page.goto(f"{self.base}/preview")
        self.press("Draw the preview")
        page.locator("iframe").wait_for(timeout=PATIENT)
        page.frame_locator("iframe").locator("img, canvas").first.wait_for(timeout=PATIENT)
        page.frame_locator("iframe").locator(".case").first.scroll_into_view_if_needed()
        self.shoot("app-preview", 900)
        page.goto(f"{self.base}/options")
        self.press("Make the forecast")
        page.get_by_text("so far").first.wait_for(timeout=PATIENT)
        page.locator(".notice.plain").first.wait_for(timeout=PATIENT)
        self.shoot("app-options", 1420)
        self.press("Save, and go on")
        page.wait_for_url("**/run")
        self.press("Start")
        page.get_by_text("Training the generator").first.wait_for(timeout=PATIENT)
        self.shoot("app-run", 560)
        page.get_by_role("link", name="See the report and the checks").wait_for(timeout=PATIENT)
        page.goto(f"{self.base}/publish")
        self.press("Run the checks")
        page.get_by_text("Look over the release: in order.").wait_for(timeout=PATIENT)
        self.shoot("app-publish", 1000)
        page.goto(f"{self.base}/report")
        self.shoot("report", 1100)

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def shoot(self, name: str, height: int) -> None:
        """Picture of the top of the page, in as few colours as it takes to be small."""
        width = self.page.viewport_size["width"]
        self.page.set_viewport_size({"width": width, "height": height})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name}: {wide} px wide"
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        for colours in COLOURS:
            out = io.BytesIO()
            shot.quantize(colours).save(out, "PNG", optimize=True)
            if out.tell() < MOST:
                break
        (self.folder / f"{name}.png").write_bytes(out.getvalue())
        print(f"{self.folder / name}.png: {shot.width} x {shot.height}, {colours} colours, {out.tell()} bytes")


if __name__ == "__main__":
    main()
