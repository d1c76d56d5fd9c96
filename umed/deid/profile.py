# SPDX-License-Identifier: Apache-2.0
"""De-identification profiles: the basic one of PS3.15 Annex E, its options, and the rules of a site, from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydicom.datadict import tag_for_keyword

from umed.core.errors import ConfigError, did_you_mean, error_line
from umed.core.shipped import parse_yaml, shipped_names, shipped_text
from umed.deid.table import OPTIONS

KEYS = ("profile", "options", "remove", "safe_private", "burned_in")
RULE_KEYS = (
    "modality", "manufacturer", "model", "rows", "columns", "rectangles", "outside_ultrasound_regions",
)  # fmt: skip
PRIVATE_VRS = frozenset(("CS", "DS", "FD", "FL", "IS", "SH", "SL", "SS", "UL", "US"))
Rectangle = tuple[int, int, int, int]
"""Top, left, height, width in pixels."""


@dataclass(frozen=True)
class BurnedRule:
    """Which pictures of a device have text burned in where; empty text and 0 match everything.

    Args:
        modality: Modality.
        manufacturer: Manufacturer, may hold ``*`` and ``?``; case does not count.
        model: ManufacturerModelName, likewise.
        rows: Rows.
        columns: Columns.
        rectangles: what is blanked.
        outside_ultrasound_regions: blank all but the regions that the file declares (PS3.3 C.8.5.5).
    """

    modality: str = ""
    manufacturer: str = ""
    model: str = ""
    rows: int = 0
    columns: int = 0
    rectangles: tuple[Rectangle, ...] = ()
    outside_ultrasound_regions: bool = False


@dataclass(frozen=True)
class Profile:
    """What is done with the attributes of a data set.

    Args:
        name: for people and reports.
        options: names from :data:`umed.deid.table.OPTIONS`, sorted, without ``basic``.
        remove: tags that go beyond the table.
        technique: tags of unlisted text that stays.
        safe_private: VR by ``(creator, group, low byte of the element)``.
        burned_in: rules for text in the picture.
    """

    name: str
    options: tuple[str, ...]
    remove: frozenset[int]
    technique: frozenset[int]
    safe_private: Mapping[tuple[str, int, int], str]
    burned_in: tuple[BurnedRule, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of CID 7050 for the profile and the options that act on attributes (not on pixels)."""
        return (OPTIONS["basic"], *(OPTIONS[name] for name in self.options if name != "clean_pixel_data"))


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    return shipped_names("deid")


def load_profile(name_or_path: str | Path = "basic") -> Profile:
    """Read a profile: a shipped name, several joined by ``+``, or a YAML file.

    A file may name the shipped profile that it builds on (``profile``), more ``options``, tags to ``remove``,
    ``safe_private`` attributes and ``burned_in`` rules; see ``umed/core/defaults/deid/``.

    Raises:
        ConfigError: for an unknown name, key or option, and for rules that cannot be followed.

    >>> load_profile("longitudinal+device_identity").options
    ('retain_device_identity', 'retain_long_modified_dates')
    """
    parts = _read(str(name_or_path), frozenset())
    options = sorted({option for part in parts for option in part["options"]})
    if {"retain_long_full_dates", "retain_long_modified_dates"} <= set(options):
        raise ConfigError(
            f"{name_or_path}: options: expected full dates or modified dates, got both. Drop retain_long_full_dates."
        )
    rules = tuple(_rule(part["where"], rule) for part in parts for rule in part["burned_in"])
    _check_kept_uids(str(name_or_path), options, rules)
    lists = _shipped("lists/technique.yaml")
    safe: dict[tuple[str, int, int], str] = {}
    if "retain_safe_private" in options:
        safe = _private("lists/safe_private.yaml", _shipped("lists/safe_private.yaml"))
        for part in parts:
            safe |= _private(part["where"], part["safe_private"])
    else:
        for part in parts:
            if part["safe_private"]:
                raise ConfigError(
                    f"{part['where']}: safe_private: expected the option retain_safe_private beside it, got none, and "
                    "without it all private attributes are removed. Add it to options, or drop the list."
                )
    removed = {_tag("technique.yaml", word) for word in lists["remove"] if tag_for_keyword(word) is not None}
    removed |= {_tag(part["where"], word) for part in parts for word in part["remove"]}
    technique = frozenset(_tag("technique.yaml", word) for word in lists["text"])
    return Profile(str(name_or_path), tuple(options), frozenset(removed), technique, safe, rules)


def _check_kept_uids(where: str, options: list[str], rules: tuple[BurnedRule, ...]) -> None:
    """Refuse what UIDs that stay would undo or make wrong."""
    if "retain_uids" not in options:
        return
    if "retain_long_modified_dates" in options:
        raise ConfigError(
            f"{where}: options: expected retain_uids or retain_long_modified_dates, got both. UIDs of many devices "
            "hold the day on which they were made; beside a moved date that gives the shift. Drop one of them."
        )
    if rules:
        raise ConfigError(
            f"{where}: burned_in: expected no rules beside retain_uids, got some. A picture whose pixels change is "
            "another one and needs a new UID (PS3.3 C.7.6.1.1.2). Drop the rules or retain_uids."
        )


