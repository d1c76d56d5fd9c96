# SPDX-License-Identifier: Apache-2.0
r"""Mapping files: patterns that say where images and masks lie, for folders of any other layout (``--layout``).

For example::

    images: "scans/{case}_{channel}.nii.gz"
    channels: [t1, t2]                      # order of {channel}; by name where left out
    labels: "rois/{case}/{class}.nii.gz"    # without {class}: label maps, united where a case has several
    classes: {liver: 1, spleen: 2}          # numbers of {class}; by sorted name where left out
    modality: [MR, MR]                      # of each channel, as in dataset.json
    split: ["test_*"]                       # cases of a test split

A pattern is a glob relative to the data set (``*``, ``?``, ``[abc]`` within a folder, ``**`` over folders) with the
fields ``{case}``, ``{channel}``, ``{class}``, and ``{part}`` for what makes a case's name unique (a split, a site),
which stand for a part of a name; ``{case:[0-9]+}`` gives a field a regular expression of its own, and ``re:`` in front
makes all of it one, with groups ``(?P<case>...)``. ``images`` and ``labels`` may be lists; what both match is a mask.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from umed.core.errors import ConfigError, InputError, did_you_mean
from umed.core.types import Dataset
from umed.data.case_collector import CaseCollector, FolderTree

KEYS = ("images", "channels", "labels", "classes", "modality", "split")
FIELDS = ("case", "channel", "class", "part")
_ALLOWED = "{case}, {channel}, {class} or {part}"
_PART = re.compile(
    r"\{(?P<field>[a-z]+)(?::(?P<own>(?:[^{}]|\{[0-9,]+\})+))?\}|(?P<deep>\*\*/)|(?P<glob>[*?])|(?P<set>\[[^]/]+\])"
)


def read_map(path: Path) -> dict[str, Any]:
    """Read a mapping file.

    Args:
        path: the file.

    Returns:
        Its content, checked: ``images`` and ``labels`` as lists of patterns, the rest as given or empty.

    Raises:
        ConfigError: naming the key that is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--layout {path}: expected a YAML file, got: {error}. Check the path.") from error
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"--layout {path}: expected YAML, got: {text}. Put patterns into quotes.") from error
    if not isinstance(content, dict) or "images" not in content:
        raise ConfigError(
            f"--layout {path}: expected a mapping with 'images', got {str(content)[:60]!r}. See --suggest."
        )
    for key in content:
        if key not in KEYS:
            raise ConfigError(
                f"--layout {path}: expected {', '.join(KEYS)}, got {key!r}.{did_you_mean(str(key), KEYS)}"
            )
    found: dict[str, Any] = {}
    for key in ("images", "labels", "channels", "modality", "split"):
        value = content.get(key)
        listed = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str | int) for one in listed):
            raise ConfigError(f"--layout {path}: {key}: expected text or a list of texts, got {value!r}.")
        found[key] = [str(one) for one in listed]
    classes = content.get("classes") or {}
    good = isinstance(classes, dict) and all(type(one) is int and 0 < one < 32768 for one in classes.values())
    if not good or len(set(classes.values())) < len(classes):
        raise ConfigError(
            f"--layout {path}: classes: expected a number of its own from 1 on for each, got {classes!r}."
        )
    found["classes"] = {str(key): number for key, number in classes.items()}
    if not found["images"]:
        raise ConfigError(f"--layout {path}: images: expected a pattern, got none.")
    return found


