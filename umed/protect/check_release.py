# SPDX-License-Identifier: Apache-2.0
"""What a steward runs before the upload: does a folder hold anything that must not be published?

Nothing is believed but the seal of the manifest: every file is read, everything packed or hidden in it is taken out,
and what comes of it is searched for keys, generators, private records, names and originals. Values of DICOM headers are
left to :func:`umed.deid.check.check`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from umed.cases.records import KEY, open_to_others, private_of
from umed.cases.source import given_path
from umed.core.errors import ConfigError, InputError, UmedError, error_line
from umed.core.keyfile import Key
from umed.core.progress import counted
from umed.core.reasons import printable
from umed.core.types import Progress
from umed.data import files, formats, planes
from umed.data.dicom_input import require_dicom
from umed.data.known_text import text_kind
from umed.data.pieces import MOST_VOLUME, Piece, pieces
from umed.data.side_parts import holds_text
from umed.data.unpacking import Allowance
from umed.protect import published_files
from umed.protect.added_files import text_fault
from umed.protect.card_files import vouched_cards
from umed.protect.commitment import COMMITMENT_FILE, commitment_fault
from umed.protect.originals import MOST_BYTES, Originals, read_originals, settings_of_run
from umed.protect.person_marks import marks_of
from umed.protect.private_content import holds_secret, private_kind
from umed.protect.public_check import form_faults, page_fault
from umed.protect.published_files import ABOUT, MANIFEST, Published
from umed.protect.release_findings import ReleaseCheck, make_check
from umed.protect.unlock_check import add_unlock_faults
from umed.unlock.unlock_folder import is_unlock_file

ACCEPTABLE = ("nifti.", "metaimage.", "nrrd.", "png.", "jpeg.", "tiff.", "exif.", "icc.")
OME = "tiff.OME-XML"
"""How the fields begin whose text a steward may accept; the last as a whole, or part by part."""
IMAGES = ("protected image", "unprotected image", "label", "proposed label")
UNCHANGED = 0.5
"""Share of labelled slices equal to the original's from which on an image counts as unchanged."""
_FEW = 64
"""Fewer hidden bytes than this, without text or picture, are no more than said."""
_TEXT_KINDS = {"known": "known-text", "device": "device", "date": "date", "free": "text"}
_QUOTED = 60


def check_release(
    output: str | Path,
    *,
    original: str | Path | None = None,
    layout: str | Path | None = None,
    private: str | Path | None = None,
    key: Key | str | Path | None = None,
    accept: Collection[str] = (),
    added: Collection[str] = (),
    progress: Progress | None = None,
) -> ReleaseCheck:
    """Check a folder before it is published; writes nothing.

    Args:
        output: what umed wrote.
        original: the data set that it was made from: slices of it are then looked for in every file.
        layout: its mapping file, where the run was given one, see :mod:`umed.data.layout_map`.
        private: its private folder; ``OUTPUT-private`` where that is there. Its files are looked for in the output.
        key: of the release, or its file; ``release.key`` of the private folder where that is there.
        accept: fields whose free text was looked at, such as ``"nifti.descrip"``.
        added: files that were laid there by hand, relative to the output: small plain texts such as a licence.
        progress: called with ``"originals"`` or ``"check"``, done and in all.

    Returns:
        Problems, warnings and notes; no problem means that nothing was found that speaks against publishing.

    Raises:
        InputError: when the output is no folder, the originals are no data set, or the given key cannot be read.
        ConfigError: when a field cannot be accepted, or an added file is none.
    """
    root = Path(output)
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder that umed protect wrote, got none. Check the path.")
    for name in accept:
        if not name.startswith(ACCEPTABLE):
            raise ConfigError(
                f"--accept-text {name}: expected a field that begins with one of {', '.join(ACCEPTABLE)}, got another. "
                "Write the field as the check shows it."
            )
    found = published_files.walk_output(root)
    published_files.read_public(found, root, added)
    kept = _private_folder(found, root, private)
    secret = _key(found, kept, key)
    published_files.check_seal(found, secret)
    if found.manifest:
        for fault in form_faults(found.manifest, found.files[MANIFEST].read_bytes()):
            found.add("manifest", MANIFEST, fault)
        if ABOUT not in found.files:
            found.add("page", ABOUT, "there is none")
    for kind, name, mark in marks_of(found.files, found.texts, vouched_cards(found.manifest, root, secret)):
        found.add(kind, printable(name), printable(mark)[:_QUOTED])
    settings = settings_of_run(kept, secret)
    originals = None
    if original is not None:
        originals = read_originals(Path(original), root, progress, settings, layout=given_path(layout))
    else:
        found.add("not-compared", str(root))
    search = _Search(found, originals, secret, files.hashes(kept) if kept is not None else {}, frozenset(accept))
    for name, path in counted(found.files.items(), "check", progress):
        search.look(name, path)
    search.compare()
    add_unlock_faults(found, root, kept)
    return make_check(str(root), len(found.files), found.findings)


