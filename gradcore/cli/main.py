"""The command line: this file only parses; each command is a module beside it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__

__all__ = ["main"]

_DATA = "a CSV (.csv, .tsv, .txt; may end in .gz), Parquet or NPZ file, or a folder of IDX files (MNIST)"


class _Parser(argparse.ArgumentParser):
    """Usage errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"gradcore: error: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Default: the arguments of the process.

    Returns
    -------
    int
        The exit status: 0, 1 for a benchmark that failed or became slower, 2 for wrong usage or bad data,
        130 after Ctrl-C.
    """
    _show_any_text()
    try:
        arguments = _parse(sys.argv[1:] if argv is None else list(argv))
        from ..errors import GradcoreError

        try:
            status = _run(arguments)
            sys.stdout.flush()
        except (GradcoreError, MemoryError) as error:
            text = " ".join(str(error).split()) or "not enough memory"
            print(f"gradcore: error: {text}", file=sys.stderr)
            return 2
    except KeyboardInterrupt:
        print("gradcore: interrupted", file=sys.stderr)
        return 130
    except OSError as error:  # of standard output; commands turn those of files into GradcoreErrors
        # Python's own flush at exit would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader, `head` for one, has enough
            return 1
        print(f"gradcore: error: standard output: {error.strerror or error}", file=sys.stderr)
        return 2
    return status


def _run(arguments: argparse.Namespace) -> int:
    """Run a command, whose module is imported only then."""
    match arguments.command:
        case "demo":
            from . import demo

            demo.run(arguments)
        case "train":
            from . import train

            train.run(arguments)
        case "predict":
            from . import predict

            predict.run(arguments)
        case "find-lr":
            from . import find_lr

            find_lr.run(arguments)
        case "bench":
            from . import bench

            return bench.run(arguments)
        case _:
            from . import info

            info.run(arguments)
    return 0


def _show_any_text() -> None:
    """Let standard output take every name that a file may have."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _parse(argv: list[str]) -> argparse.Namespace:
    """Everything behind "bench" belongs to the benchmarks, which parse it themselves, but its help."""
    if argv[:1] == ["bench"] and argv[1:2] not in (["-h"], ["--help"]):
        return argparse.Namespace(command="bench", options=argv[1:])
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gradcore", description="Trains dense neural networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"gradcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _demo(commands)
    _train(commands)
    _predict(commands)
    _find_lr(commands)
    _info(commands)
    _bench(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=_DATA)
    header = parser.add_mutually_exclusive_group()
    header.add_argument(
        "--header", action="store_true", default=None, help="the first line of a CSV file has the names"
    )
    header.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="it has not (default: what a comparison with the lines below shows)",
    )


def _demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "demo",
        "show a vanishing gradient and its cure on shipped data",
        "gradcore demo --output gradients.png",
    )
    parser.add_argument("--output", metavar="PICTURE", help="also draw the bars to a .png, .svg or .pdf file")
    parser.add_argument("--threads", type=_positive, metavar="N", help="threads (default: 1)")
    _json(parser)


def _data_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    data = parser.add_argument_group("data")
    data.add_argument("--target", metavar="COLUMN", help="name or position of the target (default: the last)")
    data.add_argument("--drop", metavar="A,B", type=_names, default=(), help="columns to leave out")
    data.add_argument(
        "--text", metavar="A,B", type=_names, default=(), help="columns of numbers that are names"
    )
    data.add_argument(
        "--task",
        choices=("classes", "number"),
        help="what the target is (default: classes for texts and for at most 20 different whole numbers)",
    )
    data.add_argument(
        "--no-standardize",
        dest="standardize",
        action="store_false",
        help="take the columns as they are (default: scale each to mean 0 and deviation 1)",
    )
    return data


