# SPDX-License-Identifier: Apache-2.0
"""What is published of umed itself: the archives, what the wheel does without any extra, and the container's recipe."""

from __future__ import annotations

import email
import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import umed
from umed.cli.main import main

ROOT = Path(umed.__file__).resolve().parents[1]
IN_SOURCES = re.compile(
    r"(umed|benchmarks|configs|monai_bundle|tests|docs|notebooks|tools)/|[^/]+\.md$|(LICENSE|CITATION\.cff|constraints\.txt"
    r"|Makefile|mkdocs\.yml|pyproject\.toml|\.gitignore)$"
)
DATA = re.compile(r"\.(nii|nii\.gz|mha|mhd|raw|nrrd|dcm|zip|pth|pt|npz|safetensors|key)$")
MOST_BYTES = 500_000
LARGE = {"umed/report/viewer/niivue.min.js"}
"""The one exception of CONTRIBUTING.md."""


def tracked() -> set[str]:
    """Files that git knows, new ones too."""
    words = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no checkout of git to compare with")
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the source archive and the wheel that is built from it, as ``python -m build`` does."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def only(folder: Path, pattern: str) -> Path:
    """The one file of a kind."""
    [found] = folder.glob(pattern)
    return found


def test_twine_takes_both(archives: Path) -> None:
    files = [str(path) for path in archives.iterdir()]
    words = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("PASSED") == len(files) == 2, done.stdout + done.stderr


def test_the_source_archive_holds_the_sources_and_no_data(archives: Path) -> None:
    with tarfile.open(only(archives, "*.tar.gz")) as archive:
        members = {name.partition("/")[2]: one for one in archive.getmembers() if one.isfile() for name in [one.name]}
    members.pop("PKG-INFO")
    assert members.keys() == {name for name in tracked() if IN_SOURCES.match(name)}
    assert [name for name, one in members.items() if DATA.search(name)] == []
    assert {name for name, one in members.items() if one.size > MOST_BYTES} == LARGE


def test_the_wheel_holds_the_whole_package_and_nothing_else(archives: Path) -> None:
    with zipfile.ZipFile(only(archives, "*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert names == {name for name in tracked() if name.startswith("umed/")}
        about = email.message_from_bytes(wheel.read(f"umed-{umed.__version__}.dist-info/METADATA"))
    assert about["Version"] == umed.__version__ and about["License-Expression"] == "Apache-2.0"


def test_what_is_pinned_is_within_what_is_asked_for() -> None:
    """Of every requirement, also those of extras: the version in constraints.txt satisfies it."""
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            pinned[one.name] = str(one.specifier).removeprefix("==")
    wanted = [Requirement(line) for line in metadata.requires("umed") or [] if not line.startswith("umed[")]
    compared = [one for one in wanted if one.name in pinned]
    assert len(compared) >= 20
    assert [str(one) for one in compared if not one.specifier.contains(pinned[one.name])] == []


def requirements(wheel: Path) -> list[str]:
    """Requirements of a wheel, as they stand in it."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA")))
    return email.message_from_bytes(text).get_all("Requires-Dist", [])


def needed(lines: list[str]) -> Iterator[metadata.Distribution]:
    """The installed packages that these lines ask for without any extra, and what those need in turn."""
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in lines]
    while waiting:
        one, extra = waiting.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        found = metadata.distribution(one.name)
        for wanted in ("", *sorted(one.extras)):
            if (found.name.lower(), wanted) not in seen:
                seen.add((found.name.lower(), wanted))
                waiting += [(Requirement(line), wanted) for line in found.requires or []]
                yield found


@pytest.fixture(scope="module")
def bare(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, installed by pip, and of all else only what the wheel says it needs.

    Those packages are links into this environment, since torch would take minutes to install once more.
    """
    wheel, place = only(archives, "*.whl"), tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    for one in needed(requirements(wheel)):
        for file in one.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(one.locate_file(top))).resolve())
    return python.with_name("umed")


