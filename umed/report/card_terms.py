# SPDX-License-Identifier: Apache-2.0
"""What others may do with a release: the licences that a card offers, and the terms in umed's own words.

Nothing here is legal advice, and each text says so. A licence of Creative Commons is never changed: where training is
to be forbidden beside one, that stands in terms of access of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from string import Template

from umed.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Licence:
    """A licence that can be chosen.

    Args:
        title: for people.
        about: what it does, and what it cannot do, in a sentence or two.
        link: where its text lies; ``"TERMS.md"`` where that is the text.
        hub: identifier of it at Hugging Face; ``"other"`` for one that is not in its list.
        zenodo: identifier of it at Zenodo; ``""`` where Zenodo has none.
        reserves: whether training without permission is reserved, so that it can be told to machines.
        template: file of terms in ``umed/report/templates``; ``""`` where there are none.
    """

    title: str
    about: str
    link: str
    hub: str
    zenodo: str
    reserves: bool
    template: str


BY_NC, BY = "https://creativecommons.org/licenses/by-nc/4.0/", "https://creativecommons.org/licenses/by/4.0/"
TERMS = "TERMS.md"
LICENCES = {
    "research-no-training": Licence(
        "Research use, no training without permission",
        "Terms in umed's words: look, cite, teach and evaluate; no training, no removal of the protection. "
        "It is no standard licence.",
        *(TERMS, "other", "", True, "terms_research.md"),
    ),
    "cc-by-nc-no-training": Licence(
        "CC BY-NC 4.0, with terms of access that forbid training without permission",
        "The licence as it is, and terms of access beside it. Who never agreed to the terms has the licence alone, "
        "which allows non-commercial training.",
        *(BY_NC, "other", "cc-by-nc-4.0", True, "terms_access.md"),
    ),
    "cc-by": Licence(
        "CC BY 4.0",
        "It allows training, by anybody, for money too. It cannot forbid it; then no reservation is written.",
        *(BY, "cc-by-4.0", "cc-by-4.0", False, ""),
    ),
    "file": Licence(
        "A licence of its own",
        "Your text, from --licence-file, as it is. Whether training is reserved you say with --reserve.",
        *(TERMS, "other", "", False, ""),
    ),
}
"""What ``umed card --licence`` takes."""


def find_licence(name: str) -> Licence:
    """Look one up; ConfigError names those that there are."""
    if name not in LICENCES:
        raise ConfigError(
            f"--licence: expected one of {', '.join(LICENCES)}, got {name or 'none'!r}.{did_you_mean(name, LICENCES)}"
        )
    return LICENCES[name]


def terms_text(licence: Licence, title: str, owner: str, contact: str) -> str:
    """The terms of a licence for a data set; ``""`` where it has none.

    Args:
        licence: that was chosen.
        title: of the data set.
        owner: who may give permission.
        contact: where to ask for it.
    """
    if not licence.template:
        return ""
    text = (resources.files("umed.report") / "templates").joinpath(licence.template).read_text(encoding="utf-8")
    return Template(text).substitute(title=title, owner=owner, contact=contact)