def to_regex(pattern: str, channels: Sequence[str] = ()) -> re.Pattern[str]:
    """Turn a pattern into a regular expression with groups ``case``, ``channel``, ``class_`` and ``part``.

    Args:
        pattern: see above.
        channels: what ``{channel}`` may be; anything if empty.

    Raises:
        ConfigError: when it has no ``{case}``, a field that is unknown, or is no regular expression.

    >>> to_regex("a/{case}_{channel}.png", ["t1", "t2"]).fullmatch("a/x_y_t2.png").groups()
    ('x_y', 't2')
    """
    try:
        if pattern.startswith("re:"):
            found = re.compile(pattern[3:].replace("(?P<class>", "(?P<class_>"))
        else:
            found = re.compile(_translate(pattern, channels))
    except re.error as error:
        raise ConfigError(
            f"layout pattern {pattern!r}: expected a pattern, got: {error}. Check its brackets."
        ) from error
    unknown = [name for name in found.groupindex if name not in ("case", "channel", "class_", "part")]
    if "case" not in found.groupindex or unknown:
        got = unknown[0] if unknown else "none"
        raise ConfigError(f"layout pattern {pattern!r}: expected {_ALLOWED}, got {got}.")
    return found


def _translate(pattern: str, channels: Sequence[str]) -> str:
    text, place, seen = "", 0, set()
    for match in _PART.finditer(pattern.removeprefix("./")):
        text += re.escape(pattern.removeprefix("./")[place : match.start()])
        place = match.end()
        if field := match["field"]:
            if field not in FIELDS:
                raise ConfigError(f"layout pattern {pattern!r}: expected {_ALLOWED}, got {{{field}}}.")
            name = "class_" if field == "class" else field
            some = "|".join(map(re.escape, sorted(channels, key=len, reverse=True)))
            what = match["own"] or (some if field == "channel" and some else "[^/]+")
            text += f"(?P={name})" if name in seen else f"(?P<{name}>{what})"
            seen.add(name)
        elif match["deep"]:
            text += r"(?:[^/]+/)*"
        elif match["glob"]:
            text += "[^/]*" if match["glob"] == "*" else "[^/]"
        else:
            text += match["set"].replace("[!", "[^")
    return text + re.escape(pattern.removeprefix("./")[place:])


def find_mapped(tree: FolderTree, path: Path) -> Dataset:
    """Find the cases that a mapping file names.

    Args:
        tree: the data set.
        path: the mapping file.

    Returns:
        The data set; images and masks that no pattern matches, and cases that lack a channel, are its problems.

    Raises:
        ConfigError: when the file is wrong, or a pattern matches nothing.
        InputError: when two files are one channel or one class of a case, or all images are masks, too.
    """
    wanted = read_map(path)
    images = _matches(tree, path, "images", wanted["images"], wanted["channels"])
    masked = _matches(tree, path, "labels", wanted["labels"], wanted["channels"])
    known = {match["case"] for name, match in images.items() if name not in masked}
    labels = _matches(tree, path, "labels", wanted["labels"], wanted["channels"], known)
    both = sorted(images.keys() & labels.keys())
    images = {name: match for name, match in images.items() if name not in labels}
    if both and not images:
        raise InputError(f"--layout {path}: expected an image or a mask, got both patterns for {both[0]}. Narrow one.")
    channels = wanted["channels"] or sorted({match["channel"] for match in images.values() if "channel" in match})
    cases: dict[str, dict[str, str]] = defaultdict(dict)
    for name, match in images.items():
        channel = match.get("channel", "")
        if channel in cases[match["case"]]:
            what = f"channel {channel} of case {match['case']}" if channel else f"case {match['case']}"
            first = cases[match["case"]][channel]
            raise InputError(
                f"--layout {path}: expected one file for {what}, got {first} and {name}. Narrow the pattern."
            )
        cases[match["case"]][channel] = name
    masks: dict[str, dict[str, str]] = defaultdict(dict)
    for name, match in labels.items():
        masks[match["case"]][name] = match.get("class_", "")
    classes = _classes(path, masks, wanted["classes"])
    collector = CaseCollector(tree, "map")
    for case, files in sorted(cases.items()):
        order = channels if "" not in files or len(files) > 1 else [""]
        lacking = [channel for channel in order if channel not in files]
        mine = masks.get(case, {})
        if lacking or len(files) != len(order):
            got = ", ".join(sorted(files)) or "none"
            reason = f"expected the channels {', '.join(order)} of case {case}, got {got}; complete it, or leave it out"
            collector.problem([*files.values(), *mine], reason)
            continue
        names = sorted(mine, key=lambda name: (classes.get(mine[name], 0), name))
        numbers = [classes[mine[name]] for name in names] if classes else []
        if len(set(numbers)) < len(numbers):
            twice = next(name for name in names if numbers.count(classes[mine[name]]) > 1)
            raise InputError(
                f"--layout {path}: expected one file for class {mine[twice]} of case {case}, got another, too."
            )
        test = any(fnmatchcase(case, one) for one in wanted["split"])
        collector.add(case, [files[channel] for channel in order], names, classes=numbers, test=test)
    for case, mine in masks.items():
        if case not in cases:
            collector.problem(mine, f"is a mask without an image of case {case}")
    return collector.done(tuple(wanted["modality"]) or tuple(channels))


