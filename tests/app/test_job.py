# SPDX-License-Identifier: Apache-2.0
"""Which commands a job runs: the same words that one would type."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.app_client import Page
from umed.app.card_wishes import CardWishes
from umed.app.job import Busy, propose
from umed.app.release_wishes import Wishes
from umed.cli.main import make_parser
from umed.core.errors import UmedError


@pytest.fixture
def page(tmp_path: Path) -> Page:
    made = Page(tmp_path)
    (tmp_path / "in").mkdir()
    made.job.state.input = tmp_path / "in"
    made.job.state.wishes = Wishes(tmp_path / "out", tmp_path / "p", key_file=tmp_path / "k.key", extra=("seed=3",))
    made.answered("look", {"inspect": {"layout": "pairs"}})
    return made


def words(page: Page, name: str) -> dict[str, list[str]]:
    """Commands of an errand by name; each is one that umed's own parser takes."""
    found = dict(page.job.commands(name))
    for command in found.values():
        make_parser()[0].parse_args(command)
    return found


def test_files(page: Page, tmp_path: Path) -> None:
    page.job.state.layout = tmp_path / "map.yaml"
    run = words(page, "run")["protect"]
    assert run[:3] == ["protect", str(tmp_path / "in"), str(tmp_path / "out")]
    assert "--strength" in run and "--set=seed=3" in run and "--layout" in run and "--key-file" not in run
    page.job.state.ran = page.job.state.wishes
    assert list(words(page, "check")) == ["verify", "check-release"]
    assert "--forecast-steps" in words(page, "forecast")["forecast"]
    assert "--preview" in words(page, "preview")["preview"] and "look" not in words(page, "look")


def test_a_forecast_goes_to_the_run_that_it_was_made_for(page: Page, tmp_path: Path) -> None:
    assert "--forecast-from" not in words(page, "run")["protect"]
    page.answered("forecast", {"forecast": {"forecast": {"sentence": "it is likely to hold"}}})
    run = words(page, "run")["protect"]
    file = Path(run[run.index("--forecast-from") + 1])
    assert json.loads(file.read_text())["forecast"]["sentence"] == "it is likely to hold"
    page.job.wish(replace(page.job.state.wishes, carry=True))  # decides nothing that was forecast
    assert "--forecast-from" in words(page, "run")["protect"]
    page.job.wish(replace(page.job.state.wishes, strength="strong"))
    assert "--forecast-from" not in words(page, "run")["protect"]
    page.job.wish(replace(page.job.state.wishes, evidence=True))
    assert "--evidence" in words(page, "run")["protect"] and "--evidence" in words(page, "forecast")["forecast"]
    page.answered("forecast", {"forecast": {"error": "stopped"}}, 1)
    assert "--forecast-from" not in words(page, "run")["protect"]


def test_dicom(page: Page, tmp_path: Path) -> None:
    page.answered("look", {"inspect": {"layout": "dicom"}})
    page.job.state.masks = tmp_path / "masks"
    kept = replace(page.job.state.wishes, keep=("longitudinal", "safe_private"), look_for_text=True)
    page.job.state.wishes = kept
    both = words(page, "run")
    assert list(both) == ["key", "anonymize"]
    assert both["anonymize"][both["anonymize"].index("--profile") + 1] == "longitudinal+safe_private"
    assert {"--protect", "--masks", "--look-for-text"} <= set(both["anonymize"])
    (tmp_path / "k.key").write_text("x")
    assert list(words(page, "run")) == ["anonymize"]
    page.job.state.ran = kept
    assert list(words(page, "check")) == ["verify", "check-release", "search"]
    page.job.state.wishes = replace(kept, mode="anonymize")
    alone = words(page, "run")["anonymize"]
    assert not {"--protect", "--masks", "--strength"} & set(alone)
    page.job.state.wishes = page.job.state.ran = replace(kept, mode="protect")
    assert list(words(page, "run")) == ["protect"] and list(words(page, "check")) == ["verify", "check-release"]


def test_what_the_release_says_of_itself(page: Page) -> None:
    page.job.state.ran = page.job.state.wishes
    page.job.state.card = CardWishes("-T", ("A, B", "C"), "me@example.org", "cc-by", "all = of it")
    card = words(page, "card")["card"]
    assert {"--title=-T", "--author=A, B", "--author=C", "--licence=cc-by", "--description=all = of it"} <= set(card)
    page.job.state.card = CardWishes(licence="cc-by")
    assert [word for word in words(page, "card")["card"] if "=" in word] == ["--licence=cc-by"]


def test_an_earlier_run_is_told_before_anything_starts(page: Page, tmp_path: Path) -> None:
    page.job.wish(page.job.state.wishes)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UmedError, match="expected an empty folder"):
        page.job.start("run")
    assert page.job.running is None


def test_folders_are_proposed_under_names_that_are_free(tmp_path: Path) -> None:
    assert propose(tmp_path / "a.zip", tmp_path).output == tmp_path / "a-protected"
    (tmp_path / "a-protected").mkdir()
    (tmp_path / "a-protected-2-private").mkdir()
    found = propose(tmp_path / "a", tmp_path)
    assert (found.output, found.private) == (tmp_path / "a-protected-3", tmp_path / "a-protected-3-private")


def test_a_run_that_was_stopped_is_offered_again(tmp_path: Path) -> None:
    private = tmp_path / "a-protected-private"
    private.mkdir()
    (private / "targets.json").write_text("{}")
    found = propose(tmp_path / "a", tmp_path)
    assert (found.private, found.again) == (private, "resume")
    (tmp_path / "a-protected" / "umed").mkdir(parents=True)
    (tmp_path / "a-protected" / "umed" / "manifest.json").write_text("{}")
    assert propose(tmp_path / "a", tmp_path).output == tmp_path / "a-protected-2"


def test_a_key_within_the_release_is_refused(page: Page, tmp_path: Path) -> None:
    page.answered("look", {"inspect": {"layout": "dicom"}})
    with pytest.raises(UmedError, match="expected a key outside the output"):
        page.job.wish(replace(page.job.state.wishes, key_file=tmp_path / "out" / "k.key"))
    with pytest.raises(UmedError, match="Key file"):
        page.job.wish(replace(page.job.state.wishes, key_file=None))


def test_nothing_else_starts_while_something_runs(tmp_path: Path) -> None:
    page = Page(tmp_path)
    (tmp_path / "in").mkdir()
    page.job.choose(tmp_path / "in")
    with pytest.raises(Busy, match="is running"):
        page.job.choose(tmp_path / "in")
    page.job.close()
    assert page.job.running is None
