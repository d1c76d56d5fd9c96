# SPDX-License-Identifier: Apache-2.0
"""What the pages show and the buttons do, without a browser: states, refusals, hostile names."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.app.app_client import HERE, Page
from umed.app.card_wishes import CardWishes
from umed.app.errand import Errand
from umed.app.gate import JOB_HEADER, TOKEN_HEADER
from umed.app.job import Busy

EVIL = "<script>alert(1)</script>"
CASE = {"id": EVIL, "shape": [4, 4], "classes": [0, 1], "action": "protect", "why": f"why {EVIL}", "weak": True}


def facts(layout: str = "decathlon", cases: int = 2, **more: Any) -> dict[str, Any]:
    """What ``umed inspect`` says of a folder whose every name is hostile."""
    left = {"name": f"{EVIL}.png", "kind": "image", "reason": f"no {EVIL}", "grave": True}
    files = {"files": 9, "counts": {"protected": 2, "left out": 1}, "left_out": [left], "unmatched": [[EVIL, EVIL]]}
    texts = [{"file": EVIL, "field": EVIL, "kind": "free", "excerpt": EVIL}]
    known = {"layout": layout, "modality": [EVIL], "cases": [CASE] * cases, "files": files, "texts": texts}
    return {**known, "problems": [[EVIL, EVIL]], **more}


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """A page on which a folder with a hostile name was looked into."""
    made = Page(tmp_path)
    folder = tmp_path / "a<b>&'\"x"
    folder.mkdir()
    made.job.state.input = folder
    made.answered("look", {"inspect": facts()})
    made.job.state.wishes = made.job.state.wishes.__class__(tmp_path / "out", tmp_path / "out-private")
    return made


def ran(page: Page, **more: Any) -> dict[str, Any]:
    """Let a run have ended, with hostile names in everything that it says."""
    one = {"id": EVIL, "status": "failed", "reason": EVIL, "measures": {"files": [{"psnr": 40.0}], "weak": EVIL}}
    check = {"ok": False, "problems": [{"kind": "private", "where": EVIL, "what": EVIL}], "warnings": [], "notes": []}
    result = {
        "output": str(page.job.home / "out"),
        "private": f"{page.job.home}/{EVIL}",
        "exit_code": 3,
        "outcomes": [one, {**one, "status": "protected"}],
        "quarantine": [{"name": EVIL, "reason": EVIL}],
        "accounting": {"left_out": facts()["files"]["left_out"]},
        "warnings": [EVIL],
        "expectation": EVIL,
        "forecast": EVIL,
        "release_check": check,
    }
    page.job.state.ran = page.job.state.wishes
    page.answered("run", {"protect": {**result, **more}}, 3)
    return result


@pytest.mark.parametrize("layout", ["decathlon", "dicom"])
def test_hostile_names_are_only_text(layout: str, page: Page) -> None:
    page.answered("look", {"inspect": facts(layout)})
    page.answered("preview", {"preview": {"cases": [EVIL], "expectations": {"strong": EVIL}}})
    page.answered("forecast", {"forecast": {"forecast": {"sentence": EVIL}}})
    ran(page)
    verdict = {"ok": False, "problems": [EVIL], "cases": [{"id": EVIL, "failures": [EVIL]}]}
    found = {"ok": False, "findings": [{"file": EVIL, "tag": EVIL, "kind": EVIL}]}
    page.job.state.card = CardWishes(EVIL, (EVIL,), EVIL, EVIL, EVIL)
    page.answered("card", {"card": {"files": [EVIL]}})
    page.answered("check", {"verify": verdict, "check-release": {"ok": False, "problems": []}, "search": found}, 1)
    for name in ("", "contents", "preview", "options", "run", "publish"):
        answer = page.get(name)
        assert answer.status_code == 200, name
        assert EVIL not in answer.text and "a<b>" not in answer.text, name
    assert page.get("contents").text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert page.get("publish").text.count("&lt;script&gt;") >= 10


def test_an_error_of_a_command_is_text_and_says_what_to_do(page: Page) -> None:
    page.answered("look", {"inspect": {"error": f"{EVIL}: expected images, got none.", "kind": "InputError"}}, 1)
    text = page.get("contents").text
    assert EVIL not in text and "expected images, got none." in text and "Choose another folder" in text
    assert "Go on" not in text


def test_pages_that_have_nothing_yet_lead_to_the_one_that_is_next(tmp_path: Path) -> None:
    page = Page(tmp_path)
    for name in ("contents", "preview", "options", "run"):
        assert page.get(name).headers["location"] == f"{page.passes.base}/"
    page.job.state.input = tmp_path
    for name in ("preview", "options", "run"):
        assert page.get(name).headers["location"] == f"{page.passes.base}/contents"
    page.answered("look", {"inspect": facts()})
    assert page.get("publish").headers["location"] == f"{page.passes.base}/run"


def test_a_wrong_path_is_one_sentence(page: Page) -> None:
    for path, words in (
        ("", "got none"),
        ("data", "expected a full path"),
        ("~nobody-9/x", "full path"),
        ("/nowhere/x", "got nothing"),
    ):
        answer = page.post("choose", path=path)
        assert answer.status_code == 422 and words in answer.text and answer.text.count("<p>") == 1
    assert page.job.running is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"output": ""}, "Output folder: expected the full path"),
        ({"output": "out"}, "Output folder: expected a full path"),
        ({"strength": "huge"}, "Load the page again"),
        ({"mode": "none"}, "Load the page again"),
        ({"keep": "everything"}, "Load the page again"),
        ({"again": "maybe"}, "Earlier run: expected one of resume, overwrite"),
        ({"extra": "training.iterations"}, "expected KEY=VALUE"),
    ],
)
def test_options_that_make_no_sense(form: dict[str, str], words: str, page: Page, tmp_path: Path) -> None:
    before = page.job.state.wishes
    good = {"output": str(tmp_path / "o"), "private": str(tmp_path / "p")}
    answer = page.post("options", **{**good, **form})
    assert answer.status_code == 422 and words in answer.text
    assert page.job.state.wishes == before
    assert page.post("options", **good).headers["hx-redirect"] == f"{page.passes.base}/run"


def test_a_release_within_its_own_input_is_refused(page: Page) -> None:
    inside = page.job.state.input
    assert inside is not None
    answer = page.post("options", output=str(inside / "out"), private=str(inside / "p"))
    assert answer.status_code == 422 and "expected" in answer.text


def test_a_second_start_is_refused_and_a_stop_ends_the_first(page: Page) -> None:
    sleep = Errand("run", [("protect", ["-c", "import time; time.sleep(60)"])], page.job.work, program=[sys.executable])
    page.job.state.errands["run"] = sleep
    sleep.start()
    for path, form in (
        ("start/run", {}),
        ("start/preview", {}),
        ("choose", {"path": "/"}),
        ("drop", {}),
        ("options", {}),
    ):
        answer = page.post(path, **form)
        assert answer.status_code in (409, 422), path
    assert page.post("start/run").status_code == 409
    assert "Run is running" in page.get("busy?version=-1&step=options").text
    assert page.get("headway").status_code == 200
    assert page.post("stop").status_code == 204
    assert sleep.wait(20)
    assert page.get("headway").headers["hx-refresh"] == "true"
    assert "Stopped. Nothing is half-written." in page.get("run").text


def test_what_changed_in_another_tab_is_told(page: Page) -> None:
    version = page.job.version
    assert page.get(f"busy?version={version}&step=run").status_code == 204
    page.job.version += 1
    assert "Something has changed" in page.get(f"busy?version={version}&step=run").text


@pytest.mark.parametrize("name", ["look", "check", "everything", "../x"])
def test_only_the_buttons_of_the_page_start_something(name: str, page: Page) -> None:
    assert page.post(f"start/{name}").status_code in (404, 422)
    assert page.job.running is None


def test_a_report_is_served_in_a_sandbox_and_nothing_else_of_its_folder(page: Page, tmp_path: Path) -> None:
    ran(page)
    assert page.get("report").status_code == 404
    private = tmp_path / "out-private"
    private.mkdir()
    (private / "report.html").write_text(f"<h1>{EVIL}</h1>")
    (private / "release.key").write_text("secret")
    answer = page.get("report")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200 and policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy and "connect-src 'self'" not in policy
    for name in ("report/../release.key", "release.key", "report/release.key", "report%2f..%2frelease.key"):
        assert page.get(name).status_code == 404
    (private / "report.html").unlink()
    (private / "report.html").symlink_to(private / "release.key")
    assert page.get("report").status_code == 404


def test_folders_are_listed_and_files_only_counted(page: Page, tmp_path: Path) -> None:
    root = tmp_path / "browse"
    for name in (EVIL.replace("/", ""), "b", ".hidden"):
        (root / name).mkdir(parents=True)
    (root / "patient.txt").write_text("x")
    (root / "away").symlink_to("/")
    answer = page.get(f"browse?field=path&path={root}")
    assert "b/" in answer.text and "1 file directly" in answer.text
    assert [word for word in ("patient", ".hidden", "away", "<script>") if word in answer.text] == []
    for path in ("b", f"{root}/../..", f"{root}/patient.txt", "/nowhere"):
        assert "expected" in page.get(f"browse?field=path&path={path}").text


def dropped(page: Page) -> str:
    """Begin a drop."""
    answer = page.post("drop")
    assert answer.status_code == 200
    return str(answer.text)


def test_dropped_files_lie_in_a_private_folder_under_their_own_names(page: Page) -> None:
    name = dropped(page)
    assert page.put(f"drop/{name}?name=data/images/a%20b.png", b"abc").json() == {"bytes": 3}
    path = page.job.work / name / "data" / "images" / "a b.png"
    assert path.read_bytes() == b"abc" and path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = page.put(f"drop/{name}?name=data/images/a%20b.png", b"xyz")
    assert again.status_code == 422 and path.read_bytes() == b"abc"
    assert page.post(f"drop/{name}/done").json()["next"] == f"{page.passes.base}/contents"
    assert page.job.state.input == page.job.work / name / "data" and page.job.state.uploaded
    page.job.close()


@pytest.mark.parametrize(
    "name",
    ["../a", "a/../../b", "/etc/x", "a//b", "", ".", "a\\..\\b", "a%00b", "a%0Ab", "x" * 300, "/".join("a" * 40)],
)
def test_a_dropped_name_never_leads_out_of_its_folder(name: str, page: Page) -> None:
    folder = dropped(page)
    before = sorted(page.job.work.rglob("*"))
    assert page.put(f"drop/{folder}?name={name}", b"x").status_code == 422
    assert sorted(page.job.work.rglob("*")) == before


def test_a_run_and_options_of_a_tab_that_shows_other_folders_are_refused(page: Page, tmp_path: Path) -> None:
    shown = page.job.stamp
    assert f'"{JOB_HEADER}": "{shown}"' in page.get("run").text

    def send(path: str, shown: str, **form: Any) -> Any:
        headers = {"origin": HERE, TOKEN_HEADER: page.passes.form, JOB_HEADER: shown}
        return page.client.post(f"{page.passes.base}/{path}", data=form, headers=headers)

    good = {"output": str(tmp_path / "o"), "private": str(tmp_path / "p")}
    assert send("options", shown, **good).status_code == 204
    refused = send("start/run", shown, again="overwrite")
    assert refused.status_code == 409 and "another tab" in refused.text and page.job.running is None
    assert send("options", shown, **good).status_code == 204  # the same input: what is sent last counts
    (tmp_path / "else").mkdir()
    page.job.choose(tmp_path / "else")
    page.job.close()
    before = page.job.state.wishes
    assert send("options", shown, **good).status_code == 409 and page.job.state.wishes == before


def test_nothing_that_must_stay_is_written_where_all_is_removed(page: Page, tmp_path: Path) -> None:
    inside, wishes = page.job.work / "dropped-1", page.job.state.wishes
    for form in ({"output": str(inside)}, {"private": str(inside)}):
        answer = page.post("options", **{"output": str(tmp_path / "o"), "private": str(tmp_path / "p"), **form})
        assert answer.status_code == 422 and "goes when umed app ends" in answer.text
    assert page.job.state.wishes == wishes
    inside.mkdir()
    page.job.choose(inside)
    page.job.close()
    assert page.job.state.uploaded and page.job.state.wishes.output == tmp_path / "dropped-1-protected"


def test_a_name_that_is_not_utf8_breaks_no_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "odd" / "fine").mkdir(parents=True)
    os.mkdir(os.fsencode(tmp_path / "odd") + b"/Universit\xe4t")
    answer = page.get(f"browse?field=path&path={tmp_path / 'odd'}")
    assert answer.status_code == 200 and "fine/" in answer.text and "And 1 more" in answer.text
    page.answered("look", {"inspect": {**facts(), "problems": [["Universit\udce4t", "odd"]]}})
    assert page.get("contents").status_code == 200


def test_a_drop_that_breaks_off_leaves_nothing(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    name = dropped(page)
    assert page.put(f"drop/{name}?name=data/a.png", b"abc").status_code == 200
    monkeypatch.setattr("umed.app.dropped.SPARE", 1 << 62)  # more than any disk has
    answer = page.put(f"drop/{name}?name=data/b.png", b"abc")
    assert answer.status_code == 422 and "full disk" in answer.text
    assert not (page.job.work / name).exists()
    monkeypatch.undo()
    assert "Drop the folder again" in page.put(f"drop/{name}?name=data/c.png", b"abc").text


def test_a_browser_that_is_closed_in_the_middle_leaves_nothing(page: Page) -> None:
    name = dropped(page)
    headers = {"origin": HERE, TOKEN_HEADER: page.passes.form}
    cookie = "; ".join(f"{key}={value}" for key, value in page.client.cookies.items())
    sent = [
        {"type": "http.request", "body": b"half of a picture", "more_body": True},
        {"type": "http.disconnect"},
    ]
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        seen.append(sum(path.is_file() for path in (page.job.work / name).rglob("*")))
        return sent.pop(0)

    async def send(message: Any) -> None:
        assert message.get("status", 400) == 400

    lines = {**headers, "host": HERE.partition("//")[2], "cookie": cookie, "sec-fetch-site": "same-origin"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": f"{page.passes.base}/drop/{name}",
        "raw_path": f"{page.passes.base}/drop/{name}".encode(),
        "root_path": "",
        "query_string": b"name=data/a.png",
        "headers": [(key.lower().encode(), value.encode()) for key, value in lines.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    asyncio.run(page.application(scope, receive, send))
    assert seen == [1, 1] and not (page.job.work / name).exists()  # the file was begun


def test_a_drop_is_given_up_but_never_one_in_use(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(name: str) -> Any:
        headers = {"origin": HERE, TOKEN_HEADER: page.passes.form}
        return page.client.delete(f"{page.passes.base}/drop/{name}", headers=headers)

    name = dropped(page)
    page.put(f"drop/{name}?name=data/a.png", b"abc")
    assert page.client.delete(f"{page.passes.base}/drop/{name}").status_code == 403  # another page asks
    assert give_up(name).status_code == 204 and not (page.job.work / name).exists()
    assert give_up(name).status_code == 422
    used = dropped(page)
    page.put(f"drop/{used}?name=data/a.png", b"abc")
    assert page.post(f"drop/{used}/done").status_code == 200
    page.job.close()
    monkeypatch.setattr("umed.app.job.Job.require_idle", lambda job: (_ for _ in ()).throw(Busy("it runs")))
    assert page.post(f"drop/{used}/done").status_code == 409  # sent twice
    monkeypatch.setattr("umed.app.dropped.SPARE", 1 << 62)
    assert page.put(f"drop/{used}?name=data/b.png", b"abc").status_code == 422
    refused = give_up(used)
    assert refused.status_code == 422 and "in use" in refused.text and (page.job.work / used / "data/a.png").exists()


@pytest.mark.parametrize("drop", ["dropped-99", "..", "preview", "dropped-1x", "%2e%2e"])
def test_only_a_drop_of_this_page_takes_files(drop: str, page: Page) -> None:
    assert page.put(f"drop/{drop}?name=a.png", b"x").status_code in (404, 405, 422)


def test_an_empty_drop_is_refused(page: Page) -> None:
    name = dropped(page)
    assert page.post(f"drop/{name}/done").status_code == 422
    assert not (page.job.work / name).exists()


def test_after_a_run_its_folder_is_to_be_published_and_the_private_one_never(page: Page) -> None:
    ran(page, release_check={"ok": True}, exit_code=0, private="/p")
    text = page.get("publish").text
    assert text.index("Never publish") > text.index("<h2>Publish</h2>")
    assert 'data-copy="/p"' in text and f'data-copy="{page.job.home}/out"' in text
    ran(page, exit_code=1, private="/p")
    text = page.get("publish").text
    assert f'data-copy="{page.job.home}/out"' not in text and "Nothing was released" in text


def test_a_release_is_described_once_it_is_there(page: Page, tmp_path: Path) -> None:
    form = {"title": "T", "authors": "A, B\n\nC", "licence": "cc-by", "description": "a\nb"}
    assert page.post("card", **form).status_code == 422  # nothing was released yet
    ran(page, release_check={"ok": True}, exit_code=0, private="/p")
    page.answered("check", {"verify": {"ok": True}})
    (tmp_path / "out").mkdir()
    assert page.post("card", **form).headers["hx-redirect"] == f"{page.passes.base}/publish"
    assert page.job.state.card == CardWishes("T", ("A, B", "C"), "", "cc-by", "a b")
    assert page.job.spell("check") is None  # it was of another release
    assert page.job.state.errands["card"].wait(60)
    assert "expected" in page.get("publish").text  # what umed card says of an empty folder


def test_a_forecast_goes_with_its_plan(page: Page, tmp_path: Path) -> None:
    page.answered("forecast", {"forecast": {"forecast": {"sentence": "it is likely to hold"}}})
    ran(page, release_check={"ok": True}, exit_code=0, private="/p", forecast=None, forecast_unfit="files changed")
    text = page.get("publish").text
    assert "it is likely to hold" not in text and "files changed" in text  # the run says what it was made for
    ran(page, release_check={"ok": True}, exit_code=0, private="/p", forecast="it is likely to hold")
    assert "Forecast: it is likely to hold" in page.get("publish").text
    good = {"output": str(tmp_path / "o"), "private": str(tmp_path / "q")}
    assert page.post("options", **good).status_code == 204
    assert "it is likely to hold" in page.get("options").text
    assert page.post("options", **good, strength="strong").status_code == 204
    assert "it is likely to hold" not in page.get("options").text


def test_what_failed_is_told_once(page: Page) -> None:
    ran(page)
    assert page.get("publish").text.count("no &lt;script&gt;") == 1
    left = {"name": "a.png", "kind": "image", "reason": "is broken", "grave": True}
    failed = {"id": "a", "status": "failed", "reason": "is broken", "measures": {}}
    ran(page, outcomes=[failed], accounting={"left_out": [left]})
    assert page.get("publish").text.count("is broken") == 1


def test_the_page_closes_what_runs(page: Page) -> None:
    sleep = Errand("run", [("protect", ["-c", "import time; time.sleep(60)"])], page.job.work, program=[sys.executable])
    page.job.state.errands["run"] = sleep
    sleep.start()
    begun = time.monotonic()
    page.job.close()
    assert not sleep.running and time.monotonic() - begun < 15
