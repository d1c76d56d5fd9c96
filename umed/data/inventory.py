# SPDX-License-Identifier: Apache-2.0
"""Every file below a data set's root, and what each is that belongs to no case; links are listed and never followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from umed.core.types import Case, Dataset
from umed.data import formats, layouts, planes
from umed.data.accounting import Accounting, FileEnd, make_accounting
from umed.data.files import PROPOSALS, RECORDS, TEMPORARY
from umed.data.layout_names import IMAGE_SUFFIXES, LABEL_SUFFIXES
from umed.data.plain_text import carry_fault, is_document

HEAD = 560
"""First bytes of a file that are looked at: enough for DICOM's prefix and the headers of NIfTI."""
LONGEST = 255 - len(TEMPORARY)
"""Bytes of a name that may stand behind that of a file which is being written."""
UNREAD = frozenset(
    ".mha .mhd .nrrd .nhdr .gipl .gipl.gz .mgz .mgh .mnc .hdr .img .img.gz .par .rec .ima .dicom .dcm .vtk .vti .mrc "
    ".bmp .gif .webp .jp2 .j2k .jpx .jxl .heic .heif .avif .ppm .pgm .pbm .pnm .pam .tga .psd .exr .svg .eps .svs "
    ".ndpi .mrxs .scn .bif .vsi .vms .qptiff .czi .lif .oib .oif .nd2 .ims .lsm .dv .npy .npz .mat .h5 .hdf5 .hdf "
    ".raw .zraw .mp4 .avi .mov .mkv .wmv .mpg .mpeg .rtstruct .stl .gii .b2nd".split()
)
"""Endings of images, masks and arrays; those that :mod:`umed.data.formats` reads are taken out where they are used."""
_FOLDERS = (".zarr", ".n5", ".ome")
"""Endings of folders that are one image."""
_ARCHIVES = frozenset(".zip .tar .tgz .tbz .txz .gz .bz2 .xz .zst .7z .rar .iso .dmg".split())
_MAGIC = (b"DICM", b"ObjectType", b"NRRD000", b"\x89HDF\r\n", b"\0\0\0\x0cjP  ", b"8BPS", b"SIMPLE  =", b"CDF\x01")
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_SYSTEM = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".localized", ".directory"})
_VERSIONS = frozenset({".git", ".svn", ".hg", ".datalad", ".dvc", ".venv", "__pycache__", ".ipynb_checkpoints"})
"""Folders of programs; what lies in them is not looked at."""
_APPLE = (b"\0\x05\x16\x07", b"\0\x05\x16\0")
_LABELS = re.compile(r"(?i)(labels?|masks?|segmentations?|annotations?|gt|ground[ _-]?truth)(tr|ts|val)?")
_READ_ONLY = "is read by umed and not released"


class FolderEntry(NamedTuple):
    """One thing below a root that is no plain folder.

    Args:
        name: relative, with ``/``.
        kind: a file; a link; neither; or a folder that cannot be read.
        reason: why it cannot be read.
    """

    name: str
    kind: Literal["file", "link", "special", "unreadable"]
    reason: str = ""


def walk(root: Path) -> Iterator[FolderEntry]:
    """Everything below a folder, each once, in an order that does not hang on the system; no link is followed.

    Args:
        root: the folder.

    Yields:
        Files, links, special files, and folders that cannot be read; memory holds one folder of each depth.
    """
    waiting: list[str] = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(root / below) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield FolderEntry(below or ".", "unreadable", error.strerror or type(error).__name__)
            continue
        folders = []
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except OSError as error:
                yield FolderEntry(name, "unreadable", error.strerror or type(error).__name__)
                continue
            if stat.S_ISDIR(mode):
                folders.append(name)
            else:
                yield FolderEntry(name, "file" if stat.S_ISREG(mode) else "link" if stat.S_ISLNK(mode) else "special")
        waiting += reversed(folders)


