# SPDX-License-Identifier: Apache-2.0
"""Protected cases in which hardly anything could change, as a summary names them; see :mod:`umed.plan.changeable`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from umed.core.types import Outcome

EXAMPLES = 3
"""Cases of each kind that are named."""
CURE = (
    "their images are released, all but unprotected: give a --range (or --set percentiles=[0,100]) that holds what is "
    "labelled, or leave these cases out"
)


def weak_cases(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those that are weak."""
    return [one for one in outcomes if one.status == "protected" and one.measures.get("weak")]


def weak_lines(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Lines for people: how many, why, three examples of each kind, and what to do."""
    found = weak_cases(outcomes)
    if not found:
        return
    yield f"weak: {len(found)} case{'s' if len(found) > 1 else ''}: {CURE}"
    kinds: dict[str, list[Outcome]] = {}
    for one in found:
        kinds.setdefault(re.sub(r"-?[0-9.]+(e[+-]?[0-9]+)?", "", str(one.measures["weak"])), []).append(one)
    for alike in kinds.values():
        named = "; ".join(f"{one.id}: {one.measures['weak']}" for one in alike[:EXAMPLES])
        more = f"; and {len(alike) - EXAMPLES} more" if len(alike) > EXAMPLES else ""
        yield f"  weak: {named}{more}"