def said(program: Path, words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command, which knows nothing of this checkout."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    known = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [str(program), *words.split()]
    return subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_wheel_alone_samples_protects_and_verifies(bare: Path, tmp_path: Path) -> None:
    absent = [str(bare.with_name("python")), "-c", "import pydicom"]
    assert subprocess.run(absent, capture_output=True, check=False).returncode == 1, "the environment is not bare"
    for words in (
        "sample in --cases 3 --size 24 24 16",
        "protect in out --set training.iterations=2 --quiet",
        "verify in out --quiet",
        "doctor",
    ):
        done = said(bare, words, tmp_path)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    manifest = json.loads((tmp_path / "out" / "umed" / "manifest.json").read_text())
    assert [one["what"] for one in manifest["files"].values()].count("protected image") == 3
    done = said(bare, "anonymize in out2", tmp_path)
    assert done.returncode == 1 and "pip install 'umed[dicom]'" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif("UMED_FULL_INSTALL" not in os.environ, reason="downloads torch; set UMED_FULL_INSTALL=1 to run it")
def test_the_wheel_installs_with_all_that_it_needs(archives: Path, tmp_path: Path) -> None:
    """The real thing: pip fetches everything, with the constraints; run by hand before a release."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    pip = [str(tmp_path / "env" / "bin" / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, str(only(archives, "*.whl"))], check=True)
    program = tmp_path / "env" / "bin" / "umed"
    for words in ("sample in --cases 3 --size 24 24 16", "protect in out --quiet", "verify in out --quiet", "doctor"):
        done = said(program, words, tmp_path)
        assert done.returncode == 0, (words, done.stdout, done.stderr)


def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their words; lines that go on are joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def words_of(name: str) -> list[str]:
    """Words of every instruction of a kind."""
    return [words for instruction, words in steps() if instruction == name]


def ignored(name: str) -> bool:
    """Whether ``.dockerignore`` keeps a file from the builder; the last pattern that fits counts."""
    found = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.lstrip("!").removeprefix("**/")
        parts = [name, *(str(parent) for parent in Path(name).parents), *Path(name).parts]
        if line and not line.startswith("#") and any(fnmatch.fnmatchcase(part, pattern) for part in parts):
            found = not line.startswith("!")
    return found


def test_the_container_is_made_of_known_steps() -> None:
    known = {"FROM", "WORKDIR", "ENV", "RUN", "COPY", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in steps()} <= known and len(words_of("FROM")) == 2
    assert all(":" in words for words in words_of("FROM"))  # a release line, not whatever is newest


def test_what_the_container_copies_is_there_and_no_data_goes_along() -> None:
    stages = {words.split()[2] for words in words_of("FROM") if " AS " in words}
    for words in words_of("COPY"):
        *sources, _ = [word for word in words.split() if not word.startswith("--")]
        if origin := re.search(r"--from=(\S+)", words):
            assert origin[1] in stages
        else:
            assert [name for name in sources if not (ROOT / name).exists() or ignored(name)] == []
    assert ignored("data/patient.nii.gz") and ignored(".git/config") and ignored("runs/out/a.png")
    assert ignored("umed/__pycache__/x.pyc") and not ignored("umed/cli/main.py")


def test_what_pip_installs_in_the_container_resolves() -> None:
    """Its line with the packages of this environment: extras and constraints exist and fit each other."""
    [line] = [words for words in words_of("RUN") if "pip install" in words]
    words = shlex.split(line)
    assert words[:2] == ["/opt/umed/bin/pip", "install"]
    dry = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*dry, *words[2:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "download.pytorch.org/whl/cpu" in " ".join(words_of("ENV"))


def test_the_container_runs_as_nobody_special_and_says_whether_it_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    [user] = words_of("USER")
    assert int(user) > 0
    [check] = words_of("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert command[0] == "umed" and main(command[1:]) == 0
    assert json.loads(capsys.readouterr().out)["umed"] == umed.__version__
    assert json.loads(words_of("ENTRYPOINT")[0]) == ["umed"]
    assert main(json.loads(words_of("CMD")[0])) == 0