def _shipped(name: str) -> dict[str, Any]:
    return dict(parse_yaml(shipped_text(f"deid/{name}")))


def _read(name: str, seen: frozenset[str]) -> list[dict[str, Any]]:
    """Records of a profile and of those that it builds on, innermost first."""
    if name in seen:
        raise ConfigError(f"{name}: builds on itself. Let 'profile' name a shipped one, such as basic.")
    is_path = name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name
    if not is_path and "+" in name:
        return [record for part in name.split("+") for record in _read(part.strip(), seen)]
    if is_path:
        try:
            loaded = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{name}: cannot be read as a profile ({type(error).__name__}). Check the path."
            ) from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{name}: no valid YAML: {error_line(error)}") from None
    elif name in profile_names():
        loaded = _shipped(f"{name}.yaml")
    else:
        known = profile_names()
        raise ConfigError(f"profile: expected one of {', '.join(known)} or a .yaml file, got {name!r}."
                          f"{did_you_mean(name, known)}")  # fmt: skip
    if not isinstance(loaded, dict):
        raise ConfigError(f"{name}: expected keys such as 'options: [...]', got {type(loaded).__name__}.")
    _known(name, "key", loaded, KEYS)
    record = {"where": name, "options": [], "remove": [], "safe_private": {}, "burned_in": []} | {
        key: value for key, value in loaded.items() if value is not None
    }
    for key in ("options", "remove", "burned_in"):
        if not isinstance(record[key], list):
            raise ConfigError(f"{name}: {key}: expected a list, got {record[key]!r}.")
    _known(name, "option", record["options"], [option for option in OPTIONS if option != "basic"])
    base = str(record.get("profile", "basic"))
    return ([] if base == name else _read(base, seen | {name})) + [record]


def _known(where: str, what: str, given: Any, known: Any) -> None:
    for word in given:
        if word not in known:
            raise ConfigError(f"{where}: unknown {what} {word!r}; expected {', '.join(known)}."
                              f"{did_you_mean(str(word), known)}")  # fmt: skip


def _tag(where: str, word: Any) -> int:
    """A tag by keyword or as ``"gggg,eeee"``."""
    tag = tag_for_keyword(str(word))
    if tag is not None:
        return int(tag)
    bare = str(word).strip("()").replace(",", "")
    if len(bare) == 8 and all(letter in "0123456789abcdefABCDEF" for letter in bare):
        return int(bare, 16)
    raise ConfigError(f"{where}: expected a DICOM keyword or a tag such as '0010,0010', got {word!r}.")


def _private(where: str, entries: Any) -> dict[tuple[str, int, int], str]:
    found = {}
    try:
        for creator, attributes in entries.items():
            for place, vr in attributes.items():
                group, _, element = str(place).partition(",")
                found[str(creator), int(group, 16), int(element, 16)] = str(vr)
                if vr not in PRIVATE_VRS or not int(group, 16) & 1 or not 0 <= int(element, 16) <= 0xFF:
                    raise ValueError(place)
    except (AttributeError, ValueError):
        raise ConfigError(
            f"{where}: safe_private: expected 'CREATOR: {{\"0019,0C\": IS}}' with an odd group, the low byte of the"
            f" element and one of {', '.join(sorted(PRIVATE_VRS))}, got {entries!r:.80}."
        ) from None
    return found


def _rule(where: str, rule: Any) -> BurnedRule:
    if not isinstance(rule, dict):
        raise ConfigError(f"{where}: burned_in: expected rules with keys {', '.join(RULE_KEYS)}, got {rule!r:.80}.")
    _known(where, "burned_in key", rule, RULE_KEYS)
    try:
        boxes = tuple(tuple(int(number) for number in box) for box in rule.get("rectangles", ()))
        if any(len(box) != 4 or min(box) < 0 or box[2] < 1 or box[3] < 1 for box in boxes):
            raise ValueError
        made = BurnedRule(
            str(rule.get("modality", "")),
            str(rule.get("manufacturer", "")),
            str(rule.get("model", "")),
            int(rule.get("rows", 0)),
            int(rule.get("columns", 0)),
            tuple((box[0], box[1], box[2], box[3]) for box in boxes),
            rule.get("outside_ultrasound_regions", False) is True,
        )
    except (TypeError, ValueError):
        raise ConfigError(
            f"{where}: burned_in: expected rectangles [[top, left, height, width], ...] in pixels and whole rows and"
            f" columns, got {rule!r:.80}."
        ) from None
    if made.rectangles and not (made.rows and made.columns):
        raise ConfigError(f"{where}: burned_in: a rule with rectangles must name rows and columns, since sizes differ.")
    outside = [box for box in made.rectangles if box[0] + box[2] > made.rows or box[1] + box[3] > made.columns]
    if outside:  # text that it was meant to cover would go out
        raise ConfigError(
            f"{where}: burned_in: expected rectangles [top, left, height, width] within {made.rows} rows and "
            f"{made.columns} columns, got {list(outside[0])}. Correct the rectangle, or rows and columns."
        )
    if not made.rectangles and not made.outside_ultrasound_regions:
        raise ConfigError(f"{where}: burned_in: a rule must have rectangles or outside_ultrasound_regions: true.")
    return made