def _private_folder(found: Published, root: Path, private: str | Path | None) -> Path | None:
    """The private folder, where there is one; one inside the output is a finding."""
    folder = private_of(root) if private is None else Path(private)
    if not folder.is_dir():
        if private is not None:
            raise InputError(f"{folder}: expected the private folder of {root}, got none. Check the path.")
        return None
    if root.resolve() in (folder.resolve(), *folder.resolve().parents):
        found.add("private-folder", printable(folder.name))
    if mode := open_to_others(folder):
        found.add("open-private", printable(folder.name), mode)
    return folder


def _key(found: Published, kept: Path | None, key: Key | str | Path | None) -> Key | None:
    if isinstance(key, Key):
        return key
    if key is not None:
        return Key.load(Path(key))
    if kept is None or not (kept / KEY).is_file():
        return None
    try:
        return Key.load(kept / KEY)
    except InputError as error:
        found.add("key-file", KEY, error_line(error))
        return None


@dataclass
class _Search:
    """One pass over an output.

    Args:
        found: the walk, to which findings are added.
        originals: to compare with.
        key: to look for.
        private: SHA-256 of each private file, by name.
        accept: fields whose text is accepted.
        seen: signatures that each file shares with the originals, by name and place in it.
        data_files: header of each file that only holds the voxels of one.
        series: for the UID of each protected DICOM series whether all frames of a file are those of originals.
    """

    found: Published
    originals: Originals | None
    key: Key | None
    private: dict[str, str]
    accept: frozenset[str]
    seen: dict[tuple[str, str], frozenset[bytes]] = field(default_factory=dict)
    series: dict[str, dict[str, bool]] = field(default_factory=dict)
    own: dict[str, str] = field(init=False)
    data_files: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.data_files = {  # the header of each file of bare voxels; the two are looked at as one image
            PurePosixPath(name).with_name(data).as_posix(): name
            for name, path in self.found.files.items()
            if self.found.what(name) in IMAGES
            for data in formats.companions(path)
        }
        self.own = {digest: name for name, digest in self.private.items()}

    def look(self, name: str, path: Path) -> None:
        """Read one file and everything in it; nothing of a hostile one gets out but findings."""
        shown = printable(name)
        try:
            if path.stat().st_size > MOST_BYTES:
                self._digest(name, files.sha256(path))
                return self.found.add("not-looked-into", shown, f"{path.stat().st_size} bytes")
            data = path.read_bytes()
        except OSError as error:
            self.found.add("damaged", shown, f"cannot be read ({error.strerror})")
            return
        self._digest(name, hashlib.sha256(data).hexdigest())
        if self.found.is_text(name) and (fault := text_fault(data)):
            self.found.add("no-text", shown, fault)
        if not data:
            self.found.add("damaged", shown, "empty")
            return
        self._own(name, data)
        if is_unlock_file(name):  # opaque, see umed.protect.unlock_check; a key before or behind it is found
            self._piece(name, Piece("", data))
            return
        try:
            is_known = False
            voxels = name in self.data_files
            for piece in pieces(data, allowance=Allowance(MOST_VOLUME) if voxels else None):
                self._piece(name, piece)
                is_known = is_known or (not piece.place and planes.is_picture(piece.data))
            if data[128:132] == b"DICM":
                self._frames(name, path)
            elif self.found.what(name) in IMAGES and not is_known and not voxels:
                self._other_format(name, path)
        except Exception as error:  # a file that surprises the check must not hide behind it
            self.found.add("damaged", shown, f"cannot be looked into ({type(error).__name__})")

    def _own(self, name: str, data: bytes) -> None:
        """What the public is told by umed's own files is what umed tells, and no more."""
        if name == COMMITMENT_FILE and (fault := commitment_fault(data)):
            self.found.add("commitment", name, fault)
        if name == ABOUT:
            published_files.check_page(self.found, data)
        manifest = self.found.manifest
        if name == ABOUT and manifest and len(self.found.listed) == len(manifest["files"]):
            sealed = self.key is not None and self.key.is_sealed("manifest", manifest)
            fault = page_fault(manifest, data, sealed=sealed)
            if fault:
                self.found.add("page", ABOUT, fault)

    def _digest(self, name: str, digest: str) -> None:
        """Bytes that the manifest does not say, or those of an original."""
        entry, shown, what = self.found.listed.get(name), printable(name), self.found.what(name)
        if entry is not None and entry["sha256"] != digest:
            self.found.add("changed", shown)
        known = {} if self.originals is None else self.originals.digests
        if digest in known and what not in ("unprotected image", "carried"):  # those are looked at in compare
            self.found.add("original", shown, f"the bytes of {printable(known[digest])}")

    def _piece(self, name: str, piece: Piece) -> None:
        """Everything that one run of bytes may hold."""
        shown, add = printable(name + piece.place), self.found.add
        listed_as = self.found.what(name)
        digest = hashlib.sha256(piece.data).hexdigest()
        if digest in self.own and piece.data:
            add("private", shown, f"the private file {printable(self.own[digest])}")
        elif name != MANIFEST or piece.place:
            what = private_kind(piece.place or name, piece.data)
            if what:
                add("private", shown, what)
        if self.key is not None and holds_secret(piece.data, self.key):
            add("private", shown, "the key of this release")
        if self.originals is not None and piece.place and digest in self.originals.digests:
            add("original", shown, f"the bytes of {printable(self.originals.digests[digest])}")
        for problem in piece.problems:
            add("damaged", shown, problem)
        for where, text in piece.texts:
            self._text(name, shown, where, text)
        picture = planes.is_picture(piece.data)
        if piece.kind == "hidden":
            few = len(piece.data) < _FEW and not picture and not holds_text(piece.data)
            add("small-data" if few else "hidden-data", shown, f"{len(piece.data)} bytes")
        elif piece.kind == "picture in a page" and picture:
            add("picture", shown)
        if picture:
            self._slices(name, piece, listed_as)

    def _text(self, name: str, shown: str, where: str, text: str) -> None:
        if where.startswith("gzip."):
            own = PurePosixPath(name).name
            same = where == "gzip.name" and text.casefold() in (own.casefold(), own.casefold().removesuffix(".gz"))
            quoted = f"{where} = {text[:_QUOTED]!r}"
            self.found.add("own-name" if same and shown == printable(name) else "gzip-header", shown, quoted)
            return
        kind = _TEXT_KINDS[text_kind(where, text)]
        whole = OME if where.startswith(f"{OME}.") else where
        kind = "accepted-text" if kind == "text" and self.accept & {where, whole} else kind
        self.found.add(kind, shown, f"{printable(where)} = {text[:_QUOTED]!r}")

    def _slices(self, name: str, piece: Piece, listed_as: str) -> None:
        """Remember which slices of originals an image holds; without originals only listed images are decoded."""
        if self.originals is None and not (listed_as in IMAGES and not piece.place):
            return
        try:
            grids = planes.grids(piece.data)
            if self.originals is None:
                next(grids, None)
            else:
                self._remember(name, piece.place, grids)
        except InputError as error:
            if listed_as in IMAGES:
                self.found.add("damaged", printable(name + piece.place), error_line(error))

    def _remember(self, name: str, place: str, grids: Iterable[NDArray[Any]]) -> None:
        assert self.originals is not None
        found = {one for grid in grids for stack in planes.stacks(grid) for one in planes.signatures(stack)}
        self.seen[name, place] = frozenset(found & self.originals.slices.keys())

    def _other_format(self, name: str, path: Path) -> None:
        """An image of a format that is told by its name alone."""
        try:
            volume = formats.read(path)
            if self.originals is not None:
                self._remember(name, "", planes.volume_grids(volume))
        except InputError as error:
            self.found.add("damaged", printable(name), error_line(error).replace(f"{path}: ", ""))

    def _frames(self, name: str, path: Path) -> None:
        require_dicom()
        from umed.protect.original_frames import read_frames

        shown, what = printable(name), self.found.what(name)
        try:
            read = read_frames(path, originals=None if self.originals is None else self.originals.raw)
        except UmedError as error:
            if what in IMAGES:
                self.found.add("damaged", shown, error_line(error).replace(f"{path}: ", ""))
            return
        if read is None:
            return
        if not read.removed:
            self.found.add("identity", shown)
        if what == "protected image":
            if read.icon:
                self.found.add("hidden-data", shown, "an icon of the picture (0088,0200)")
            for tag in read.surplus:
                self.found.add("hidden-data", f"{shown}{tag}", "may hold other pixels, or their signature")
        if self.originals is not None:
            self.seen[name, ""] = shared = frozenset(read.frames & self.originals.slices.keys())
            self.seen.update(((name, tag), held) for tag, held in read.copies.items())
            if what == "protected image" and read.frames:
                self.series.setdefault(read.series, {})[name] = shared == read.frames

    def compare(self) -> None:
        """Which of the slices that were seen again are a leak; a protected image may keep slices without a label."""
        public, unprotected = frozenset[bytes](), set[str]()
        kinds = {entry["what"] for entry in self.found.listed.values()}
        if self.found.listed and not kinds & {"protected image", "unprotected image"}:
            self.found.add("no-image", str(self.found.manifest.get("layout", "")))
        if self.originals is not None:
            self._pairs(self.originals)
            for name, reason in self.originals.unreadable:
                self.found.add("unreadable-original", printable(name), reason)
            public, unprotected = self._compare_series() if self.originals.series else self._compare_images()
            for (name, place), shared in self.seen.items():
                self._leak(self.originals, name, place, shared - public)
        for name, entry in self.found.listed.items():
            if entry["what"] == "unprotected image" and name not in unprotected:
                self.found.add("unprotected-note", printable(name))

    def _pairs(self, originals: Originals) -> None:
        """Every protected image has an original; a folder that was mistyped must not look like a comparison."""
        names = [name for name, entry in self.found.listed.items() if entry["what"] == "protected image"]
        other = (self.found.manifest.get("layout") == "dicom") != originals.series
        for name in names:
            if other or not (originals.series or self.data_files.get(name, name) in originals.images):
                self.found.add("no-original", printable(name))

    def _leak(self, originals: Originals, name: str, place: str, leaked: frozenset[bytes]) -> None:
        """Slices of originals in a file; those of its own original were judged where it was compared with that."""
        own = originals.images[name].name if name in originals.images and not place else ""
        of = sorted({originals.slices[one] for one in leaked} - {own})
        if of:
            more = f" and {len(of) - 1} more" if len(of) > 1 else ""
            self.found.add("original", printable(name + place), f"{len(leaked)} slice(s) of {printable(of[0])}{more}")

    def _compare_images(self) -> tuple[frozenset[bytes], set[str]]:
        """Look at each released image beside its own original.

        Returns:
            Slices that the release leaves as they are, and the images with a label that it says to be unprotected.
        """
        assert self.originals is not None
        public, unprotected = set[bytes](), set[str]()
        for name, image in self.originals.images.items():
            shared, what = self.seen.get((name, ""), frozenset()), self.found.what(name)
            share = image.unchanged(shared)
            if what == "unprotected image":
                unprotected.add(name)
                self.found.add("unprotected", printable(name), f"of {printable(image.name)}, which has a label")
            elif what and share >= UNCHANGED:
                self.found.add("unchanged", printable(name), f"{share:.0%} of the slices")
            elif what:
                public |= shared & frozenset().union(*image.channels)
                if what == "protected image" and name in self.originals.restored:
                    self.found.add("restored", printable(name), self.originals.restored[name])
                elif share > 0:
                    self.found.add("partly-unchanged", printable(name), f"{share:.0%} of the slices")
        return frozenset(public), unprotected

    def _compare_series(self) -> tuple[frozenset[bytes], set[str]]:
        """Protected series in which no frame differs from the originals; frames of all listed images are public."""
        listed = ("protected image", "unprotected image", "carried")
        public = [
            shared for (name, place), shared in self.seen.items() if not place and self.found.what(name) in listed
        ]
        for names in self.series.values():
            if all(names.values()):
                self.found.add("unchanged", printable(min(names)), f"all {len(names)} files of its series")
        return frozenset().union(*public), set()