def settle(dataset: Dataset) -> Dataset:
    """Take out the cases that no record could tell rightly, or whose files would overwrite those of others.

    Args:
        dataset: from a layout.

    Returns:
        The data set; what was taken out is among its problems.
    """
    outputs = {
        path
        for case in dataset.cases
        for image, out in zip(case.images, case.outputs, strict=True)
        for path in formats.with_companions(dataset.root, image, out)
    }
    kept, problems = [], list(dataset.problems)
    for case in dataset.cases:
        names = [path.as_posix() for path in (*case.images, *case.labels, *case.outputs)]
        odd = next((name for name in names if not name.isprintable()), None)
        masks = (path for mask in case.labels for path in formats.with_companions(dataset.root, mask))
        double = next((path for path in masks if path in outputs), None)
        long = next((name for name in names if len(os.fsencode(PurePosixPath(name).name)) > LONGEST), None)
        if long is not None:
            problems.append((long, f"expected a name of at most {LONGEST} bytes, got a longer one; rename the file"))
        elif odd is not None:
            problems.append((names[0], "expected a name of printable characters, got others; rename the file"))
        elif not case.labels and not all(formats.ending(path) for path in case.images):
            continue  # what it is, and whether a label lies beside it, is said of each file
        elif double is not None:
            reason = f"expected a label of its own, got {double.as_posix()}, which an image is written to; rename it"
            problems.append((names[0], reason))
        else:
            kept.append(case)
    return dataset if len(kept) == len(dataset.cases) else replace(dataset, cases=tuple(kept), problems=tuple(problems))


def may_be_image(name: str) -> bool:
    """Whether a file is called like an image, a mask or an array, in a format that is read or in any other.

    >>> may_be_image("a/b.MHA"), may_be_image("a.zarr/0/0"), may_be_image("notes.txt")
    (True, True, False)
    """
    pure = PurePosixPath(name)
    if any(part.lower().endswith(_FOLDERS) for part in pure.parts[:-1]):
        return True
    return bool(formats.ending(Path(pure.name))) or formats.looks_like_image(Path(pure.name)) or bool(_unread(name))


def _unread(name: str) -> str:
    own = name.lower()
    return max((known for known in UNREAD if own.endswith(known)), key=len, default="")


def is_system(name: str, head: bytes = b"") -> bool:
    """Whether a file was left by a system or a program beside the data.

    Args:
        name: relative.
        head: its first bytes, by which a resource fork is told from a hidden image.
    """
    *folders, own = PurePosixPath(name).parts or ("",)  # the root itself, where it cannot be read
    if own.lower() in _SYSTEM or _VERSIONS.intersection(folders):
        return True
    return (own.startswith("._") or "__MACOSX" in folders) and (not head or head.startswith(_APPLE))


