# SPDX-License-Identifier: Apache-2.0
"""What umed costs beside what nobody can avoid: reading, writing, and the networks' own work.

    python benchmarks/speed.py --threads 1

Everything runs on phantoms that the package makes. Each ratio is printed with its limit; the exit code stays 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from tables import markdown, provenance

from umed.cases.file_source import FileSource
from umed.cases.records import GENERATORS, private_of
from umed.core.config import make_settings
from umed.core.keyfile import Key, Secret
from umed.data.layouts import find_dataset
from umed.data.phantom import make_phantom
from umed.methods.umed import UMed
from umed.plan.budget import to_unit
from umed.plan.facts import gather, open_case
from umed.plan.limits import make_limits
from umed.plan.planning import Plan, make_plan
from umed.plan.regions import plan_regions
from umed.protect.run import protect
from umed.training.samples import CaseSamples

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter


def best_of(work: Callable[[], Any], times: int = 3) -> float:
    """Shortest time of several runs, in seconds."""
    found = []
    for _ in range(times):
        begin = clock()
        work()
        found.append(clock() - begin)
    return min(found)


def train_a_little(root: Path, out: Path) -> Path:
    """Generators of the default recipe after two iterations: as fast or slow as any."""
    protect(root, out, training={"iterations": 2}, report=False)
    return private_of(out) / GENERATORS


def copy_with_nibabel(root: Path, out: Path) -> None:
    """Read and write all images, doing nothing in between."""
    dataset = find_dataset(root)
    for case in dataset.cases:
        image = nib.load(root / case.images[0])
        stored = np.asanyarray(image.dataobj.get_unscaled())
        nib.save(nib.Nifti1Image(stored, None, image.header), out / case.images[0].name)


def forward_passes(root: Path, method: UMed, plan: Plan) -> float:
    """Seconds that the generators alone need for all cases."""
    dataset = find_dataset(root)
    seconds = 0.0
    for case in dataset.cases:
        opened = open_case(dataset, case)
        volume = opened.volumes[0]
        assert opened.labels is not None
        regions = plan_regions(opened.labels, volume, plan)
        limit = make_limits(opened.volumes, plan)[0]
        box = (slice(None), *regions.box)
        image = torch.from_numpy(to_unit(volume.channels[box], volume.encoding, limit))
        with torch.no_grad():
            begin = clock()
            method.direction(image, regions, np.random.default_rng(0))
            seconds += clock() - begin
    return seconds


def measure_protect(scratch: Path, cases: int, size: tuple[int, int, int]) -> list[list[str]]:
    """Time of protecting with trained generators, against read + write + forward."""
    root = make_phantom(scratch / "time", cases=cases, size=size)
    generators = train_a_little(make_phantom(scratch / "few", cases=4, size=size), scratch / "trained")
    plan = make_plan(gather(find_dataset(root)), make_settings())
    method = UMed(**plan.method_options)
    method.load(generators)
    (scratch / "copy").mkdir()
    files = best_of(lambda: copy_with_nibabel(root, scratch / "copy"))
    forward = forward_passes(root, method, plan)
    whole = best_of(
        lambda: protect(
            root, scratch / "out", generators=generators, report=False, overwrite=(scratch / "out").exists()
        )
    )
    name = f"protect, {cases} x {'x'.join(map(str, size))}"
    parts = f"nibabel read + write {files:.2f} s, generators {forward:.2f} s"
    return [[name, f"{whole:.2f} s", parts, f"{whole / (files + forward):.2f}", "1.25"]]


def measure_plain(scratch: Path, cases: int, size: tuple[int, int, int]) -> list[list[str]]:
    """Time of protecting with a fixed pattern, against read + write: what plan, regions, checks and measures cost."""
    root, out = make_phantom(scratch / "plain", cases=cases, size=size), scratch / "plain-out"
    (scratch / "plain-copy").mkdir()
    files = best_of(lambda: copy_with_nibabel(root, scratch / "plain-copy"))
    whole = best_of(lambda: protect(root, out, method="checkerboard", report=False, overwrite=out.exists()))
    name = f"protect without generators, {cases} x {'x'.join(map(str, size))}"
    return [[name, f"{whole:.2f} s", f"nibabel read + write {files:.2f} s", f"{whole / files:.2f}", "-"]]


MEMORY = """
import ctypes, gc, sys
from pathlib import Path
from umed import protect
root, small, generators, out = sys.argv[1:5]

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

