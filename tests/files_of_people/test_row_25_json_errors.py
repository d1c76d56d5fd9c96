# SPDX-License-Identifier: Apache-2.0
"""Row 25: under --json an error is one object on stdout, with the exit code that it has without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files_of_people.every_command import WORDS, Places, call, error_of, places
from umed.cli.main import COMMANDS

KNOW_JSON = [name for name in WORDS if name not in ("keygen", "sample", "app")]


@pytest.fixture(scope="module")
def there() -> Iterator[Places]:
    with places() as made:
        yield made


def test_the_list_of_commands_that_know_json_is_whole(there: Places) -> None:
    for name in COMMANDS:
        assert ("--json" in call([name, "--help"]).out) is (name in KNOW_JSON)


@pytest.mark.parametrize("command", KNOW_JSON)
@pytest.mark.parametrize(
    ("extra", "code", "kind", "words"),
    [
        (["--no-such-option"], 2, "UsageError", "unknown option '--no-such-option'"),
        (["--json=3"], 2, "UsageError", "--json"),
    ],
)
def test_wrong_usage(command: str, extra: list[str], code: int, kind: str, words: str, there: Places) -> None:
    said = call([*there.words(command), "--json", *extra])
    found = error_of(said)
    assert said.code == found["exit_code"] == code and found["kind"] == kind and words in found["error"]
    assert set(found) == {"error", "kind", "exit_code"} and "\n" not in found["error"]
    assert said.err == f"{found['error']}\n"


@pytest.mark.parametrize("words", [["--json"], ["protect", "--json"], ["protct", "a", "b", "--json"], ["--json", "x"]])
def test_usage_that_names_no_command_or_not_enough(words: list[str]) -> None:
    said = call(words)
    assert said.code == error_of(said)["exit_code"] == 2


@pytest.mark.parametrize("command", [name for name in KNOW_JSON if name not in ("info", "doctor", "demo")])
def test_input_that_is_not_there(command: str, there: Places) -> None:
    nowhere = there.root / "nowhere"
    moved = there._replace(data=nowhere, dicom=nowhere, cells=nowhere, file=nowhere, protected=nowhere)
    said = call([*moved.words(command), "--json"])
    found = error_of(said)
    assert said.code == found["exit_code"] and said.code in (1, 2)
    assert found["kind"] in ("InputError", "ConfigError") and str(nowhere) in found["error"]
    assert said.err == f"umed: {found['error']}\n"


@pytest.mark.parametrize("command", KNOW_JSON)
def test_what_nobody_foresaw(command: str, there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_args: object) -> int:
        raise KeyError("x")

    monkeypatch.setattr(COMMANDS[command], "run", fail)
    said = call([*there.words(command), "--json"])
    assert said.code == 1 and error_of(said)["kind"] == "Bug" and "Traceback" not in said.err


def test_settings_that_make_no_sense(there: Places) -> None:
    said = call([*there.words("protect"), "--json", "--set", "training.iterations=many"])
    found = error_of(said)
    assert said.code == found["exit_code"] == 2 and found["kind"] == "ConfigError"


def test_what_follows_two_dashes_is_no_option(there: Places) -> None:
    said = call(["report", "--", "--json"])
    assert said.code == 1 and said.out == ""


def test_a_result_is_no_error(there: Places, tmp_path: Path) -> None:
    said = call([*there.words("verify"), "--json"])
    assert said.code == 0 and "error" not in json.loads(said.out)