def find_carried(dataset: Dataset, everything: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Documents that go along into a release, byte for byte.

    Args:
        dataset: the data set; its sidecars always go along.
        everything: all documents do (``--carry``).

    Returns:
        Names, with what each is; and names with reasons of those that may not, although they were to.
    """
    wanted = {path.as_posix(): "goes with the data" for path in dataset.sidecars}
    taken = {path.as_posix() for case in dataset.cases for path in (*case.images, *case.labels, *case.outputs)}
    own = layouts.index_sources(dataset) | {source.as_posix() for _, source, _ in dataset.companions}
    if everything:
        for entry in walk(dataset.root):
            parts = PurePosixPath(entry.name).parts
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts) or is_system(entry.name)
            if entry.kind == "file" and is_document(entry.name) and not hidden and parts[0] != RECORDS:
                wanted.setdefault(entry.name, "a document, as --carry asks")
    carried, refused = dict[str, str](), dict[str, str]()
    for name, why in wanted.items():
        if name in taken or name in own or name == PROPOSALS:
            continue
        around = {parent.as_posix() for parent in PurePosixPath(name).parents}
        if not name.isprintable():
            fault = "expected a name of printable characters, got others; rename the file"
        elif may_be_image(name):
            fault = "is called like an image"
        elif around & taken:
            fault = "expected a folder that no image is named like, got one; rename it"
        else:
            fault = carry_fault(dataset.root / name)
        if fault:
            refused[name] = fault
        else:
            carried[name] = why
    return carried, refused


def account(
    dataset: Dataset,
    fates: Mapping[str, tuple[str, str]],
    carried: Mapping[str, str],
    refused: Mapping[str, str],
) -> Accounting:
    """Give every file of a data set its end.

    Args:
        dataset: the data set.
        fates: for each case one of :data:`umed.data.accounting.ENDS`, and why.
        carried: documents that go along, with what each is.
        refused: documents that were to, with why they do not.

    Returns:
        The accounting; each file once, whatever the layout made of it.
    """
    entries = {entry.name: entry for entry in walk(dataset.root)}
    ends, unmatched = dict[str, FileEnd](), list[tuple[str, str]]()
    through: dict[str, tuple[str, FileEnd]] = {}
    for case in dataset.cases:
        for one in _case_files(dataset, case, *fates[case.id]):
            if one.name not in entries or entries[one.name].kind == "link":
                real = _inside(dataset.root, one.name)
                if real is not None:
                    _keep(through, real, one)
                elif one.name not in entries:
                    unmatched.append((one.name, "is listed or expected, but it is not there"))
            if one.name in entries:
                before = ends.get(one.name)
                ends[one.name] = one if before is None else make_accounting([before, one]).files[0]
    problems, carried = dict(dataset.problems), {**carried, **_with_cases(dataset, fates)}
    own = layouts.index_sources(dataset)
    unmatched += [(name, why) for name, why in dataset.problems if name not in entries or name in ends]
    looked = {
        name: _classify(dataset, entry, problems, carried, refused, through, own)
        for name, entry in entries.items()
        if name not in ends
    }
    _say_labels(looked)
    return make_accounting([*ends.values(), *looked.values()], unmatched)


def _with_cases(dataset: Dataset, fates: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Files that go with a released case, such as the table of a BIDS mask."""
    gone = ((case, source.as_posix()) for case, source, _ in dataset.companions)
    return {name: f"goes with {case}" for case, name in gone if fates[case][0] != "left out"}


def _case_files(dataset: Dataset, case: Case, end: str, why: str) -> Iterator[FileEnd]:
    """Images and labels of a case, each with the files that belong to it."""
    out = end == "left out"
    grave = out and not (case.id in dataset.split and not case.labels)
    for image in case.images:
        for path in formats.with_companions(dataset.root, image):
            yield FileEnd(path.as_posix(), end, "image", why, grave, case.id)
    for mask in case.labels:
        label = (end, why) if out else ("unchanged", "a label, byte for byte")
        for path in formats.with_companions(dataset.root, mask):
            yield FileEnd(path.as_posix(), label[0], "label", label[1], grave, case.id)


def _keep(through: dict[str, tuple[str, FileEnd]], real: str, one: FileEnd) -> None:
    through.setdefault(real, (one.name, one))


def _inside(root: Path, name: str) -> str | None:
    """Real name of what is there, relative to the root; ``None`` for nothing, or what lies outside."""
    real, base = os.path.realpath(root / name), os.path.realpath(root)
    if not os.path.lexists(real) or os.path.commonpath([real, base]) != base:
        return None
    return os.path.relpath(real, base).replace(os.sep, "/")


def _classify(
    dataset: Dataset,
    entry: FolderEntry,
    problems: Mapping[str, str],
    carried: Mapping[str, str],
    refused: Mapping[str, str],
    through: Mapping[str, tuple[str, FileEnd]],
    own: Collection[str],
) -> FileEnd:
    """What becomes of a file that belongs to no case, and why."""
    name = entry.name
    if name in through:
        link, one = through[name]
        return one._replace(name=name, why=f"through the link {link}" + (f": {one.why}" if one.why else ""))
    if name in carried:
        return FileEnd(name, "carried", "document", carried[name])
    if name in refused:
        return FileEnd(name, "left out", "document", refused[name], True)
    if name in own:
        return FileEnd(name, "carried", "index", "written anew for what is released")
    if entry.kind == "link":
        return _link(dataset.root, name, problems.get(name, ""))
    if entry.kind == "unreadable":
        return FileEnd(name, "left out", "unreadable", f"cannot be read ({entry.reason}); give yourself access", True)
    if entry.kind == "special":
        return FileEnd(name, "left out", "special", "is no plain file", may_be_image(name) or name in problems)
    try:
        with open(dataset.root / name, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return FileEnd(name, "left out", "unreadable", f"cannot be read ({error.strerror}); give yourself access", True)
    return _plain(dataset, name, head, problems.get(name, ""))


def _link(root: Path, name: str, problem: str) -> FileEnd:
    grave = bool(problem) or not is_document(name)
    target = os.path.realpath(root / name)
    if not os.path.exists(target):
        return FileEnd(name, "left out", "link", problem or "is a link to nothing", grave)
    if _inside(root, name) is None:
        why = problem or "is a link that leads out of INPUT; put the file itself there"
        return FileEnd(name, "left out", "link", why, grave)
    what = "folder" if os.path.isdir(target) else "file"
    return FileEnd(name, "left out", "link", f"is a link to a {what} of INPUT, which is accounted for where it lies")


def _plain(dataset: Dataset, name: str, head: bytes, problem: str) -> FileEnd:
    """A plain file by name and first bytes."""
    parts = PurePosixPath(name).parts
    if name == PROPOSALS or (parts[0] == RECORDS and parts[1:] in (("manifest.json",), ("about.html",))):
        return FileEnd(name, "left out", "other", _READ_ONLY if name == PROPOSALS else "is umed's, of an earlier run")
    if not problem and is_system(name, head):
        return FileEnd(name, "left out", "system", "is hidden, or a system's own")
    picture = planes.is_picture(head) or head.startswith(_MAGIC) or head[128:132] == b"DICM"
    if problem or picture or may_be_image(name):
        return _image(dataset, name, head, problem, picture)
    if any(part.startswith(".") for part in parts):
        return FileEnd(name, "left out", "system", "is hidden, or a system's own")
    if PurePosixPath(name).suffix.lower() in _ARCHIVES or head.startswith(_PACKED) or head[257:262] == b"ustar":
        packed = "is packed, and nothing in it was looked at; unpack it if it holds data, or move it away"
        office = PurePosixPath(name).suffix.lower() in (".docx", ".xlsx", ".pptx", ".odt", ".ods")
        if not office:
            return FileEnd(name, "left out", "archive", packed, True)
    if is_document(name):
        return FileEnd(name, "left out", "document", "is a document, which only --carry takes along")
    return FileEnd(name, "left out", "other", "is neither image nor label nor text")


def _image(dataset: Dataset, name: str, head: bytes, problem: str, picture: bool) -> FileEnd:
    own = Path(PurePosixPath(name).name)
    if formats.ending(own):
        kind = "label" if _is_label(name) else "image"
        why = problem or ("is empty" if not head else f"belongs to no case of the {dataset.layout} layout")
        return FileEnd(name, "left out", kind, why, True)
    if problem:
        return FileEnd(name, "left out", "format" if may_be_image(name) else "other", problem, True)
    ending = own.suffix.lower()
    step = formats.KNOWN_BUT_REFUSED.get(ending, "convert it to .nii.gz, PNG or TIFF")
    if picture and not may_be_image(name):
        return FileEnd(name, "left out", "format", "holds an image, which its name does not say; rename it", True)
    return FileEnd(
        name, "left out", "format", f"{_unread(name) or ending or 'this'} is a format not read; {step}", True
    )


def _is_label(name: str) -> bool:
    *folders, own = PurePosixPath(name).parts
    if any(_LABELS.fullmatch(folder) for folder in folders):
        return True
    stem = _stem(own)
    return any(suffix and stem.endswith(suffix) for suffix in LABEL_SUFFIXES)


def _stem(name: str) -> str:
    own = PurePosixPath(name).name.lower()
    known = formats.ending(Path(own)) or _unread(own) or PurePosixPath(own).suffix
    return own[: len(own) - len(known)]


def _bare(name: str) -> str:
    """What an image and its label have in common."""
    stem = re.sub(r"_\d{4}$", "", _stem(name))
    for suffix in (*LABEL_SUFFIXES, *IMAGE_SUFFIXES):
        stem = stem.removesuffix(suffix) if suffix else stem
    return stem


def _say_labels(looked: dict[str, FileEnd]) -> None:
    """Say of images in no case which label seems to be theirs."""
    labels: dict[str, str] = {}
    for name, one in looked.items():
        if one.grave and one.kind in ("label", "format") and _is_label(name):
            labels.setdefault(_bare(name), name)
    for name, one in looked.items():
        if one.grave and one.kind in ("image", "format") and not _is_label(name) and _bare(name) in labels:
            looked[name] = one._replace(why=f"{one.why}; its label seems to be {labels[_bare(name)]}")
