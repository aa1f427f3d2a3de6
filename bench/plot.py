"""Pictures of results that --jsonl wrote: one PNG for each suite found.

    python bench/plot.py results/*.jsonl --output pictures

Needs matplotlib and pandas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import harness
from harness import BadFile, say


class Missing(Exception):
    """A package that pictures need is not installed."""


def libraries() -> tuple[Any, Any]:
    """(matplotlib.figure, pandas)"""
    for package in ("matplotlib", "pandas"):
        try:
            import_module(package)
        except ImportError:
            raise Missing(f"{package}: needed to draw results; pip install {package}") from None
    import_module("matplotlib").use("Agg")
    return import_module("matplotlib.figure"), import_module("pandas")


def read(paths: Sequence[Path]) -> Any:
    """A DataFrame of all records: suite, case, contender, median, q1, q3 in seconds."""
    _, pandas = libraries()
    rows = [vars(record) for path in paths for record in harness.read_records(path).values()]
    if not rows:
        raise BadFile(f"{paths[0]}: expected records, found none")
    return pandas.DataFrame(rows)[["suite", "case", "contender", "median", "q1", "q3"]]


def new_axes(width: float, height: float) -> tuple[Any, Any]:
    figure = libraries()[0].Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def bars(frame: Any, title: str) -> Any:
    """Cases downwards, a bar for each contender, a line from quartile to quartile."""
    cases, contenders = list(frame["case"].unique()), list(frame["contender"].unique())
    figure, axes = new_axes(9, 1.2 + 0.16 * len(cases) * (len(contenders) + 1))
    thickness = 0.85 / len(contenders)
    for i, contender in enumerate(contenders):
        part = frame[frame["contender"] == contender]
        at = [cases.index(case) + i * thickness for case in part["case"]]
        spread = [(part["median"] - part["q1"]).clip(lower=0), (part["q3"] - part["median"]).clip(lower=0)]
        axes.barh(at, part["median"], thickness, xerr=spread, label=contender, error_kw={"elinewidth": 0.8})
    axes.set_yticks([i + 0.425 - thickness / 2 for i in range(len(cases))], cases, fontsize=7)
    axes.set(xscale="log", xlabel="seconds, less is better", title=title, ylim=(len(cases), -0.5))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=7)
    return figure


def lines(frame: Any, sweep: str) -> Any:
    """Time over the number that ends the case's name."""
    figure, axes = new_axes(7, 4.5)
    for contender, part in frame.groupby("contender", sort=False):
        x = part["case"].str.extract(r"(\d+)$", expand=False).astype(int)
        axes.plot(x, part["median"], "o-", label=contender)
        axes.fill_between(x, part["q1"], part["q3"], alpha=0.2)
    axes.set(xscale="log", yscale="log", xlabel=sweep, ylabel="seconds a step", title=f"A step over {sweep}")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def threads(frame: Any) -> Any:
    """Speed relative to one thread, a line for each width."""
    figure, axes = new_axes(7, 4.5)
    for case, part in frame.groupby("case", sort=False):
        counts = part["contender"].str.extract(r"^(\d+)", expand=False).astype(int)
        axes.plot(counts, part["median"].iloc[0] / part["median"], "o-", label=case.removeprefix("threads, "))
    axes.set(xlabel="threads", ylabel="times as fast as the first", title="A step over threads")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def grid(frame: Any) -> Any:
    """auto / best as a coloured table of widths and batches."""
    table = frame.pivot(index="case", columns="contender", values="median")
    ratio = table["auto"] / table.drop(columns="auto").min(axis=1)
    place = {case: tuple(map(int, re.findall(r"\d+", case))) for case in ratio.index}
    widths, batches = (sorted({key[i] for key in place.values()}) for i in (0, 1))
    figure, axes = new_axes(1.5 + 0.8 * len(batches), 1.5 + 0.5 * len(widths))
    values = [[float("nan")] * len(batches) for _ in widths]
    for case, (width, batch) in place.items():
        values[widths.index(width)][batches.index(batch)] = ratio[case]
        axes.text(batches.index(batch), widths.index(width), f"{ratio[case]:.2f}", ha="center", va="center")
    axes.imshow(values, cmap="RdYlGn_r", vmin=0.95, vmax=1.25, aspect="auto")
    axes.set_xticks(range(len(batches)), batches)
    axes.set_yticks(range(len(widths)), widths)
    axes.set(xlabel="batch", ylabel="width", title="Automatic threads / best fixed number")
    return figure


def pictures(frame: Any) -> dict[str, Callable[[], Any]]:
    """{file name: what draws it}; parts bound as defaults, since the names change in the loop."""
    found: dict[str, Callable[[], Any]] = {}
    for suite, part in frame.groupby("suite", sort=False):
        if suite == "scaling":
            kinds = part["case"].str.split(r"[ ,]", n=1, regex=True).str[0]
            for kind, own in part.groupby(kinds, sort=False):
                draw = {"threads": threads, "grid": grid}.get(kind)
                found[f"scaling-{kind}.png"] = (
                    (lambda own=own, draw=draw: draw(own))
                    if draw
                    else (lambda own=own, kind=kind: lines(own, kind))
                )
        elif suite == "kernels":
            for family, own in part.groupby(part["case"].str.split(" ").str[0], sort=False):
                found[f"kernels-{family}.png"] = lambda own=own, family=family: bars(
                    own, f"Kernels: {family}"
                )
        else:
            found[f"{suite}.png"] = lambda part=part, suite=suite: bars(part, suite.capitalize())
    return found


def draw_all(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Draw everything that the files hold into an existing folder; the pictures made."""
    made = []
    for name, draw in pictures(read(paths)).items():
        draw().savefig(folder / name, dpi=110)
        made.append(folder / name)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    parser = harness.Parser(
        prog="gradcore bench plot",
        description="Draw results that --jsonl wrote.",
        epilog="example: gradcore bench plot training.jsonl scaling.jsonl --output pictures",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--output", type=Path, default=Path("."), metavar="FOLDER", help="default: here")
    arguments = parser.parse_args(argv)
    try:
        libraries()
        arguments.output.mkdir(parents=True, exist_ok=True)
        for path in draw_all(arguments.files, arguments.output):
            say(str(path))
    except (Missing, BadFile) as error:
        parser.exit(2, f"gradcore: error: {error}\n")
    except OSError as error:
        parser.exit(2, f"gradcore: error: {arguments.output}: {error.strerror}\n")
    return 0


if __name__ == "__main__":
    harness.run_script(main)
