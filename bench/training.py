"""Time of a training step: gradcore next to its peers, small nets, large ones and Fashion-MNIST.

    python bench/training.py --nets a b c --contenders gradcore torch-fused jax
    python bench/training.py --nets a b --optimizers sgd momentum adam --clip none 1.0
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
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

import harness
from harness import Record, Unsupported, Worker, WorkerError, say
from machine import environment
from nets import NETS, RATES, Net, Rule, fashion_is_real, fashion_mnist
from peak import fma_peak
from peers import CONTENDERS

VERIFY_STEPS = 20
# Relative difference of the losses, before the first update and after VERIFY_STEPS of them.
START_TOLERANCE = 1e-5
TOLERANCE = {"sklearn": 2e-2, "keras": 2e-2}  # their Adam puts epsilon elsewhere
DEFAULT_TOLERANCE = 1e-3
FACTORY = "peers:open_contender"
ONE_CORE = ("a",)  # nets that no second core helps: their share is of the peak of one
QUICK_FLOPS = 5e7  # of a step: the largest net of a quick run

# (net, peers or None for all of them, gradcore's time may be at most this many times their best)
TARGETS: tuple[tuple[str, tuple[str, ...] | None, float], ...] = (
    ("a", None, 1.0),
    ("a", ("torch", "torch-fused", "torch-compile", "torch-compile-fused"), 0.1),
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
    workers: dict[str, Worker], net: Net, rule: Rule, mode: str, arguments: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Fill `workers` with those that can take part; their losses before and after the verification."""
    losses = {}
    fields = asdict(replace(net, shuffle=False))
    for name in arguments.contenders:
        keywords = {"name": name, "net": fields, "rows": net.batch * net.step_batches, "rule": asdict(rule)}
        try:
            if name in workers:
                workers[name].open(FACTORY, keywords)
            else:
                workers[name] = Worker(FACTORY, keywords, arguments.python.get(name, sys.executable))
            losses[name] = take_verification_steps(workers[name], net, mode)
        except Unsupported as reason:
            arguments.left_out.append(f"{name} on {case_name(net, rule, mode)}: {reason}")
            say(f"  {name}: left out, {reason}")
    return losses


def case_name(net: Net, rule: Rule, mode: str) -> str:
    return f"{net.name} {mode}" if rule == Rule() else f"{net.name} {mode} {rule.title}"


def measure(
    net: Net, rule: Rule, mode: str, arguments: argparse.Namespace, workers: dict[str, Worker]
) -> list[Record]:
    """workers: processes of earlier cases to use again; empty for fresh ones, which tell peak memory."""
    case = case_name(net, rule, mode)
    say(f"{case}: {net.title}")
    losses = start_workers(workers, net, rule, mode, arguments)
    if not losses:
        return []
    check_losses(losses)
    ready = {name: workers[name] for name in losses}
    rows = min(net.epoch_rows, VERIFY_STEPS * net.batch) if arguments.quick else net.epoch_rows
    if mode == "epoch":
        for name, worker in ready.items():
            worker.open(FACTORY, {"name": name, "net": asdict(net), "rows": rows, "rule": asdict(rule)})
    rounds = arguments.rounds or (3 if arguments.quick else net.rounds)
    times = harness.interleave(ready, mode, rounds, arguments.turn)
    steps = -(-rows // net.batch) if mode == "epoch" else 1
    return [
        training_record(net, case, name, calls, samples, steps, losses[name][1], ready[name])
        for name, (calls, samples) in times.items()
    ]


def close_all(workers: dict[str, Worker]) -> None:
    while workers:
        workers.popitem()[1].close()


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


def pasted(records: Sequence[Record], nets: Sequence[str]) -> str:
    """The table of README.md: a row a net, machine and minute above it, shares of the peak beside the times.

    The FMA peak is measured now; with 100 % of it, the products alone would take the whole time.
    """
    facts = environment()
    core: Any = import_module("gradcore._core")
    peak = fma_peak(str(core.build_info()["isa"]))
    contenders = list(dict.fromkeys(record.contender for record in records))
    rows = []
    for name in nets:
        net, mode = NETS[name], "epoch" if NETS[name].shuffle else "step"
        found = {r.contender: r for r in records if r.case == f"{name} {mode}"}
        shown = []
        for contender in contenders:
            record = found.get(contender)
            if record is None:
                shown.append("")
                continue
            steps = -(-net.epoch_rows // net.batch) if mode == "epoch" else 1
            text = harness.duration(record.median)
            if peak:
                limit = peak.one if name in ONE_CORE else peak.every
                text += f", {100 * net.flops * steps / record.median / 1e9 / limit:.0f} %"
            shown.append(text)
        if found:
            rows.append([f"{net.title}{', an epoch' if mode == 'epoch' else ''}", *shown])
    machine = f"{facts['cores']} cores of {facts['cpu']} ({facts['instruction sets']})"
    head = f"{machine}, {facts['date'][:16]} UTC, taken meanwhile {facts['taken meanwhile']}, "
    head += f"commit {facts['commit']}, {facts['packages']}."
    if peak:
        head += f" Shares are of the FMA peak, {peak.every:.0f} GFLOP/s on all cores; "
        head += f"for {' and '.join(ONE_CORE)} of one core's, {peak.one:.0f}."
    return f"{head}\n\n{harness.markdown(['net, batch', *contenders], rows)}"


class Python(argparse.Action):
    """torch=/usr/bin/python3 -> {"torch": "/usr/bin/python3"}"""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: object,
                 option: str | None = None) -> None:  # fmt: skip
        name, found, path = str(value).partition("=")
        if not found or name not in CONTENDERS or not path:
            parser.error(f"{option}: expected CONTENDER=PATH, got {value!r}")
        namespace.python = {**namespace.python, name: path}


def clip_limit(text: str) -> float | None:
    """ "none", or a number > 0."""
    if text == "none":
        return None
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected none or a number > 0, got {text!r}")
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = harness.Parser(
        prog="gradcore bench training",
        description="Training-step times of gradcore and its peers.",
        epilog="example: gradcore bench training --nets a b --contenders gradcore torch-fused",
    )
    on_request = [name for name, (_, _, request) in CONTENDERS.items() if request]
    parser.add_argument("--nets", nargs="+", choices=NETS, help="default: all; with --quick the small ones")
    parser.add_argument(
        "--contenders", nargs="+", choices=(*CONTENDERS, "all"), metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}, all (default: all but {', '.join(on_request)}, slow to compile)",
    )  # fmt: skip
    parser.add_argument("--mode", choices=("step", "epoch"), help="only this one")
    parser.add_argument("--optimizers", nargs="+", choices=RATES, default=["adam"], help="default: adam")
    parser.add_argument(
        "--clip", nargs="+", type=clip_limit, default=[None], metavar="LIMIT",
        help="largest global norm of the gradient, or none (default: none); several are measured in turn",
    )  # fmt: skip
    parser.add_argument(
        "--python", action=Python, default={}, metavar="CONTENDER=PATH", help="interpreter of a contender"
    )
    parser.add_argument(
        "--table", action="store_true", help="also a table to paste: machine, minute, shares of the peak"
    )
    harness.add_common_options(parser)
    return parser


