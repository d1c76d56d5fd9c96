# SPDX-License-Identifier: Apache-2.0
"""Serves the page on 127.0.0.1, prints the link, and cleans up when it ends."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from umed.core.errors import ConfigError, InputError, UmedError, error_line
from umed.core.failures import describe

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

    from umed.app.gate import Passes
    from umed.app.job import Job

HOST = "127.0.0.1"
PACKAGES = ("fastapi", "uvicorn", "python_multipart")
WELCOME = (
    "umed app: open this link in a browser on this computer. It works once:\n\n    {link}\n\n"
    "Press Enter for a new link, Ctrl-C to end. A run that is stopped that way can be resumed."
)


def require_app() -> None:
    """Make sure that the page's libraries are installed.

    Raises:
        ConfigError: when one is not.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"umed app: expected the packages of the page, got none of {', '.join(missing)}. "
            "Install them with: pip install 'umed[app]'"
        )


def make_application(job: Job, passes: Passes) -> FastAPI:
    """Build the application.

    Args:
        job: the one job.
        passes: secrets of the server.

    Returns:
        An ASGI application; nothing of it answers without the passes.
    """
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

    from umed.app import actions, pages
    from umed.app.gate import Gate

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.state.house = pages.House(job, passes)
    application.include_router(pages.router, prefix=passes.base)
    application.include_router(actions.router, prefix=passes.base)
    application.add_middleware(Gate, passes=passes)
    application.add_exception_handler(UmedError, _say)
    application.add_exception_handler(OSError, _say)
    application.add_exception_handler(RequestValidationError, _say)
    return application


async def _say(request: Request, error: Exception) -> Response:
    """Put what went wrong into one sentence of the page."""
    from umed.app.job import Busy
    from umed.app.pages import draw
    from umed.app.wording import Notice

    known = error if isinstance(error, (UmedError, OSError)) else InputError("Form: expected what the page sends.")
    answer = draw(request, "message.html.j2", notice=Notice("bad", describe(known).message))
    answer.status_code = 409 if isinstance(error, Busy) else 422
    return answer


def listen(port: int) -> socket.socket:
    """Take a port on 127.0.0.1.

    Args:
        port: 0 for any that is free.

    Raises:
        ConfigError: when it is taken.
    """
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        taken.bind((HOST, port))
    except (OSError, OverflowError) as error:
        taken.close()
        raise ConfigError(
            f"--port {port}: expected a free port, got one that cannot be used ({error_line(error)}). Leave it out."
        ) from error
    return taken


def serve(port: int = 0, *, say: Callable[[str], None] = print) -> None:
    """Serve the page until Ctrl-C; what runs then is stopped, and the working folder is removed.

    Args:
        port: 0 for any that is free.
        say: prints the link.

    Raises:
        ConfigError: when a package is missing, or the port is taken.
    """
    require_app()
    import uvicorn

    from umed.app.gate import Passes
    from umed.app.job import Job

    taken = listen(port)
    work = Path(tempfile.mkdtemp(prefix="umed-app-"))  # mode 0700
    passes = Passes(taken.getsockname()[1])
    job = Job(work, Path.cwd())
    config = uvicorn.Config(
        make_application(job, passes), log_level="error", access_log=False, server_header=False, lifespan="off"
    )
    config.timeout_graceful_shutdown = 2
    server = uvicorn.Server(config)
    try:
        say(WELCOME.format(link=passes.link()))
        if sys.stdin is not None and sys.stdin.isatty():
            threading.Thread(target=_links, args=(passes, say), name="umed-links", daemon=True).start()
        with suppress(KeyboardInterrupt):  # the usual way to end it
            server.run(sockets=[taken])
    finally:
        taken.close()
        job.close()
        shutil.rmtree(work, ignore_errors=True)
    say("umed app has ended; what was dropped on the page is removed.")


def _links(passes: Passes, say: Callable[[str], None]) -> None:
    """Print a new link whenever somebody presses Enter in the terminal."""
    for _ in sys.stdin:
        say(f"\n    {passes.link()}\n")
