# SPDX-License-Identifier: Apache-2.0
"""The job that a page is about: what was chosen, what runs now, and how each step ended. Every tab sees this one."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from umed.app.card_wishes import CardWishes
from umed.app.errand import PATIENT, Errand, Spell
from umed.app.release_wishes import Wishes
from umed.cases.records import KEY, MANIFEST, Store, private_of
from umed.core.errors import InputError, UmedError
from umed.data.files import check_apart
from umed.protect.start import check_key_place, check_run

Commands = list[tuple[str, list[str]]]
"""Name and words of commands."""
STEPS = {
    "look": "Look into the folder",
    "preview": "Preview",
    "forecast": "Forecast",
    "run": "Run",
    "check": "Checks",
    "card": "Description of the release",
}
"""Errands of a job, and what they are called."""


class Busy(UmedError):
    """Something runs already; only one thing at a time is done."""


@dataclass
class State:
    """A job at one moment; what changes it makes a new version.

    Args:
        input: what was chosen.
        masks: for DICOM: folder of more masks.
        layout: mapping file.
        uploaded: whether the input is a copy that goes with the page.
        wishes: what was chosen for the release.
        ran: the wishes of the last run.
        card: what the release is to say of itself.
        errands: the last errand of each name.
    """

    input: Path | None = None
    masks: Path | None = None
    layout: Path | None = None
    uploaded: bool = False
    wishes: Wishes = field(default_factory=Wishes)
    ran: Wishes | None = None
    card: CardWishes = field(default_factory=CardWishes)
    errands: dict[str, Errand] = field(default_factory=dict)


class Job:
    """One job at a time, for all tabs.

    Args:
        work: private working folder of the page.
        home: folder in which new outputs are proposed for data that was dropped.
    """

    def __init__(self, work: Path, home: Path) -> None:
        self.work, self.home = work, home
        self.state, self.version = State(), 0
        self._chosen = self._wished = 0
        self._lock = threading.RLock()

    @property
    def running(self) -> Errand | None:
        """The errand that is under way."""
        return next((one for one in self.state.errands.values() if one.running), None)

    def spell(self, errand: str, name: str | None = None) -> Spell | None:
        """How a command of an errand ended: the one of that name, else the last one."""
        found = self.state.errands.get(errand)
        if found is None or found.running:
            return None
        return found.last if name is None else found.result(name)

    def result(self, errand: str, name: str) -> dict[str, Any]:
        """What a command of an errand found; empty where it did not get that far."""
        spell = self.spell(errand, name)
        return dict(spell.result) if spell is not None and spell.end == "done" else {}

    @property
    def dicom(self) -> bool:
        """Whether the input is DICOM."""
        return self.result("look", "inspect").get("layout") == "dicom"

    @property
    def begun(self) -> bool:
        """Whether a run has begun in the folders that are wished for."""
        wishes = self.state.wishes
        return wishes.output is not None and Store(wishes.output, wishes.private).begun

    @property
    def stamp(self) -> str:
        """Which input and which wishes a page shows; what it sends back is not taken for others."""
        return f"{self._chosen}-{self._wished}"

    def _require_shown(self, shown: str | None, *, wishes: bool) -> None:
        """Refuse, with :class:`Busy`, what a tab asks for that shows other folders, since it would be done to these."""
        parts = slice(None) if wishes else slice(1)
        if shown is not None and shown.split("-")[parts] != self.stamp.split("-")[parts]:
            raise Busy(
                "The folders or options were changed in another tab since. Load this page again, and look first."
            )

    def require_idle(self) -> None:
        """Refuse, with :class:`Busy`, while something runs."""
        now = self.running
        if now is not None:
            raise Busy(f"{STEPS[now.name]} is running, maybe in another tab. Wait until it is done, or stop it first.")

    def choose(
        self, path: Path, *, masks: Path | None = None, layout: Path | None = None, uploaded: bool = False
    ) -> None:
        """Begin a new job with a folder, and look into it.

        Raises:
            Busy: while something runs.
            InputError: when it is not there.
        """
        with self._lock:
            self.require_idle()
            for place, what in ((path, "a folder, or a zip of DICOM files"), (masks, "a folder of masks")):
                if place is not None and not place.exists():
                    raise InputError(f"{place}: expected {what}, got nothing. Check the path, or browse for it.")
            uploaded = uploaded or self._passing(path)
            self.state = State(path, masks, layout, uploaded, propose(path, self.home if uploaded else path.parent))
            self._chosen += 1
            self._start("look", self.commands("look"))

    def _passing(self, path: Path) -> bool:
        """Whether this lies in the working folder, which goes with the page."""
        work = self.work.resolve()
        return work in (path.resolve(), *path.resolve().parents)

    def wish(self, wishes: Wishes, *, shown: str | None = None) -> None:
        """Take over what was chosen for the release.

        Args:
            wishes: what was chosen.
            shown: :attr:`stamp` of the page on which it was.

        Raises:
            Busy: while something runs, or where the page shows another input.
            UmedError: when a run with it could not even begin.
        """
        with self._lock:
            self.require_idle()
            self._require_shown(shown, wishes=False)
            check_wishes(self.state, wishes, dicom=self.dicom)
            for place in (wishes.output, wishes.private, wishes.key_file if self.dicom else None):
                if place is not None and self._passing(place):
                    raise InputError(
                        f"{place}: expected a place that stays, got one that goes when umed app ends. Pick another."
                    )
            if wishes.settings != self.state.wishes.settings:
                self.state.errands.pop("preview", None)
            if wishes.plan != self.state.wishes.plan:
                self.state.errands.pop("forecast", None)  # of another plan
            self.state.wishes = wishes
            self._wished += 1
            self.version += 1

    def start(self, name: str, *, again: str | None = None, steps: int = 300, shown: str | None = None) -> None:
        """Start an errand.

        Args:
            name: one of :data:`STEPS`.
            again: for a run: instead of what is wished for, one of :data:`AGAIN`.
            steps: of the forecast's trainings.
            shown: for a run: :attr:`stamp` of the page on which it was asked for.

        Raises:
            Busy: while something runs, or where the page shows other folders.
            InputError: when something else has to be done first.
            UmedError: when a run could not even begin.
        """
        with self._lock:
            self.require_idle()
            if name == "run":
                self._require_shown(shown, wishes=True)
                wishes = self.state.wishes if again is None else replace(self.state.wishes, again=again)
                check_wishes(self.state, wishes, dicom=self.dicom)
                self.state.wishes = self.state.ran = wishes
                self.state.errands.pop("card", None)
            if name in ("run", "card"):
                self.state.errands.pop("check", None)  # of another release than there will be
            self._start(name, self.commands(name, steps=steps))

    def stop(self) -> None:
        """Stop what runs."""
        now = self.running
        if now is not None:
            now.stop()
            self.version += 1

    def close(self) -> None:
        """Stop what runs, and wait until it has cleaned up."""
        now = self.running
        if now is not None:
            now.stop(PATIENT)

    def _start(self, name: str, commands: Sequence[tuple[str, Sequence[str]]]) -> None:
        errand = Errand(name, commands, self.work, lambda _: self._changed())
        self.state.errands[name] = errand
        self._changed()
        errand.start()

    def _changed(self) -> None:
        with self._lock:
            self.version += 1

    def commands(self, name: str, *, steps: int = 300) -> Commands:
        """Name and words of each command of an errand, as on the command line.

        Raises:
            InputError: when something else has to be done first.
        """
        state = self.state
        if state.input is None:
            raise InputError("Choose a folder first.")
        source = str(state.input)
        masks, layout = _given("--masks", state.masks), _given("--layout", state.layout)
        shared = [*masks, *layout]
        if name == "look":
            return [("inspect", ["inspect", source, *shared, "--json"])]
        wishes = state.wishes
        if name == "preview":
            out = self.work / "preview"
            return [("preview", ["protect", source, str(out), *shared, *wishes.settings, "--preview", "--json"])]
        if name == "forecast":
            words = ["plan", source, *shared, *wishes.plan, "--forecast"]
            return [("forecast", [*words, "--forecast-steps", str(steps), "--json"])]
        chosen = wishes if name == "run" else state.ran
        if chosen is None or chosen.output is None or chosen.private is None:
            raise InputError("Choose the output folder first, under Options." if name == "run" else "Run it first.")
        if name == "card":
            key = _given("--key-file", chosen.key_file if self.dicom and chosen.mode != "protect" else None)
            place = [str(chosen.output), "--private", str(chosen.private), *key]
            return [("card", ["card", *place, *state.card.words(), "--json"])]
        if name == "check":
            return _checks(source, chosen, masks, layout, self.dicom)
        return _run(source, chosen, masks, layout, self.dicom, self._forecast())

    def _forecast(self) -> list[str]:
        """The forecast that was made for the wishes, for the run's report; the run looks whether it still fits."""
        errand = self.state.errands.get("forecast")
        made = errand is not None and self.result("forecast", "forecast").get("forecast")
        return _given("--forecast-from", errand.printed("forecast")) if errand is not None and made else []

    def line(self, name: str) -> str:
        """The commands of an errand, to be typed into a terminal; empty where they are not known yet."""
        try:
            return "\n".join(shlex.join(["umed", *words]) for _, words in self.commands(name))
        except InputError:
            return ""


