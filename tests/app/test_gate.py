# SPDX-License-Identifier: Apache-2.0
"""Who may speak with the page: only whoever opened the link, from this page; all else is a 403."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.app.app_client import HERE, PORT, Page
from umed.app.gate import TOKEN_HEADER


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def test_a_link_works_once_and_is_exchanged_for_a_cookie_that_scripts_cannot_read(page: Page) -> None:
    stranger = page.stranger()
    link = page.passes.link()
    first = stranger.get(link, follow_redirects=False)
    assert first.status_code == 303 and first.headers["location"] == f"{page.passes.base}/"
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and f"Path={page.passes.base}" in cookie
    assert page.passes.form not in cookie
    again = page.stranger().get(link, follow_redirects=False)
    assert again.status_code == 403 and "set-cookie" not in again.headers


def test_a_new_link_makes_the_one_before_void(page: Page) -> None:
    old, new = page.passes.link(), page.passes.link()
    assert page.stranger().get(old, follow_redirects=False).status_code == 403
    assert page.stranger().get(new, follow_redirects=False).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "%00", "é", "a" * 5000])
def test_a_forged_token_is_refused(token: str, page: Page) -> None:
    page.passes.link()
    assert page.stranger().get(f"/?token={token}", follow_redirects=False).status_code == 403


def test_no_token_is_never_the_right_one(page: Page) -> None:
    assert not page.passes.redeem("")


@pytest.mark.parametrize("path", ["", "contents", "static/app.js", "browse?field=path&path=/", "report", "headway"])
def test_nothing_is_told_without_the_cookie(path: str, page: Page) -> None:
    stranger = page.stranger()
    assert stranger.get(f"{page.passes.base}/{path}").status_code == 403
    stranger.cookies.set(page.passes.cookie_name, "x" * 43)
    assert stranger.get(f"{page.passes.base}/{path}").status_code == 403


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/contents", "/static/app.js"])
def test_nothing_lies_outside_the_secret_path(path: str, page: Page) -> None:
    assert page.client.get(path).status_code in (403, 404)
    assert page.get(path.strip("/") + "x").status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"[::1]:{PORT}", ""]
)
def test_a_forged_host_is_refused(host: str, page: Page) -> None:
    assert page.client.get(f"{page.passes.base}/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", f"http://127.0.0.1:{PORT + 1}", "null", "", f"https://127.0.0.1:{PORT}"]
)
def test_a_forged_origin_is_refused(origin: str, page: Page) -> None:
    headers = {"origin": origin, TOKEN_HEADER: page.passes.form}
    assert page.client.post(f"{page.passes.base}/stop", headers=headers).status_code == 403


def test_an_absent_origin_is_refused(page: Page) -> None:
    headers = {TOKEN_HEADER: page.passes.form}
    assert page.client.post(f"{page.passes.base}/stop", headers=headers).status_code == 403


@pytest.mark.parametrize("token", ["", "x", None])
def test_a_form_of_another_page_is_refused(token: str | None, page: Page) -> None:
    headers = {"origin": HERE} | ({} if token is None else {TOKEN_HEADER: token})
    path = f"{page.passes.base}/choose"
    assert page.client.post(path, data={"path": "/"}, headers=headers).status_code == 403
    assert page.job.state.input is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_on_another_page_is_refused(site: str, page: Page) -> None:
    assert page.client.get(f"{page.passes.base}/", headers={"sec-fetch-site": site}).status_code == 403


@pytest.mark.parametrize("path", ["", "contents", "static/app.css", "nowhere"])
def test_every_answer_is_hardened(path: str, page: Page) -> None:
    headers = page.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin" and "server" not in headers


def test_a_page_holds_no_script_and_no_address_of_its_own(page: Page) -> None:
    text = page.get("").text
    assert re.findall(r"<script(?![^>]* src=)", text) == [] and re.findall(r"\son\w+=", text) == []
    assert re.findall(r"<style|style=", text) == []
    assert {
        url
        for url in re.findall(r'(?:src|href)="([^"]*)"', text)
        if not url.startswith((page.passes.base, "#", "data:,"))
    } == set()


@pytest.mark.parametrize("name", ["../gate.py", "..%2Fgate.py", "app.css/..", "%2e%2e/serve.py", "x", "/etc/passwd"])
def test_no_other_file_of_the_package_is_served(name: str, page: Page) -> None:
    answer = page.get(f"static/{name}")
    assert answer.status_code == 404 and "SPDX" not in answer.text


def test_the_vendored_script_is_unchanged() -> None:
    import hashlib

    import umed.app

    folder = Path(umed.app.__file__).parent / "static"
    digest = hashlib.sha256((folder / "htmx.min.js").read_bytes()).hexdigest()
    assert digest == "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"  # htmx.org 2.0.11 of npm
    assert "Zero-Clause BSD" in (folder / "htmx.LICENSE.txt").read_text(encoding="utf-8")
