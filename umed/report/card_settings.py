# SPDX-License-Identifier: Apache-2.0
"""What a steward says of a data set for its card: a form with a few fields, each checked."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from umed.core.config import from_mapping
from umed.core.errors import ConfigError, error_line
from umed.data.plain_text import text_fault
from umed.report.card_terms import find_licence

_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/[^\s\"<>]+)", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s\"<>]+")
_VERSION = re.compile(r"\d+(\.\d+){0,2}")
_LONGEST = 300
"""Characters of a field that is one line."""


class Author(NamedTuple):
    """Who made a data set.

    Args:
        name: ``"Family, Given"``, or that of an organisation.
        affiliation: where; may be empty.
        orcid: identifier of a person; may be empty.
    """

    name: str
    affiliation: str
    orcid: str


@dataclass(frozen=True)
class CardSettings:
    """What is said of a data set beside what its release says itself.

    Args:
        title: of the data set, one line.
        licence: name in :data:`umed.report.card_terms.LICENCES`.
        authors: each ``"Family, Given; affiliation; ORCID"``; the last two may be left out.
        contact: where to ask for permission: an address or a page.
        description: a few sentences: what was imaged, of whom, how, and who drew the masks.
        licence_text: text of a licence of one's own, for ``licence="file"``.
        reserve: whether training is reserved, for ``licence="file"``; ``None`` takes what the licence says.
        doi: of the data set, as ``10.5281/zenodo.1234567``; may be empty.
        url: page of the data set; may be empty.
        version: one to three numbers with dots.
        date: of the publication, ``YYYY-MM-DD``; today if empty.
        keywords: words by which it is found.
    """

    title: str
    licence: str
    authors: tuple[str, ...] = ()
    contact: str = ""
    description: str = ""
    licence_text: str = ""
    reserve: bool | None = None
    doi: str = ""
    url: str = ""
    version: str = "1.0.0"
    date: str = ""
    keywords: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field; ConfigError in one line for the first that is wrong."""
        find_licence(self.licence)
        lines = {"title": self.title, "contact": self.contact, "url": self.url, "doi": self.doi}
        lines |= {f"author {number}": one for number, one in enumerate(self.authors, 1)}
        lines |= {f"keyword {number}": one for number, one in enumerate(self.keywords, 1)}
        for name, text in lines.items():
            if len(text) > _LONGEST or not text.isprintable():
                raise _wrong(name, f"one line of at most {_LONGEST} characters", text[:40])
        if not self.title.strip():
            raise _wrong("title", "the name of the data set", self.title)
        if not self.authors or not all(one.name for one in self.people):
            raise _wrong("author", "at least one, such as 'Doe, Jane; Example Hospital'", ", ".join(self.authors))
        if self.reserves and not self.contact:
            raise _wrong("contact", "an address or page where permission to train can be asked for", self.contact)
        for name, text, shape, example in (
            ("doi", self.doi, _DOI, "10.5281/zenodo.1234567"),
            ("url", self.url, _URL, "https://example.org/data"),
            ("version", self.version, _VERSION, "1.0.0"),
        ):
            if text and not shape.fullmatch(text):
                raise _wrong(name, f"one such as {example}", text)
        try:
            datetime.date.fromisoformat(self.day)
        except ValueError:
            raise _wrong("date", "a day such as 2026-12-31", self.date) from None
        if (self.licence == "file") != bool(self.licence_text.strip()):
            raise _wrong("licence-file", "the text of your licence with --licence file, and only then", self.licence)
        for name, text in (("description", self.description), ("licence-file", self.licence_text)):
            if fault := text_fault(text.encode()):
                raise _wrong(name, "plain text", fault)

    @property
    def people(self) -> tuple[Author, ...]:
        """The authors, part by part."""
        found = []
        for line in self.authors:
            name, *rest = [part.strip() for part in line.split(";")]
            orcid = next((match[1] for part in rest if (match := _ORCID.fullmatch(part))), "")
            found.append(Author(name, "; ".join(part for part in rest if part and not _ORCID.fullmatch(part)), orcid))
        return tuple(found)

    @property
    def reserves(self) -> bool:
        """Whether training without permission is reserved."""
        licence = find_licence(self.licence)
        return licence.reserves if self.licence != "file" else bool(self.reserve)

    @property
    def day(self) -> str:
        """Of the publication."""
        return self.date or datetime.datetime.now(datetime.timezone.utc).date().isoformat()

    @property
    def bare_doi(self) -> str:
        """Its DOI without an address before it; ``""`` where it has none."""
        match = _DOI.fullmatch(self.doi)
        return "" if match is None else match[1]

    @property
    def page(self) -> str:
        """Where the data set is found: its page, or its DOI as one; ``""`` where it has neither."""
        return self.url or (f"https://doi.org/{self.bare_doi}" if self.bare_doi else "")

    @property
    def citation(self) -> str:
        """One line by which it is cited."""
        who = "; ".join(one.name for one in self.people)
        where = f" {self.page}" if self.page else ""
        return f"{who} ({self.day[:4]}). {self.title}, version {self.version}.{where}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, from which :func:`card_settings` makes the same; the day of the first time stays."""
        return {**asdict(self), "authors": list(self.authors), "keywords": list(self.keywords), "date": self.day}


def card_settings(content: Mapping[str, Any]) -> CardSettings:
    """Settings from plain data, strictly.

    Args:
        content: fields by name.

    Raises:
        ConfigError: for an unknown, missing or wrong field.
    """
    return from_mapping(CardSettings, dict(content), "card")


def read_card_file(path: Path) -> dict[str, Any]:
    """Fields from a YAML file; ``licence_file`` in it is a path relative to it.

    Raises:
        ConfigError: when it cannot be read or is no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: expected a YAML file with title, authors and licence, got: {error_line(error)}."
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected fields such as 'title: ...', got none. See docs/card.md.")
    if isinstance(content.get("date"), datetime.date):  # YAML reads a bare day as one
        content["date"] = content["date"].isoformat()
    if isinstance(content.get("version"), (int, float)):
        content["version"] = str(content["version"])
    file = content.pop("licence_file", None)
    return content if file is None else {**content, "licence_text": read_licence(path.parent / str(file))}


def read_licence(path: Path) -> str:
    """Text of a licence of one's own; ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: expected the text of a licence, got: {error_line(error)}. Check the path."
        ) from error


def _wrong(name: str, expected: str, got: str) -> ConfigError:
    """The error of a field; a form shows it beside that field."""
    return ConfigError(
        f"card: {name}: expected {expected}, got {got!r}. Give --{name.split()[0]}, or write it in the file."
    )
