# SPDX-License-Identifier: Apache-2.0
"""The documentation: the README stays short, links lead somewhere, and every command that it shows exists."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

import umed
from tests.documented_commands import blocks, complaints, in_python, in_shell
from umed.cli.main import main

ROOT = Path(umed.__file__).resolve().parents[1]
HISTORY = {"experiments.md"}
"""The lab book: what was run then, with the commands of then. It is not rewritten when commands change."""
KINDS = ("code", "markdown")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "monai_bundle" / "docs" / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in HISTORY),
]


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(text: str) -> str:
    """A page without blocks of code, tables, pictures, headings and the addresses of links."""
    kept = [line for line in text.splitlines() if not re.match(r" {4}|\||#|!\[", line)]
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", "\n".join(kept)).replace("**", "")


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120] == []


def test_readme_has_short_sentences() -> None:
    text = prose((ROOT / "README.md").read_text(encoding="utf-8"))
    sentences = [" ".join(part.split()) for part in re.split(r"(?<=[.!?:;])\s|\n\n", text)]
    assert [sentence for sentence in sentences if len(sentence.split()) > 24] == []


def test_readme_shows_one_small_picture() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(pictures) == 1 and (ROOT / pictures[0]).stat().st_size < 200_000


@pytest.mark.parametrize("path", [*PAGES, *(ROOT / "docs" / name for name in HISTORY)], ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def test_the_errors_of_the_documentation() -> None:
    from umed.core.errors import UmedError

    assert umed.errors.UmedError is UmedError
    assert importlib.import_module("umed.errors").UmedError is UmedError
    with pytest.raises(umed.errors.ConfigError, match="epsilon"):
        umed.plan("nowhere", overrides={"epsilon": 2})


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_command_of_a_page_exists(path: Path) -> None:
    folder = path.parents[1] if path.parts[-3:-1] == ("monai_bundle", "docs") else ROOT
    assert complaints(path.read_text(encoding="utf-8"), folder) == []


def test_pages_hold_commands() -> None:
    """That nothing is wrong says nothing where nothing is found: what is found is counted."""
    found = [block for path in PAGES for _, block in blocks(path.read_text(encoding="utf-8"))]
    for start, least in (("umed ", 40), ("python ", 8), ("make ", 4), ("python -m monai.bundle", 8), ("import ", 3)):
        assert sum(line.strip().startswith(start) for block in found for line in block.splitlines()) >= least, start


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("\n    umed protct IN OUT\n", "umed protct: no such command"),
        ("\n    umed protect IN OUT --epsilom 4/255\n", "umed protect --epsilom: no such option"),
        ("\n    umed plan IN   # then: umed protect IN OUT --nothing\n", "umed protect --nothing: no such option"),
        ("\n    umed --print-completion ksh > file\n", "umed --print-completion ksh: no such shell"),
        ("\n    umed plan IN --recipe gpus\n", "umed plan --recipe gpus: no such name"),
        ("\n    umed benchmark slow --out DIR\n", "umed benchmark slow: no such grid"),
        ("as `umed verify IN OUT --keyfile KEY` does", "umed verify --keyfile: no such option"),
        ("\n    python benchmarks/degradation.py --data D\n", "benchmarks/degradation.py: no such file"),
        ("\n    python benchmarks/speed.py --nothing 3\n", "benchmarks/speed.py --nothing: no such option"),
        ("```\nmake portect\n```\n", "make portect: no such target"),
        ("\n    make protect DTA=IN\n", "make DTA=: no such variable"),
        ("\n    pip install 'umed[dicon]'\n", "umed[dicon]: no such extra"),
        ("\n    bash configs/nothing.sh\n", "configs/nothing.sh: no such file"),
        (
            "\n    python -m monai.bundle run protct --config_file monai_bundle/configs/protect.yaml\n",
            "monai.bundle run protct: no such id in monai_bundle/configs/protect.yaml",
        ),
        (
            "\n    python -m monai.bundle run verify \\\n    --config_file monai_bundle/configs/dicom.yaml --x 1\n",
            "monai.bundle run verify --x: no such key",
        ),
        ("\n    python -m monai.bundle run --config_file nothing.yaml\n", "nothing.yaml: no such file"),
        ("```python\nfrom umed import Protctd\n```\n", "from umed import Protctd: no such name"),
        ("```python\nimport umed\numed.protec(1)\n```\n", "umed.protec: no such name"),
        ("```python\nimport umed\numed.plan(1, recpe=0)\n```\n", "plan(recpe=): no such argument"),
        ('```python\nrun(["umed", "report", "--nothing"])\n```\n', "umed report --nothing: no such option"),
    ],
)
def test_a_wrong_command_is_found(page: str, complaint: str) -> None:
    assert complaints(page, ROOT) == [complaint]


def test_each_picture_is_shown_with_words_for_who_cannot_see_it_and_is_small() -> None:
    shown: dict[str, str] = {}
    for page in PAGES:
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert len(words) > 20, f"{page_name(page)}: {target}"
            shown[target.rpartition("/")[2]] = words
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").glob("*.png")}
    assert pictures.keys() == shown.keys()
    of_pages = {name: size for name, size in pictures.items() if name.startswith(("app-", "report", "preview"))}
    assert len(of_pages) >= 7 and max(of_pages.values()) < 60_000


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_files_that_a_page_names_exist(path: Path) -> None:
    """Also outside of links: ``umed/core/registry.py``, ``tests/execution``; what umed writes is no file of ours."""
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:benchmarks|configs|docs|monai_bundle|notebooks|tests|umed)/[\w./-]*)`", text))
    written = {name for name in named if re.match(r"umed/[\w.-]*(json|html)$|umed/generators/?$|umed/$", name)}
    gone = {"benchmarks/degradation.py"} if path.name == "results.md" else set()
    assert [name for name in sorted(named - written - gone) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_tests_that_a_page_names_exist(path: Path) -> None:
    named = re.findall(r"`(tests/[\w./-]+\.py)::(\w+)`", path.read_text(encoding="utf-8"))
    gone = [
        f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert gone == [] and (len(named) >= 10 or path.name != "dicom-proofs.md")


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / "configs").iterdir(),
        *(ROOT / "umed" / "core" / "defaults").rglob("*.yaml"),
        ROOT / "docs/results/main.yaml",
    ],
    ids=page_name,
)
def test_commands_in_the_comments_of_a_file_exist(path: Path) -> None:
    indented = re.findall(r"^#  +(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert in_shell("\n".join(indented), ROOT) == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=page_name)
def test_imports_and_commands_of_a_notebook_exist(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code, words = ("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind) for kind in KINDS)
    assert in_python(code) == [] and complaints(words, ROOT) == []


@pytest.mark.usefixtures("known_seconds")
def test_the_main_table_as_a_grid(
    phantom: Path, pictures: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", f"hippocampus={phantom}", "--data", f"isic={pictures(8)}"]
    assert main(["benchmark", str(ROOT / "docs" / "results" / "main.yaml"), *data, "--dry-run", "--json"]) == 0
    cells = {row["cell"] for row in json.loads(capsys.readouterr().out)["cells"]}
    assert len(cells) == 74 and "hippocampus: umed, plain_dynunet steps=800, none, seed 0" in cells
