"""Time of a training step with Adam: gradcore next to its peers, five nets and Fashion-MNIST.

    python bench/training.py --nets a b c --contenders gradcore torch-fused jax
    python bench/training.py --nets fashion          # an epoch, shuffled
    python bench/training.py --quick                 # does everything run and agree?

Everyone starts from the same weights and takes VERIFY_STEPS updates on the same batches first; the run
fails where the losses then differ. Mode "step" calls one update at a time from Python; mode "epoch" is
whole epochs in one call (gradcore's fit, JAX's lax.scan, scikit-learn's partial_fit on everything).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import harness
from harness import Record, Unsupported, Worker, WorkerError, say
from nets import NETS, Net, fashion_is_real, fashion_mnist
from peers import CONTENDERS

VERIFY_STEPS = 20
# Relative difference of the losses, before the first update and after VERIFY_STEPS of them.
START_TOLERANCE = 1e-5
TOLERANCE = {"sklearn": 2e-2}  # its Adam puts epsilon elsewhere
DEFAULT_TOLERANCE = 1e-3
FACTORY = "peers:open_contender"

# (net, peers or None for all of them, gradcore's time may be at most this many times their best)
TARGETS: tuple[tuple[str, tuple[str, ...] | None, float], ...] = (
    ("a", None, 1.0),
    ("a", ("torch", "torch-fused", "torch-compile"), 0.1),
    ("b", None, 1.0),
    ("c", None, 1.0),
    ("d", None, 1.5),
    ("e", None, 1.5),
)


class Disagreement(Exception):
    """Two contenders did not compute the same thing."""


def modes_of(net: Net) -> list[str]:
    if net.shuffle:
        return ["epoch"]
    return ["step", "epoch"] if net.epoch_rows else ["step"]


def take_verification_steps(worker: Worker, net: Net, mode: str) -> tuple[float, float]:
    """The loss before and after VERIFY_STEPS updates."""
    before = worker.call("loss")
    worker.call("run", mode, VERIFY_STEPS if mode == "step" else VERIFY_STEPS // net.step_batches)
    return before, worker.call("loss")


def check_losses(losses: dict[str, tuple[float, float]]) -> None:
    """Raise Disagreement unless everybody's losses match those of the first one."""
    reference = next(iter(losses))
    start, end = losses[reference]
    for name, (before, after) in losses.items():
        allowed = max(TOLERANCE.get(name, DEFAULT_TOLERANCE), TOLERANCE.get(reference, 0.0))
        if not abs(before - start) <= START_TOLERANCE * abs(start):
            raise Disagreement(f"{name}: first loss {before!r}, but {start!r} in {reference}")
        if not abs(after - end) <= allowed * abs(end):
            raise Disagreement(f"{name}: loss {after!r} after {VERIFY_STEPS} steps, {end!r} in {reference}")
        if after == before:
            raise Disagreement(f"{name}: {VERIFY_STEPS} steps did not change the loss {after!r}")


def start_workers(
    workers: dict[str, Worker], net: Net, mode: str, contenders: Sequence[str], pythons: dict[str, str]
) -> dict[str, tuple[float, float]]:
    """Fill `workers` with those that can take part; their losses before and after the verification."""
    losses = {}
    for name in contenders:
        keywords = {"name": name, "net": net.name, "rows": net.batch * net.step_batches, "shuffle": False}
        try:
            workers[name] = Worker(FACTORY, keywords, pythons.get(name, sys.executable))
            losses[name] = take_verification_steps(workers[name], net, mode)
        except Unsupported as reason:
            say(f"  {name}: left out, {reason}")
            if name in workers:
                workers.pop(name).close()
    return losses


