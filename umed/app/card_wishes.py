# SPDX-License-Identifier: Apache-2.0
"""What the page's form for the card of a release asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CardWishes:
    """What the release says of itself, see ``umed card``.

    Args:
        title: name of the data set.
        authors: one each.
        contact: where permission to train can be asked for.
        licence: name of a licence.
        description: what was imaged, how, and who drew the masks.
    """

    title: str = ""
    authors: tuple[str, ...] = ()
    contact: str = ""
    licence: str = ""
    description: str = ""

    def words(self) -> list[str]:
        """Options of ``umed card``; an empty field gives none."""
        named = {"title": self.title, "contact": self.contact, "licence": self.licence, "description": self.description}
        return [
            *(f"--{name}={value}" for name, value in named.items() if value),
            *(f"--author={one}" for one in self.authors),
        ]
