# SPDX-License-Identifier: Apache-2.0
"""What the page shows: each step of the job, drawn from the state that all tabs share. Nothing here changes it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from umed.app import wording
from umed.app.browse import listing
from umed.app.gate import REPORT_POLICY, Passes, policy
from umed.app.job import STEPS, Job
from umed.app.release_wishes import AGAIN, MODES
from umed.cases.records import PREVIEW, REPORT, private_of
from umed.core.errors import InputError, UmedError
from umed.core.progress import words
from umed.core.version import __version__
from umed.report.card_terms import LICENCES
from umed.report.template import render

PAGES = {
    "data": "Data",
    "contents": "Contents",
    "preview": "Preview",
    "options": "Options",
    "run": "Run",
    "publish": "Publish",
}
"""Steps of the job as the page shows them, in order."""
SHOWN_ON = {
    "look": "contents",
    "preview": "preview",
    "forecast": "options",
    "run": "run",
    "check": "publish",
    "card": "publish",
}
"""On which page an errand is watched."""
STAGES = {
    "read the input": "Getting ready",
    "look": "Looking at the files",
    "scan": "Reading the DICOM files",
    "preview": "Drawing the preview",
    "read for training": "Reading the cases to train on",
    "train": "Training the generator",
    "protect": "Writing the cases",
    "verify": "Proving the bound",
    "check": "Looking over the release",
}
"""Stages of the commands in plain words; others are shown as they are called."""
KINDS = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain; charset=utf-8"}
STATIC = ("app.css", "app.js", "htmx.min.js", "htmx.LICENSE.txt")
"""Files that a page loads, by name; nothing else is served from the package."""


@dataclass(frozen=True)
class House:
    """What all requests share.

    Args:
        job: the one job.
        passes: secrets of the server.
    """

    job: Job
    passes: Passes


router = APIRouter(default_response_class=HTMLResponse)
Shows = Callable[[Request, Job], Response]
"""A step's page: of a request and the job, the answer."""


def house_of(request: Request) -> House:
    """What all requests share."""
    house = request.app.state.house
    assert isinstance(house, House)
    return house


def draw(request: Request, template: str, **content: Any) -> HTMLResponse:
    """Fill a template; every text is escaped."""
    house = house_of(request)
    shared = {"base": house.passes.base, "form": house.passes.form, "job": house.job, "running": house.job.running}
    text = render(template, package="umed.app", names=STEPS, places=SHOWN_ON, **shared, **content)
    return HTMLResponse(text.encode("utf-8", "backslashreplace"))  # names of files need not be UTF-8


def draw_page(request: Request, name: str, **content: Any) -> HTMLResponse:
    """Fill the template of a step."""
    job = house_of(request).job
    far = {"data": True, "contents": job.state.input is not None, "publish": bool(job.result("run", run_name(job)))}
    looked = bool(job.result("look", "inspect"))
    steps = [(key, title, far.get(key, looked)) for key, title in PAGES.items()]
    shown = {"step": name, "steps": steps, "title": PAGES[name], "umed_version": __version__, "headway": headway(job)}
    return draw(request, f"{name}.html.j2", **shown, **content)


def run_name(job: Job) -> str:
    """Name of the command that a run ends with."""
    errand = job.state.errands.get("run")
    return "" if errand is None else errand.commands[-1][0]


def headway(job: Job) -> dict[str, Any] | None:
    """How far the errand is that is under way, in words."""
    now = job.running
    if now is None:
        return None
    far = now.headway()
    stage = STAGES.get(far.stage, far.stage[:1].upper() + far.stage[1:])
    share = round(100 * far.done / far.total) if far.total else None
    parts = [f"{far.done} of {far.total}"] if far.total else []
    parts += [f"{words(far.elapsed)} so far", *([f"about {far.left} left"] if far.left else [])]
    quarter = "" if share is None else f", {share // 25 * 25} percent"
    return {
        "name": now.name,
        "stage": "Stopping, and cleaning up" if now.stopping else stage,
        "share": share,
        "text": ", ".join(parts),
        "say": f"{STEPS[now.name]}: {stage}{quarter}",
        "said": now.last_line,
    }


def need(request: Request, name: str) -> Response | None:
    """Where to go first, if a page has nothing to show yet."""
    house = house_of(request)
    if house.job.state.input is None and name != "data":
        return RedirectResponse(f"{house.passes.base}/", status_code=303)
    if name not in ("data", "contents") and not house.job.result("look", "inspect"):
        return RedirectResponse(f"{house.passes.base}/contents", status_code=303)
    return None


def step(name: str) -> Callable[[Shows], Shows]:
    """Show a step at its address, once what it needs is there; else lead to what comes first."""

    def register(show: Shows) -> Shows:
        def answer(request: Request) -> Response:
            return need(request, name) or show(request, house_of(request).job)

        router.get(f"/{name}", name=show.__name__)(answer)
        return show

    return register


@router.get("/")
def show_data(request: Request) -> Response:
    """Step 1: choose or drop a folder."""
    return draw_page(request, "data", home=str(house_of(request).job.home))


@router.get("/browse")
def show_folders(request: Request, field: str, path: str) -> Response:
    """A listing of folders, for a field of a form."""
    try:
        found = listing(Path(path))
    except UmedError as error:
        return draw(request, "message.html.j2", notice=wording.Notice("bad", str(error)))
    return draw(request, "folders.html.j2", field="output" if field == "output" else "path", listing=found)


