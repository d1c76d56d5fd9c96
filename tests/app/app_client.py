# SPDX-License-Identifier: Apache-2.0
"""The application without a server, as its owner reaches it; and commands that answer at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from umed.app.errand import Errand
from umed.app.gate import TOKEN_HEADER, Passes
from umed.app.job import Job
from umed.app.serve import make_application

PORT = 8000
HERE = f"http://127.0.0.1:{PORT}"
ECHO = (sys.executable, "-c", "import sys; print(sys.argv[1]); sys.exit(int(sys.argv[2]))")


class Page:
    """A job, its secrets, and a client that has opened the link."""

    def __init__(self, folder: Path) -> None:
        work = folder / "work"
        work.mkdir(mode=0o700)
        self.passes, self.job = Passes(PORT), Job(work, folder)
        self.application = make_application(self.job, self.passes)
        self.client = self.stranger()
        token = self.passes.link().partition("?token=")[2]
        assert self.client.get("/", params={"token": token}).status_code == 200

    def stranger(self) -> TestClient:
        """A client without the cookie."""
        return TestClient(self.application, base_url=HERE, headers={"sec-fetch-site": "same-origin"})

    def get(self, path: str) -> Any:
        """GET below the secret path."""
        return self.client.get(f"{self.passes.base}/{path}", follow_redirects=False)

    def post(self, path: str, /, **form: Any) -> Any:
        """POST as the page does."""
        headers = {"origin": HERE, TOKEN_HEADER: self.passes.form}
        return self.client.post(f"{self.passes.base}/{path}", data=form, headers=headers)

    def put(self, path: str, content: bytes) -> Any:
        """PUT as the page does."""
        headers = {"origin": HERE, TOKEN_HEADER: self.passes.form}
        return self.client.put(f"{self.passes.base}/{path}", content=content, headers=headers)

    def answered(self, name: str, results: Mapping[str, Any], code: int = 0) -> None:
        """Let an errand have ended with these results of its commands."""
        commands = [(key, [json.dumps(value), str(code)]) for key, value in results.items()]
        errand = Errand(name, commands, self.job.work, program=ECHO)
        errand.start()
        assert errand.wait(30)
        self.job.state.errands[name] = errand