def _network_options(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network")
    network.add_argument(
        "--hidden",
        type=_widths,
        default=(256, 128),
        metavar="A,B",
        help="hidden widths (default: 256,128; 0: none)",
    )
    network.add_argument(
        "--activation", default="relu", metavar="NAME", help="of hidden layers (default: relu)"
    )
    network.add_argument(
        "--dropout", type=_share, default=0.0, metavar="RATE", help="after each hidden layer"
    )


def _training_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    training = parser.add_argument_group("training")
    training.add_argument("--optimizer", default="adam", metavar="NAME", help="adam, adamw, sgd, rmsprop")
    training.add_argument(
        "--batch-size", type=_positive, metavar="N", help="default: 128, 32 below 2,000 rows"
    )
    training.add_argument("--threads", type=_positive, metavar="N", help="default: as gradcore info says")
    return training


def _train(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "train",
        "train a network on a file of data",
        "gradcore train houses.csv --target price --hidden 64,32 --output houses.gradcore",
    )
    _table_options(parser)
    data = _data_options(parser)
    data.add_argument("--test", metavar="DATA", help="more data of the same kind, for a final test")
    data.add_argument(
        "--validation",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="rows to hold out (default: 0.1; 0: none)",
    )
    _network_options(parser)
    training = _training_options(parser)
    training.add_argument(
        "--lr", type=_number, default=1e-3, metavar="LR", help="learning rate (default: 0.001)"
    )
    training.add_argument("--epochs", type=_positive, metavar="N", help="default: 10, more for small data")
    training.add_argument(
        "--patience", type=_positive, metavar="N", help="stop after N epochs without improvement"
    )
    training.add_argument("--seed", type=_natural, default=0, metavar="S", help="first seed (default: 0)")
    training.add_argument(
        "--seeds", type=_positive, default=1, metavar="N", help="train N times and print the mean"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", metavar="MODEL", help="save the model of the first seed")
    output.add_argument("--history", metavar="CSV", help="save the epochs of the first seed")
    _json(output)  # type: ignore[arg-type]


def _predict(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "predict",
        "apply a model that train saved",
        "gradcore predict houses.gradcore new.csv --output prices.csv",
    )
    parser.add_argument("model", metavar="MODEL", help="the file that gradcore train --output wrote")
    _table_options(parser)
    parser.add_argument("--output", metavar="CSV", help="write here (default: standard output)")
    parser.add_argument("--proba", action="store_true", help="also the probability of every class")
    parser.add_argument("--threads", type=_positive, metavar="N", help="default: as gradcore info says")
    _json(parser)


def _find_lr(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "find-lr",
        "suggest a learning rate for train from a short training with a rising rate",
        "gradcore find-lr houses.csv --target price --hidden 64,32 --plot rates.png",
    )
    _table_options(parser)
    _data_options(parser)
    _network_options(parser)
    training = _training_options(parser)
    training.add_argument("--seed", type=_natural, default=0, metavar="S", help="first seed (default: 0)")
    test = parser.add_argument_group("range")
    test.add_argument("--low", type=_number, default=1e-6, metavar="LR", help="first rate (default: 1e-6)")
    test.add_argument("--high", type=_number, default=10.0, metavar="LR", help="last rate (default: 10)")
    test.add_argument("--steps", type=_positive, default=100, metavar="N", help="updates (default: 100)")
    test.add_argument(
        "--repeats", type=_positive, default=3, metavar="N", help="seeds to average over (default: 3)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--plot", metavar="PICTURE", help="also draw it to a .png, .svg or .pdf file")
    _json(output)  # type: ignore[arg-type]
    parser.set_defaults(test=None, validation=0.0, epochs=1, lr=1e-3)


def _bench(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        "bench",
        "measure the speed of a source checkout next to other libraries",
        "gradcore bench training --nets a b --contenders gradcore torch-fused",
    )
    parser.usage = "gradcore bench [-h] [SUITE|compare|plot] [options]"
    parser.add_argument(  # for the help only, see _parse
        "options",
        nargs="*",
        metavar="SUITE",
        help="kernels, training, scaling, contention, regret, startup (default: all of these), health, "
        "compare or plot, then its options, which SUITE --help lists; --quick runs all in two minutes",
    )


def _info(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands, "info", "say what this build is and what it found on this machine", "gradcore info --json"
    )
    _json(parser)


def _number(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a number in [0, 1), got {text!r}")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 0, got {text!r}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _widths(text: str) -> tuple[int, ...]:
    return () if text.strip() == "0" else tuple(_positive(part) for part in text.split(","))


for _type, _name in (
    (_number, "number"),
    (_share, "share"),
    (_natural, "whole number"),
    (_positive, "whole number"),
):
    _type.__name__ = _name  # what argparse calls it in "invalid ... value"
_widths.__name__ = "list of widths"
