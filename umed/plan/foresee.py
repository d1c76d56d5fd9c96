# SPDX-License-Identifier: Apache-2.0
"""What can be known of each case before a run from its values and the ranges of the plan alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from umed.core.config import Settings
from umed.core.errors import ConfigError
from umed.core.ranges import Range, is_each, range_of_each
from umed.plan.changeable import WEAK
from umed.plan.facts import CaseFacts, Facts
from umed.plan.planning import Plan
from umed.plan.range_choice import Choice, choose_ranges
from umed.plan.range_fit import misfit_of_case


def foresee(facts: Facts, plan: Plan | Settings) -> Facts:
    """Say of each case whether it will be refused or weak, as far as the range alone decides it.

    Args:
        facts: from :func:`umed.plan.facts.gather`.
        plan: the plan, or settings, of which only the ranges are then resolved.

    Returns:
        The facts: the action of a case that does not fit the range is ``"refuse"``, and ``why`` says what was seen.
        Where the values leave the range open, each case that would be protected says so.
    """
    try:
        choice = Choice(plan.range, (), plan.seen) if isinstance(plan, Plan) else choose_ranges(facts, plan)
    except ConfigError as error:
        open_ = [replace(one, why=_joined(one.why, str(error))) if _kept(one) else one for one in facts.cases]
        return replace(facts, cases=tuple(open_))
    usual = plan.percentiles == Settings.percentiles  # those that were measured
    return replace(facts, cases=tuple(_case(one, choice, usual) if _kept(one) else one for one in facts.cases))


def _kept(case: CaseFacts) -> bool:
    return case.action == "protect" and bool(case.values)


def _case(case: CaseFacts, choice: Choice, usual: bool) -> CaseFacts:
    if is_each(choice.range) and len(choice.range) != len(case.values):
        return case  # said when the budget is made
    each = range_of_each(choice.range, len(case.values), case.id)
    text = misfit_of_case(case.values, each, choice.seen) or _flat(case, each, usual)
    if text:
        return replace(case, action="refuse", why=_joined(text, case.why))
    shares = list(_shares(case, each, usual))
    if not shares:
        return case
    share, channel = max(shares) if case.colour else min(shares)
    if share >= WEAK:
        return case
    which = f" in channel {channel}" if len(each) > 1 and not case.colour else ""
    rest = "the rest lies outside the range or at its end"
    weak = f"weak: about {share:.0%} of the labelled values{which} can change freely; {rest}"
    return replace(case, why=_joined(weak, case.why), weak=True)


def _flat(case: CaseFacts, each: tuple[Range, ...], usual: bool) -> str:
    """Why percentiles span no range, where they would be a channel's own; of others than the usual ones only all."""
    for channel, (values, own) in enumerate(zip(case.values, each, strict=True)):
        low, high = (values.low, values.high) if usual else (values.least, values.most)
        if own == "percentile" and len(case.values) in (1, case.parts) and low == high:
            which = f"channel {channel}: " if len(each) > 1 else ""
            return f"{which}expected values that differ, got {low:g} at both percentiles; give a --range"
    return ""


def _shares(case: CaseFacts, each: tuple[Range, ...], usual: bool) -> Iterator[tuple[float, int]]:
    """Share of the labelled values that is free, and the channel, where the range tells it."""
    for channel, (values, own) in enumerate(zip(case.values, each, strict=True)):
        if not isinstance(own, str):
            yield values.share_within(*own), channel
        elif own == "dtype" and values.ends is not None:
            yield values.share_within(*values.ends), channel
        elif own == "percentile" and usual and len(case.values) in (1, case.parts):
            yield values.share_within(values.low, values.high), channel


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
