# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from importlib import resources

import jinja2
import pytest

import umed
from umed.report.template import render

ROOT = resources.files(umed)
TEMPLATES = [
    (package, one.name)
    for package in ("report", "benchmark/report")
    for one in ROOT.joinpath(package, "templates").iterdir()
    if one.name.endswith(".j2")
]


@pytest.mark.parametrize(("package", "name"), TEMPLATES, ids=lambda part: part)
def test_text_goes_in_unescaped_at_one_named_place(package: str, name: str) -> None:
    text = ROOT.joinpath(package, "templates", name).read_text(encoding="utf-8")
    assert text.startswith("{# SPDX-License-Identifier: Apache-2.0 #}") and "autoescape" not in text
    assert len(re.findall(r"\|\s*safe\b", text)) == (name == "parts.html.j2")
    assert not re.search(r"https?:|@import|<link|<script src", text)


def test_what_a_template_asks_for_must_be_given() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("protect.html.j2", plan=None)