@step("contents")
def show_contents(request: Request, job: Job) -> Response:
    """Step 2: what is in the folder, and what is wrong."""
    facts = job.result("look", "inspect")
    failed = wording.failure(job.spell("look"), "The folder cannot be used")
    verdict, figures, findings = wording.contents(facts) if facts else (failed, [], [])
    rows = wording.rows(facts) if facts else []
    more = max(0, len(facts.get("cases", [])) - len(rows))
    shown = {"verdict": verdict, "figures": figures, "findings": findings, "rows": rows, "more": more}
    return draw_page(
        request, "contents", facts=facts, usable=bool(facts) and verdict is not None and verdict.tone != "bad", **shown
    )


@step("preview")
def show_preview(request: Request, job: Job) -> Response:
    """Step 3: a few cases, original and protected."""
    found = job.result("preview", "preview")
    return draw_page(request, "preview", found=found, failed=wording.failure(job.spell("preview"), "No preview"))


@step("options")
def show_options(request: Request, job: Job) -> Response:
    """Step 4: choose, and read the forecast."""
    forecast = job.result("forecast", "forecast").get("forecast", {})
    shown = {
        "wishes": job.state.wishes,
        "keeps": wording.KEEPS,
        "modes": MODES,
        "expectations": job.result("preview", "preview").get("expectations", {}),
        "forecast": forecast.get("sentence", ""),
        "failed": wording.failure(job.spell("forecast"), "No forecast"),
        "few": len([1 for case in job.result("look", "inspect").get("cases", []) if case["action"] == "protect"]) < 12,
    }
    return draw_page(request, "options", home=str(job.home), **shown)


@step("run")
def show_run(request: Request, job: Job) -> Response:
    """Step 5: start, watch, stop and resume."""
    done = job.result("run", run_name(job))
    failed = wording.failure(job.spell("run"), "The run is not finished")
    verdict = wording.outcome(done)[0] if done else None
    shown = {"done": done, "failed": failed, "verdict": verdict, "line": job.line("run"), "begun": job.begun}
    shown["lasts"] = job.result("preview", "preview").get("lasts") or ""
    return draw_page(request, "run", wishes=job.state.wishes, profiles=wording.KEEPS, **shown)


@router.get("/publish")
def show_publish(request: Request) -> Response:
    """Step 6: the report, the checks, and what to publish."""
    job = house_of(request).job
    done = job.result("run", run_name(job))
    if not done or job.state.ran is None:
        return RedirectResponse(f"{house_of(request).passes.base}/run", status_code=303)
    verdict, figures, findings = wording.outcome(done)
    ran = job.state.ran
    checks = {name: job.spell("check", name) for name in ("verify", "check-release", "search")}
    key = ran.key_file if job.dicom and ran.mode != "protect" else None
    shown = {
        "verdict": verdict,
        "figures": figures,
        "findings": findings,
        "checks": wording.checked(checks),
        "checked": job.spell("check") is not None,
        "never": wording.never(done, key),
        "output": str(done["output"]),
        "publishable": done.get("exit_code") != 1,
        "report": bool(report_of(job)),
        "licences": {name: (one.title, one.about) for name, one in LICENCES.items() if name != "file"},
        "card": job.state.card,
        "carded": job.result("card", "card"),
        "uncarded": wording.failure(job.spell("card"), "The release is not described"),
    }
    return draw_page(request, "publish", **shown)


@router.get("/headway")
def show_headway(request: Request) -> Response:
    """How far the errand is; asks the browser to load the page again when it is over."""
    far = headway(house_of(request).job)
    if far is None:
        return Response(headers={"HX-Refresh": "true"})
    return draw(request, "headway.html.j2", headway=far)


@router.get("/busy")
def show_busy(request: Request, version: int, step: str) -> Response:
    """What runs, for a tab that did not start it; nothing where nothing has changed."""
    job = house_of(request).job
    if version == job.version:
        return Response(status_code=204)
    return draw(request, "busy.html.j2", step=step, fresh=False)


@router.get("/report")
def show_report(request: Request) -> Response:
    """The report of the run, which lies in its private folder, in a sandbox."""
    return _private_page(report_of(house_of(request).job))


@router.get("/preview/page")
def show_preview_page(request: Request) -> Response:
    """The preview, in a sandbox."""
    return _private_page(private_of(house_of(request).job.work / "preview") / PREVIEW)


def report_of(job: Job) -> Path | None:
    """Report of the last run, ``None`` where there is none."""
    ran = job.state.ran
    path = None if ran is None or ran.private is None else ran.private / REPORT
    return path if path is not None and path.is_file() else None


def _private_page(path: Path | None) -> Response:
    """One file that umed wrote, under a name that umed gave; a link in its place is refused."""
    if path is None or not path.exists() or not stat.S_ISREG(path.lstat().st_mode):
        return HTMLResponse("404: there is no such page yet.", status_code=404)
    return policy(FileResponse(path, media_type="text/html; charset=utf-8"), REPORT_POLICY)


@router.get("/static/{name}")
def show_static(name: str) -> Response:
    """A file that a page loads."""
    if name not in STATIC:
        return HTMLResponse("404: there is no such file.", status_code=404)
    content = (resources.files("umed.app") / "static" / name).read_bytes()
    return Response(content, media_type=KINDS[Path(name).suffix])


def check_again(word: str) -> str:
    """What is done with an earlier run.

    Raises:
        InputError: when it is no known word.
    """
    if word not in AGAIN:
        raise InputError(f"Earlier run: expected one of {', '.join(AGAIN[1:])}, got {word[:40]!r}. Pick one.")
    return word