def _matches(
    tree: FolderTree,
    path: Path,
    key: str,
    patterns: Sequence[str],
    channels: Sequence[str],
    known: Set[str] = frozenset(),
) -> dict[str, dict[str, str]]:
    """Fields of each file that a pattern matches; of several ways to read a name one that gives a known case."""
    found: dict[str, dict[str, str]] = {}
    for pattern in patterns:
        regex, count = to_regex(pattern, channels), 0
        if key == "images" and "class_" in regex.groupindex:
            raise ConfigError(f"--layout {path}: images: expected no {{class}}, got it in {pattern!r}.")
        if key == "labels" and "channel" in regex.groupindex:
            raise ConfigError(f"--layout {path}: labels: expected no {{channel}}, got it in {pattern!r}.")
        for name in tree.files:
            if match := regex.fullmatch(name):
                count += 1
                fields = _fields(match)
                if known and fields["case"] not in known:
                    fields = next(_other_cases(pattern, name, known), fields)
                found.setdefault(name, fields)
        if not count:
            some = ", ".join(tree.images[:3]) or "no image"
            raise ConfigError(
                f"--layout {path}: {key}: expected files that match {pattern!r}, got none below {tree.root} "
                f"(there is {some}). Mend the pattern."
            )
    return found


def _fields(match: re.Match[str]) -> dict[str, str]:
    """What a name gives; the part goes into the case."""
    fields = {field: text for field, text in match.groupdict().items() if text is not None}
    return {**fields, "case": "_".join([*([fields["part"]] if "part" in fields else []), fields["case"]])}


def _other_cases(pattern: str, name: str, known: Set[str]) -> Iterator[dict[str, str]]:
    """Other ways to read a name, in which ``{case}`` is a known case; the longest first."""
    if "{case}" not in pattern or "{part" in pattern:
        return
    parts = name.split("/")
    texts = {part[i:j] for part in parts for i in range(len(part)) for j in range(i + 1, len(part) + 1)} & known
    for text in sorted((text for text in texts if "{" not in text and "}" not in text), key=len, reverse=True):
        if match := to_regex(pattern.replace("{case}", f"{{case:{re.escape(text)}}}", 1)).fullmatch(name):
            yield _fields(match)


def _classes(path: Path, masks: Mapping[str, Mapping[str, str]], given: Mapping[str, int]) -> dict[str, int]:
    """Number of each class that occurs; empty where the masks are label maps."""
    names = {name for mine in masks.values() for name in mine.values()}
    if names <= {""}:
        return {}
    if "" in names:
        raise ConfigError(f"--layout {path}: labels: expected {{class}} in all patterns or in none, got it in some.")
    if unknown := sorted(names - given.keys()) if given else []:
        raise ConfigError(f"--layout {path}: classes: expected a number for each class, got none for {unknown[0]!r}.")
    return dict(given) or {name: number for number, name in enumerate(sorted(names), start=1)}