protect(small, out + "-warm", generators=generators, report=False)  # imports, thread pools, the model
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here; getrusage's would not
protect(root, out, generators=generators, report=False)
print(before, status("VmHWM"))
"""


def peak_memory(scratch: Path, size: tuple[int, int, int]) -> tuple[float, float]:
    """Bytes of a volume as stored, and peak memory over the idle process while it is protected, in a fresh process."""
    name = "x".join(map(str, size))
    small, root = (
        make_phantom(scratch / f"{n}-{name}", cases=1, size=s) for n, s in (("s", (32, 32, 24)), ("l", size))
    )
    generators = private_of(scratch / "trained") / GENERATORS
    words = [str(root), str(small), str(generators), str(scratch / f"memory-{name}")]
    done = subprocess.run([sys.executable, "-c", MEMORY, *words], stdout=subprocess.PIPE, text=True, check=True)
    before, after = (int(word) for word in done.stdout.split()[-2:])
    return 2.0 * float(np.prod(size)), float(after - before)  # int16


def measure_memory(scratch: Path, size: tuple[int, int, int]) -> list[list[str]]:
    """What a larger volume adds to peak memory, and what every volume costs: the generators at work on one window."""
    if not Path("/proc/self/clear_refs").exists():
        return [["peak memory", "-", "needs Linux", "-", "6"]]
    half = (size[0] // 2, size[1], size[2])
    (less, low), (more, high) = peak_memory(scratch, half), peak_memory(scratch, size)
    slope = (high - low) / (more - less)
    parts = f"volume {more / 2**20:.0f} MiB as stored; generators on one window {(low - slope * less) / 2**20:.0f} MiB"
    return [[f"peak memory, {'x'.join(map(str, size))}", f"{high / 2**20:.0f} MiB", parts, f"{slope:.2f}", "6"]]


def measure_bilevel(scratch: Path, iterations: int) -> list[list[str]]:
    """Time of a bilevel iteration, against the forward and backward passes that it is made of."""
    root = find_dataset(make_phantom(scratch / "bilevel", cases=4))
    settings = make_settings(overrides={"training": {"iterations": iterations}})
    plan = make_plan(gather(root), settings)
    method = UMed(**plan.method_options)
    method.secret = Secret(Key.random(), "speed")
    trainer = method.make_trainer(CaseSamples(FileSource(root), plan), plan)
    batch = trainer.loader.batches[0].to(trainer.state.device)
    arguments = (batch.image, batch.labels, batch.contour, batch.interior, batch.carriers)
    surrogates = range(len(trainer.surrogates))

    def surrogate_pass() -> None:
        image = batch.image.clone().requires_grad_(True)
        for index in surrogates:
            loss = trainer._surrogate_loss(index, image, batch.labels, torch.Generator().manual_seed(0))
            torch.autograd.backward(loss)

    surrogate = best_of(surrogate_pass)
    generator = best_of(lambda: torch.autograd.backward(trainer.generator.perturb(*arguments).square().mean()))
    begin = clock()
    trainer.run()
    whole = (clock() - begin) / iterations
    training = plan.training
    parts = training.surrogate_steps * surrogate + training.generator_steps * (generator + surrogate)
    text = f"generator {generator:.3f} s, surrogates {surrogate:.3f} s, forward + backward"
    return [["bilevel iteration", f"{whole:.3f} s", text, f"{whole / parts:.2f}", "1.25"]]


def one_step(network: torch.nn.Module, image: torch.Tensor) -> None:
    """Forward and backward pass."""
    torch.autograd.backward(network(image).square().mean())


def measure_layout() -> list[list[str]]:
    """A surrogate's training step with and without channels-last memory."""
    from umed.networks.surrogates import make_unet

    rows = []
    for dims, size, channels, last in (
        (2, (4, 3, 128, 128), 3, torch.channels_last),
        (3, (2, 1, 48, 48, 32), 1, torch.channels_last_3d),
    ):
        seconds = []
        for layout in (torch.contiguous_format, last):
            network = make_unet(dims, channels, 2).to(memory_format=layout)  # type: ignore[call-overload]
            image = torch.rand(size).to(memory_format=layout)
            seconds.append(best_of(partial(one_step, network, image), 4))
        rows.append(
            [f"{dims}D U-Net step, channels last", f"{seconds[1]:.3f} s", f"plain layout {seconds[0]:.3f} s"]
            + [f"{seconds[1] / seconds[0]:.2f}", "-"]
        )
    return rows


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=3, default=[96, 96, 64], help="volumes that are timed")
    parser.add_argument("--plain", type=int, nargs=3, default=[160, 160, 96], help="volumes timed without generators")
    parser.add_argument("--large", type=int, nargs=3, default=[256, 256, 160], help="volume whose memory is measured")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS), help="cpu where others use the machine too")
    args = parser.parse_args()
    global clock
    clock = CLOCKS[args.clock]
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="umed-speed-") as folder:
        scratch = Path(folder)
        rows = measure_protect(scratch, args.cases, tuple(args.size))
        rows += measure_plain(scratch, args.cases, tuple(args.plain))
        rows += measure_memory(scratch, tuple(args.large))
        rows += measure_bilevel(scratch, args.iterations)
        rows += measure_layout()
    header = ["what", "measured", "parts", "ratio", "limit"]
    print(json.dumps([dict(zip(header, row, strict=True)) for row in rows]) if args.json else markdown(header, rows))
    print(f"\n{provenance()}", file=sys.stderr if args.json else sys.stdout)


if __name__ == "__main__":
    main()