def measure(net: Net, mode: str, arguments: argparse.Namespace, pythons: dict[str, str]) -> list[Record]:
    case = f"{net.name} {mode}"
    say(f"{case}: {net.title}")
    workers: dict[str, Worker] = {}
    try:
        losses = start_workers(workers, net, mode, arguments.contenders, pythons)
        if not workers:
            return []
        check_losses(losses)
        rows = min(net.epoch_rows, VERIFY_STEPS * net.batch) if arguments.quick else net.epoch_rows
        if mode == "epoch":
            for name, worker in workers.items():
                worker.open(FACTORY, {"name": name, "net": net.name, "rows": rows, "shuffle": net.shuffle})
        rounds = arguments.rounds or (3 if arguments.quick else net.rounds)
        turn = 0.01 if arguments.quick else arguments.turn
        times = harness.interleave(workers, mode, rounds, turn)
        steps = -(-rows // net.batch) if mode == "epoch" else 1
        return [
            training_record(net, case, name, calls, samples, steps, losses[name][1], workers[name])
            for name, (calls, samples) in times.items()
        ]
    finally:
        for worker in workers.values():
            worker.close()


def training_record(
    net: Net, case: str, name: str, calls: int, samples: list[float], steps: int, loss: float, worker: Worker
) -> Record:
    """Samples are seconds per call of `steps` steps; only Fashion-MNIST is reported per epoch."""
    notes = {
        "GFLOP/s": f"{net.flops * steps / harness.quartiles(samples)[1] / 1e9:.1f}",
        "peak MB": f"{worker.request('memory'):.0f}",
        "loss after 20": f"{loss:.6g}",
        "settings": ", ".join(f"{key} {value}" for key, value in worker.call("about").items()),
    }
    if net.dataset == "fashion":
        notes["test accuracy"] = f"{worker.call('accuracy', *fashion_mnist('t10k')):.3f}"
        return harness.make_record("training", case, name, samples, unit="epoch", calls=calls, **notes)
    per_step = [s / steps for s in samples]
    return harness.make_record("training", case, name, per_step, unit="step", calls=calls * steps, **notes)


def verdicts(records: Sequence[Record]) -> list[str]:
    """One line per target and mode that was measured."""
    lines = []
    for net, peers, limit in TARGETS:
        for mode in modes_of(NETS[net]):
            times = {r.contender: r.median for r in records if r.case == f"{net} {mode}"}
            own = times.pop("gradcore", None)
            rivals = {name: t for name, t in times.items() if peers is None or name in peers}
            if own is None or not rivals:
                continue
            best = min(rivals, key=lambda name: rivals[name])
            ratio = own / rivals[best]
            word = "met" if ratio <= limit else "MISSED"
            lines.append(f"- {net} {mode}: {ratio:.3f} of {best}'s time, at most {limit:g} wanted: {word}")
    return lines


def parse_pythons(pairs: Sequence[str]) -> dict[str, str]:
    """["torch=/usr/bin/python3"] -> {"torch": "/usr/bin/python3"}"""
    return dict(pair.split("=", 1) for pair in pairs)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Training-step times of gradcore and its peers.",
        epilog="example: python bench/training.py --nets a b --contenders gradcore torch-fused",
    )
    default = [name for name, (_, _, on_request) in CONTENDERS.items() if not on_request]
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS), help="default: all")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=default, help=f"default: {' '.join(default)}"
    )
    parser.add_argument("--mode", choices=("step", "epoch"), help="only this one")
    parser.add_argument(
        "--python", action="append", default=[], metavar="CONTENDER=PATH", help="interpreter of a contender"
    )
    harness.add_common_options(parser)
    arguments = parser.parse_args(argv)
    records: list[Record] = []
    try:
        for name in arguments.nets:
            for mode in modes_of(NETS[name]):
                if arguments.mode in (None, mode):
                    records += measure(NETS[name], mode, arguments, parse_pythons(arguments.python))
    except (Disagreement, WorkerError) as error:
        say(f"failed: {error}")
        return 1
    parts = [f"- {net}: {NETS[net].title}, {NETS[net].loss}" for net in arguments.nets]
    if "fashion" in arguments.nets and not fashion_is_real():
        parts.append("- fashion: random pixels and labels of the same shape, the files are not installed")
    columns = ["GFLOP/s", "peak MB", "loss after 20", "settings"]
    if "fashion" in arguments.nets:
        columns.insert(3, "test accuracy")
    parts += ["", harness.table(records, columns=columns), "", *verdicts(records)]
    if arguments.quick:
        parts.append("\nA quick run: the times mean nothing.")
    harness.finish_report(arguments, records, "\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
