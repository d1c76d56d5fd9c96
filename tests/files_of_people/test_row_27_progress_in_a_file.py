# SPDX-License-Identifier: Apache-2.0
"""Row 27: what a log holds where nobody looks at a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.files_of_people.every_command import Places, call, places

COMMANDS = {
    "protect": "protect",
    "anonymize": "scan",
    "verify": "verify",
    "check-release": "check",
    "inspect": "look",
    "plan": "look",
}


@pytest.fixture(scope="module")
def there() -> Iterator[Places]:
    with places() as made:
        yield made


@pytest.mark.parametrize("command", COMMANDS)
def test_every_stage_says_when_it_begins_and_ends_and_quiet_says_nothing(command: str, there: Places) -> None:
    words = there._replace(out=there.root / f"out-{command}").words(command)
    quiet = call(words)
    words.remove("--quiet")
    again = ["--overwrite"] if command in ("protect", "anonymize") else []
    said = call([*words, *again])
    assert (said.code, quiet.err) == (quiet.code, "")
    lines = said.err.splitlines()
    stage = COMMANDS[command]
    assert any(re.fullmatch(rf"umed: {stage}: begins, \d+ to do", line) for line in lines)
    assert any(re.fullmatch(rf"umed: {stage}: done, (\d+) of \1 in \d+ s", line) for line in lines)
    assert all(one.isprintable() or one == "\n" for one in said.err)
    assert said.out  # and the answer stands on stdout, alone
    assert "umed: " not in said.out


def test_workers_are_told_of_once_by_the_parent(there: Places, quick_workers: None) -> None:
    words = there._replace(out=there.root / "shared").words("protect")
    words.remove("--quiet")
    said = call([*words, "--workers", "2"])
    assert said.code == 0
    assert said.err.count("umed: protect: begins, 4 to do") == 1
    assert said.err.count("umed: protect: done, 4 of 4") == 1