def _given(name: str, value: Path | None) -> list[str]:
    return [] if value is None else [name, str(value)]


def _run(
    source: str, wishes: Wishes, masks: list[str], layout: list[str], dicom: bool, forecast: list[str]
) -> Commands:
    places = [source, str(wishes.output), "--private", str(wishes.private)]
    again = [f"--{wishes.again}"] if wishes.again else []
    if not dicom or wishes.mode == "protect":
        carry = ["--carry"] if wishes.carry else []
        shared = [*masks, *layout, *wishes.plan, *carry, *([] if dicom else forecast)]
        return [("protect", ["protect", *places, *shared, *again, "--json"])]
    if wishes.key_file is None:
        raise InputError("Choose the key of the project first, under Options.")
    words = ["anonymize", *places, "--key-file", str(wishes.key_file), "--profile", wishes.profile]
    words += ["--look-for-text"] if wishes.look_for_text else []
    words += ["--accept-burned-in"] if wishes.accept_burned_in else []
    words += ["--protect", *masks, *wishes.plan] if wishes.mode == "anonymize-protect" else []
    key = [] if wishes.key_file.exists() else [("key", ["keygen", str(wishes.key_file)])]
    return [*key, ("anonymize", [*words, *again, "--json"])]


def _checks(source: str, wishes: Wishes, masks: list[str], layout: list[str], dicom: bool) -> Commands:
    hidden = dicom and wishes.mode != "protect"
    output = str(wishes.output)
    places = ["--private", str(wishes.private), *(_given("--key-file", wishes.key_file) if hidden else []), *layout]
    checks = [
        ("verify", ["verify", source, output, *places, *masks, "--json"]),
        ("check-release", ["check-release", output, "--original", source, *places, "--json"]),
    ]
    if hidden:
        words = ["anonymize", "--check", output, "--original", source, "--profile", wishes.profile, "--json"]
        checks.append(("search", words))
    return checks


