# SPDX-License-Identifier: Apache-2.0
"""What unlock files cost beside a release that is there: bytes, and CPU time against reading and writing the images.

    umed protect DATA RELEASE --set training.iterations=10
    python benchmarks/unlock.py DATA RELEASE

Each of the three is timed in turn, ``--repeats`` times; medians are printed. RELEASE is only read.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tables import markdown, provenance

from umed.cases.opening import open_source
from umed.cases.records import Store
from umed.cases.source import Request
from umed.core.config import Settings
from umed.data import formats
from umed.protect.manifest import read_manifest
from umed.unlock.age_keys import new_identity, public_of, write_identity
from umed.unlock.restore import unlock
from umed.unlock.write_unlock import write_unlock


def seconds(work: Callable[[], Any]) -> float:
    """CPU time of this process for some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def size(root: Path, names: list[str]) -> int:
    return sum((root / name).stat().st_size for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("release", type=Path, metavar="RELEASE")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    listed = {
        name: entry for name, entry in read_manifest(args.release)["files"].items() if not name.startswith("umed/")
    }
    kept = Store(args.release)
    times: dict[str, list[float]] = {"read and write": [], "make unlock files": [], "unlock": []}
    with open_source(Request(args.data, Settings())) as source, tempfile.TemporaryDirectory(prefix="umed-") as folder:
        place, identity = Path(folder), new_identity()
        outcomes = [record.to_outcome() for case in source.sizes if (record := kept.read(case)) is not None]
        cases = [source.by_id[one.id] for one in outcomes if one.status == "protected"]
        write_identity(place / "one.key", identity)

        def read_and_write() -> None:
            for case in cases:
                for image, output in zip(case.images, case.outputs, strict=True):
                    volume = formats.read(source.root / image)
                    target = place / "plain" / output
                    target.parent.mkdir(parents=True, exist_ok=True)
                    formats.write(volume, volume.stored, target)

        class Beside(Store):
            """Records of the release, and unlock keys elsewhere."""

            def path(self, name: str) -> Path:
                return place / name if name in ("unlock.key", "recipients.txt") else super().path(name)

        def make() -> None:
            (place / "unlock.key").unlink(missing_ok=True)
            write_unlock(source, Beside(args.release), outcomes, listed, place / "sealed", [public_of(identity)])

        def open_all() -> None:
            unlock(args.release, place / "again", key=place / "one.key", unlock_dir=place / "sealed")

        for _ in range(args.repeats):
            for name in ("plain", "sealed", "again"):
                shutil.rmtree(place / name, ignore_errors=True)
            for name, work in zip(times, (read_and_write, make, open_all), strict=True):
                times[name].append(seconds(work))
        sealed = sum(path.stat().st_size for path in (place / "sealed").iterdir())
        release = size(args.release, list(listed))
        images = size(args.release, [name for name, entry in listed.items() if "image" in entry["what"]])
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["read and write"]
    rows = [
        [name, f"{median:.2f}", f"{min(times[name]):.2f} to {max(times[name]):.2f}", f"{median / base:.2f}"]
        for name, median in medians.items()
    ]
    print(provenance())
    print(f"release {release / 1e6:.1f} MB, images {images / 1e6:.1f} MB, unlock files {sealed / 1e6:.2f} MB:", end=" ")
    print(f"{sealed / release:.1%} of the release, {sealed / images:.1%} of the images; {len(cases)} cases")
    print(markdown(["", "CPU seconds", "range", "against reading and writing"], rows))


if __name__ == "__main__":
    main()