def choose(arguments: argparse.Namespace) -> None:
    """Fill in the defaults that depend on other options."""
    if arguments.contenders is None:
        arguments.contenders = [name for name, (_, _, on_request) in CONTENDERS.items() if not on_request]
    elif "all" in arguments.contenders:
        arguments.contenders = list(CONTENDERS)
    small = [name for name, net in NETS.items() if net.flops <= QUICK_FLOPS and net.dataset == "random"]
    arguments.nets = arguments.nets or (small if arguments.quick else list(NETS))
    arguments.left_out = []
    if not hasattr(import_module("gradcore"), "LayerNorm"):
        blocks = [name for name in arguments.nets if NETS[name].residual]
        arguments.nets = [name for name in arguments.nets if name not in blocks]
        arguments.left_out += [f"{name}: this gradcore has no LayerNorm" for name in blocks]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = harness.parse(make_parser(), argv)
    choose(arguments)
    rules = [Rule(optimizer, clip) for optimizer in arguments.optimizers for clip in arguments.clip]
    cases = [
        (NETS[name], rule, mode)
        for name in arguments.nets
        for mode in modes_of(NETS[name])
        for rule in rules
        if arguments.mode in (None, mode)
    ]
    records: list[Record] = []
    workers: dict[str, Worker] = {}
    try:
        for net, rule, mode in cases:
            records += measure(net, rule, mode, arguments, workers)
            if not arguments.quick:
                close_all(workers)
    except (Disagreement, WorkerError) as error:
        say(f"failed: {error}")
        return 1
    finally:
        close_all(workers)
    parts = [f"- {net}: {NETS[net].title}, {NETS[net].loss}" for net in arguments.nets]
    if "fashion" in arguments.nets and not fashion_is_real():
        parts.append("- fashion: random pixels and labels of the same shape, the files are not installed")
    columns = ["GFLOP/s", "peak MB", "loss after 20", "settings"]
    if "fashion" in arguments.nets:
        columns.insert(3, "test accuracy")
    parts += ["", harness.table(records, columns=columns), ""]
    if not arguments.quick:
        parts += verdicts(records)
    if arguments.table:
        parts += ["", pasted(records, arguments.nets), ""]
    if arguments.left_out:
        parts += ["", "Left out:", "", *(f"- {line}" for line in dict.fromkeys(arguments.left_out))]
    harness.finish_report(arguments, records, "\n".join(parts))
    return 0


if __name__ == "__main__":
    harness.run_script(main)
