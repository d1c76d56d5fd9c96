# SPDX-License-Identifier: Apache-2.0
"""Cards in releases: known to the checks, no way in for anything else, and never over a file of the steward's."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

import umed
from tests.sealed import record
from umed.cases.records import CARD_FILES
from umed.cli.main import main
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.data.phantom import make_phantom
from umed.protect.check_release import check_release
from umed.protect.verify import verify
from umed.report.card_settings import CardSettings

SETTINGS = {"method": "random", "epsilon": 8 / 255, "radius": 2.0}
SAID: dict[str, Any] = {
    "title": "Organs: a test",
    "authors": ["Doe, Jane; Example Hospital; 0000-0002-1825-0097", "Example Institute"],
    "contact": "data@example.org",
    "licence": "research-no-training",
    "url": "https://example.org/organs",
    "date": "2026-01-31",
}
ALL = sorted(CARD_FILES)


class Places(NamedTuple):
    source: Path
    out: Path
    private: Path


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("card")
    make_phantom(root / "in", cases=3, size=(24, 24, 16))
    umed.protect(root / "in", root / "first", **SETTINGS)
    (root / "first").rename(root / "out")  # so that a copy is the moved release, not a second one
    (root / "first-private").rename(root / "out-private")
    return root


@pytest.fixture
def release(protected: Path, tmp_path: Path) -> Places:
    for name in ("in", "out", "out-private"):
        shutil.copytree(protected / name, tmp_path / name)
    return Places(tmp_path / "in", tmp_path / "out", tmp_path / "out-private")


def kinds(release: Places, **options: Any) -> dict[str, list[str]]:
    """Problems and warnings of the check, by kind."""
    found = check_release(release.out, **options)
    said: dict[str, list[str]] = {}
    for one in (*found.problems, *found.warnings):
        said.setdefault(one.kind, []).append(str(one))
    return said


def test_both_checks_know_a_card(release: Places) -> None:
    done = umed.card(release.out, SAID)
    assert list(done.files) == ALL and done.sealed
    found = check_release(release.out, original=release.source)
    assert found.ok and not found.warnings, found.summary()  # also not of the address of the contact
    assert verify(release.source, release.out).ok
    shutil.move(release.private, release.private.with_name("elsewhere"))
    named = verify(release.source, release.out, promise=SETTINGS)
    assert named.ok, named.summary()
    assert any("README.md" in note and "nobody vouches" in note for note in named.notes)
    assert "files that describe the data set" in (release.out / "umed" / "about.html").read_text()


def test_again_without_a_word_gives_the_same_bytes_and_another_licence_takes_files_away(release: Places) -> None:
    umed.card(release.out, SAID)
    before = {name: (release.out / name).read_bytes() for name in ALL}
    assert umed.card(release.out).settings.day == "2026-01-31"
    assert {name: (release.out / name).read_bytes() for name in ALL} == before
    done = umed.card(release.out, {"licence": "cc-by"})
    assert list(done.files) == [".zenodo.json", "README.md", "croissant.json"]
    assert not (release.out / "TERMS.md").exists() and not (release.out / "tdmrep.json").exists()
    assert "license: cc-by-4.0" in (release.out / "README.md").read_text()
    assert check_release(release.out, original=release.source).ok and verify(release.source, release.out).ok


def test_a_card_that_was_changed_is_found(release: Places) -> None:
    umed.card(release.out, SAID)
    (release.out / "TERMS.md").write_text("Do what you like.\n")
    assert kinds(release)["changed"] == ["TERMS.md"]
    assert "TERMS.md: expected the checksum in the private record" in verify(release.source, release.out).summary()
    with pytest.raises(InputError, match="TERMS.md: expected none, since nothing of yours is overwritten"):
        umed.card(release.out, SAID)


def forge(release: Places, name: str, data: bytes) -> None:
    """Lay a file into a release and list it as part of its card, as a thief without the key can."""
    (release.out / name).parent.mkdir(exist_ok=True)
    (release.out / name).write_bytes(data)
    path = release.out / "umed" / "manifest.json"
    content = json.loads(path.read_text())
    content["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "what": "card"}
    path.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "png")
    return stream.getvalue()


def test_nothing_but_text_under_known_names_passes_for_a_card(release: Places) -> None:
    umed.card(release.out, SAID)
    forge(release, "README.md", png())
    forge(release, "original.png", png())
    forge(release, "docs/README.md", b"text\n")
    found = kinds(release)
    assert "README.md: an image" in found["no-text"] and "seal" in found
    assert sum("an entry that is none" in one for one in found["manifest"]) == 2
    assert {"original.png", "docs/README.md"} <= set(found["unlisted"])
    shutil.move(release.private, release.private.with_name("elsewhere"))  # without the key, only the form is known
    assert "README.md: an image" in kinds(release)["no-text"]
    said = verify(release.source, release.out, promise=SETTINGS).summary()
    assert "README.md: expected a small plain text of umed card, got an image" in said
    assert "original.png: expected no such file" in said and "docs/README.md: expected no such file" in said


def test_the_address_of_somebody_is_a_warning_where_the_owner_has_not_sealed_it(release: Places) -> None:
    umed.card(release.out, SAID)
    forge(release, "README.md", b"Ask roe.jane@clinic.example.org\n")
    assert "README.md: roe.jane@clinic.example.org" in kinds(release)["person-text"]


def test_a_readme_of_the_steward_stays(release: Places, tmp_path: Path) -> None:
    (release.out / "README.md").write_text("Mine.\n")
    with pytest.raises(InputError, match="one that umed card did not write. Keep it with --without README.md"):
        umed.card(release.out, SAID)
    assert not (release.out / "croissant.json").exists()
    done = umed.card(release.out, SAID, without=["README.md"])
    assert "README.md" not in done.files and (release.out / "README.md").read_text() == "Mine.\n"
    assert kinds(release)["unlisted"] == ["README.md"]
    assert not kinds(release, added=["README.md"]).keys() & {"unlisted", "no-text"}
    aside = umed.card(release.out, SAID, to=tmp_path / "aside")
    assert not aside.sealed and (tmp_path / "aside" / "README.md").is_file()
    assert (release.out / "README.md").read_text() == "Mine.\n"


def test_a_link_is_not_followed(release: Places, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (release.out / "TERMS.md").symlink_to(tmp_path / "target")
    with pytest.raises(InputError, match="expected no link"):
        umed.card(release.out, SAID)
    assert (tmp_path / "target").read_text() == "kept"


def test_without_the_private_folder_a_card_is_text_that_somebody_added(release: Places) -> None:
    shutil.move(release.private, release.private.with_name("elsewhere"))
    done = umed.card(release.out, SAID)
    assert not done.sealed and "--added .zenodo.json README.md" in done.summary()
    assert "PSNR" not in (release.out / "README.md").read_text()
    found = kinds(release)
    assert set(found["unlisted"]) == set(ALL) and found["hidden-file"] == [".zenodo.json"]
    assert not kinds(release, added=done.files).keys() & {"unlisted", "hidden-file", "no-text"}
    with pytest.raises(InputError, match="private folder of"):
        umed.card(release.out, SAID, private=release.private)


def test_no_secret_and_no_case_stands_in_a_card(release: Places) -> None:
    umed.card(release.out, SAID)
    told = "".join((release.out / name).read_text() for name in ALL)
    kept = record(release.out)
    assert Key.load(release.private / "release.key").secret.hex() not in told
    figures = [file["psnr"] for case in kept["cases"] for file in case["files"] if case["status"] == "protected"]
    assert len(figures) == 3
    assert f"mean PSNR against the originals is {round(sum(figures) / 3)} dB" in told
    for secret in (kept["release"], kept["method"], kept["key"], *(f"{one:.2f}" for one in figures)):
        assert str(secret) not in told
    said = (release.out / "README.md").read_text()
    assert not any(case["id"] in said for case in kept["cases"])


def test_a_key_that_is_given_for_a_licence_is_not_published(release: Places) -> None:
    words = ["--licence", "file", "--licence-file", str(release.private / "release.key")]
    assert main(["card", str(release.out), "--title", "x", "--author", "Doe, Jane", *words]) == 1
    assert not (release.out / "TERMS.md").exists() and not (release.private / "card.json").exists()


def test_a_resumed_run_writes_it_again_and_an_overwritten_one_takes_it_away(release: Places) -> None:
    umed.card(release.out, SAID)
    before = (release.out / "README.md").read_bytes()
    umed.protect(release.source, release.out, resume=True, **SETTINGS)
    assert (release.out / "README.md").read_bytes() == before
    assert check_release(release.out, original=release.source).ok and verify(release.source, release.out).ok
    (release.out / "README.md").write_text("Mine now.\n")
    with pytest.raises(InputError, match="the card that umed wrote, got a changed one"):
        umed.protect(release.source, release.out, overwrite=True, **SETTINGS)
    (release.out / "README.md").write_bytes(before)
    umed.protect(release.source, release.out, overwrite=True, **SETTINGS)
    assert not any((release.out / name).exists() for name in ALL)
    assert not (release.private / "card.json").exists() and check_release(release.out).ok


def test_a_run_that_was_killed_between_the_files_and_the_manifest_goes_on(
    release: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    umed.card(release.out, SAID)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("umed.protect.card"), "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        umed.card(release.out, {**SAID, "title": "Another"})
    monkeypatch.undo()
    assert "changed" in kinds(release)
    umed.card(release.out)
    assert "# Another" in (release.out / "README.md").read_text() and not kinds(release, original=release.source)


def test_unlock_files_and_a_card_live_together(make_decathlon: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    from umed.unlock.age_keys import new_identity, write_identity

    people = tmp_path / "people.txt"
    people.write_text(write_identity(tmp_path / "anne.key", new_identity()))
    make_decathlon(tmp_path / "in")
    umed.protect(tmp_path / "in", tmp_path / "out", recipients=people, **SETTINGS)
    umed.card(tmp_path / "out", SAID)
    assert "umed unlock" in (tmp_path / "out" / "README.md").read_text()
    assert check_release(tmp_path / "out", original=tmp_path / "in").ok
    assert verify(tmp_path / "in", tmp_path / "out").ok
    umed.unlock(tmp_path / "out", tmp_path / "back", key=tmp_path / "anne.key")
    assert not (tmp_path / "back" / "README.md").exists()


def test_a_wrong_word_and_a_wrong_folder(release: Places, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--without: expected one of .*Did you mean 'README.md'"):
        umed.card(release.out, SAID, without=["REDME.md"])
    with pytest.raises(ConfigError, match="Give --title, --author and --licence, or --from FILE"):
        umed.card(release.out)
    with pytest.raises(InputError, match="expected a folder that umed protect wrote"):
        umed.card(tmp_path / "none", SAID)
    with pytest.raises(InputError, match=r"README.md: expected a small plain text of what you gave, got a picture"):
        umed.card(release.out, CardSettings(**{**SAID, "title": "x <svg"}))


def test_by_the_command_line_and_a_file(release: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.txt").write_text("Ask first.\n")
    file = tmp_path / "card.yaml"
    file.write_text(
        "title: From a file\nauthors: [A, B]\nlicence: file\nlicence_file: own.txt\nversion: 2\ncontact: c\n"
    )
    words = ["card", str(release.out), "--from", str(file), "--title", "From options", "--reserve"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sealed"] and said["settings"]["title"] == "From options" and said["settings"]["version"] == "2"
    assert (release.out / "TERMS.md").read_text() == "Ask first.\n" and "tdmrep.json" in said["files"]
    front = yaml.safe_load((release.out / "README.md").read_text().split("---\n")[1])
    assert (front["license"], front["license_name"], front["license_link"]) == ("other", "own", "TERMS.md")
    assert main(["card", str(release.out), "--licence", "cc-bye"]) == 2
    assert "Did you mean 'cc-by'?" in capsys.readouterr().err