def propose(path: Path, parent: Path) -> Wishes:
    """Folders to begin with: those of a run that was stopped, else new ones beside the input, under free names."""
    base = parent / f"{path.name.removesuffix('.zip') or 'data'}-protected"
    earlier = Store(base)
    if earlier.begun and not earlier.public(MANIFEST).exists():
        return Wishes(base, earlier.folder, key_file=base.with_name(f"{base.name}.key"), again="resume")
    output, number = base, 2
    while output.exists() or private_of(output).exists():
        output, number = base.with_name(f"{base.name}-{number}"), number + 1
    return Wishes(output, private_of(output), key_file=output.with_name(f"{output.name}.key"))


def check_wishes(state: State, wishes: Wishes, *, dicom: bool) -> None:
    """Make sure that a run could begin.

    Raises:
        UmedError: as the run would, in one line.
    """
    if state.input is None:
        raise InputError("Choose a folder first.")
    if wishes.output is None or wishes.private is None:
        raise InputError("Output folder: expected the full path of a new folder, got none. Type one.")
    for place, what in ((wishes.output, "Output folder"), (wishes.private, "Private folder")):
        if not place.is_absolute():
            raise InputError(f"{what}: expected a full path that begins with /, got {place}. Type the whole path.")
    store = Store(wishes.output, wishes.private)
    resume, overwrite = wishes.again == "resume", wishes.again == "overwrite"
    check_run(state.input, None, store, resume=resume, overwrite=overwrite)
    if state.masks is not None:
        check_apart(state.masks, wishes.output)
    if not dicom or wishes.mode == "protect":
        return
    if wishes.key_file is None or not wishes.key_file.is_absolute():
        raise InputError("Key file: expected the full path of the key, also of one that is to be made. Type it.")
    check_key_place(wishes.key_file, wishes.output)
    if wishes.key_file.exists() and not wishes.key_file.is_file():
        raise InputError(f"{wishes.key_file}: expected a key file such as {KEY}, got a folder. Type a file's name.")
    if not wishes.key_file.parent.is_dir():
        raise InputError(
            f"{wishes.key_file.parent}: expected a folder for the key, got none. Make it, or pick another."
        )
