# SPDX-License-Identifier: Apache-2.0
"""What the buttons of the page do. Each answer is where to go next, or one sentence that says why not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Header, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from umed.app.card_wishes import CardWishes
from umed.app.dropped import discard_drop, dropped_root, new_drop, write_drop
from umed.app.gate import JOB_HEADER
from umed.app.job import Job
from umed.app.pages import SHOWN_ON, check_again, house_of
from umed.app.release_wishes import MODES, PROFILES, Wishes
from umed.core.errors import InputError, UmedError

router = APIRouter()
Text = Annotated[str, Form()]
Tick = Annotated[bool, Form()]
Stamp = Annotated[str | None, Header(alias=JOB_HEADER)]
"""What the page shows that asks, see :attr:`umed.app.job.Job.stamp`."""
MOST_STEPS = 20_000


def job_of(request: Request) -> Job:
    """The one job."""
    return house_of(request).job


TheJob = Annotated[Job, Depends(job_of)]


def go_to(request: Request, page: str) -> Response:
    """Ask the browser to go to a page."""
    return Response(status_code=204, headers={"HX-Redirect": f"{house_of(request).passes.base}/{page}"})


def path_of(text: str, name: str) -> Path | None:
    """A path that somebody typed; ``None`` where nothing was.

    Raises:
        InputError: when it is no full path.
    """
    text = text.strip().strip('"')
    if not text:
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # the home of somebody who does not exist
        path = Path(text)
    if "\0" in text or not path.is_absolute():
        raise InputError(
            f"{name}: expected a full path such as {Path.home() / 'data'}, got {text[:200]!r}. Type all of it."
        )
    return path


@router.post("/choose")
def choose(request: Request, job: TheJob, path: Text = "", masks: Text = "", layout: Text = "") -> Response:
    """Choose a folder by its path, and look into it."""
    chosen = path_of(path, "Folder")
    if chosen is None:
        raise InputError(
            "Folder: expected the path of a folder with images and masks, got none. Type or browse for it."
        )
    more = path_of(masks, "Folder of masks"), path_of(layout, "Mapping file")
    job.choose(chosen, masks=more[0], layout=more[1])
    return go_to(request, "contents")


@router.post("/drop")
def begin_drop(job: TheJob) -> Response:
    """Make a folder for what is dropped."""
    job.require_idle()
    return PlainTextResponse(new_drop(job.work).name)


def _drop(job: Job, name: str) -> Path:
    """Folder of a drop, by its name."""
    folder = job.work / name
    if not re.fullmatch(r"dropped-\d{1,6}", name) or not folder.is_dir():
        raise InputError("Dropped files: expected those of this page, got none. Drop the folder again.")
    return folder


def _in_use(job: Job, folder: Path) -> bool:
    """Whether a drop is what the job works on."""
    chosen = job.state.input
    return chosen is not None and folder.resolve() in (chosen.resolve(), *chosen.resolve().parents)


@router.put("/drop/{drop}")
async def add_to_drop(request: Request, job: TheJob, drop: str, name: str) -> Response:
    """Copy one dropped file; if that breaks off, all of the drop goes."""
    folder = _drop(job, drop)
    fresh = False

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal fresh
        fresh = True  # the name is good, and a file was begun
        async for piece in request.stream():
            yield piece

    try:
        return JSONResponse({"bytes": await write_drop(folder, name, pieces())})
    except BaseException as error:
        if fresh and not _in_use(job, folder):
            discard_drop(folder)
        if isinstance(error, ClientDisconnect):
            return Response(status_code=400)  # nobody reads it
        raise


@router.delete("/drop/{drop}")
def end_broken_drop(job: TheJob, drop: str) -> Response:
    """The page gives a drop up: what was copied goes."""
    folder = _drop(job, drop)
    if _in_use(job, folder):
        raise InputError("Dropped files: expected some that are not in use, got those of this job. Let them be.")
    discard_drop(folder)
    return Response(status_code=204)


@router.post("/drop/{drop}/done")
def end_drop(request: Request, job: TheJob, drop: str) -> Response:
    """All files are there: look into them."""
    folder = _drop(job, drop)
    try:
        job.choose(dropped_root(folder), uploaded=True)
    except UmedError:
        if not _in_use(job, folder):  # it may have been sent twice
            discard_drop(folder)
        raise
    return JSONResponse({"next": f"{house_of(request).passes.base}/contents"})


@router.post("/options")
def set_options(
    request: Request,
    job: TheJob,
    shown: Stamp = None,
    output: Text = "",
    private: Text = "",
    strength: Text = "invisible",
    evidence: Tick = False,
    mode: Text = MODES[0],
    key_file: Text = "",
    keep: Annotated[list[str] | None, Form()] = None,
    look_for_text: Tick = False,
    accept_burned_in: Tick = False,
    carry: Tick = False,
    again: Text = "",
    extra: Text = "",
) -> Response:
    """Take over what was chosen for the release."""
    if strength not in ("invisible", "strong") or mode not in MODES or not set(keep or ()) <= set(PROFILES):
        raise InputError("Options: expected those of the page, got others. Load the page again.")
    settings = [line.strip() for line in extra.splitlines() if line.strip()]
    wrong = next((one for one in settings if "=" not in one), None)
    if wrong is not None:
        raise InputError(f"Further settings: expected KEY=VALUE on each line, got {wrong[:80]!r}.")
    job.wish(
        Wishes(
            path_of(output, "Output folder"),
            path_of(private, "Private folder"),
            strength=strength,
            evidence=evidence,
            mode=mode,
            key_file=path_of(key_file, "Key file"),
            keep=tuple(one for one in PROFILES if one in (keep or ())),
            look_for_text=look_for_text,
            accept_burned_in=accept_burned_in,
            carry=carry,
            again=check_again(again),
            extra=tuple(settings),
        ),
        shown=shown,
    )
    return go_to(request, "run")


@router.post("/start/{name}")
def start(
    request: Request,
    job: TheJob,
    name: str,
    shown: Stamp = None,
    again: Text = "",
    steps: Annotated[int, Form()] = 300,
) -> Response:
    """Start an errand."""
    if name not in ("preview", "forecast", "run", "check") or not 1 <= steps <= MOST_STEPS:
        raise InputError("Start: expected one of the page's buttons, got another one. Load the page again.")
    job.start(name, again=check_again(again) or None, steps=steps, shown=shown)
    return go_to(request, SHOWN_ON[name])


@router.post("/card")
def describe_release(
    request: Request,
    job: TheJob,
    title: Text = "",
    authors: Text = "",
    contact: Text = "",
    licence: Text = "",
    description: Text = "",
) -> Response:
    """Let the release explain itself."""
    job.require_idle()
    people = tuple(line.strip() for line in authors.splitlines() if line.strip())
    job.state.card = CardWishes(title.strip(), people, contact.strip(), licence, " ".join(description.split()))
    job.start("card")
    return go_to(request, SHOWN_ON["card"])


@router.post("/stop")
def stop(job: TheJob) -> Response:
    """Stop what runs; it cleans up first."""
    job.stop()
    return Response(status_code=204)
