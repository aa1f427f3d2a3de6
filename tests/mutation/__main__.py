"""The command: ``python -m tests.mutation``, from the project's folder."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .campaign import TOTAL, Campaign, Results, anywhere, report
from .choice import core_files
from .operators import OPERATORS, Mutant, mutants
from .workshop import Workshop, alone

PROJECT = Path(__file__).resolve().parents[2]
REASONS = Path(__file__).with_name("reasons.json")


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    folder = Path(arguments.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder / "results.jsonl")
    if arguments.list:
        for mutant in _all(PROJECT):
            print(f"{mutant.key}\n  - {mutant.before.strip()}\n  + {mutant.after.strip()}")
        return 0
    if not arguments.report:
        with alone(folder):
            campaign = Campaign(Workshop(PROJECT, folder), results, lambda line: print(line, flush=True))
            campaign.quick = arguments.quick
            campaign.workshop.prepare()
            if arguments.survivors:
                keys = [row["id"] for row in results.of("survived")]
                campaign.again(keys, whole=True, limit=60 * arguments.minutes)
            elif arguments.again:
                keys = [key for key in results.rows if any(part in key for part in arguments.again)]
                if "survived" in arguments.again:
                    keys += [row["id"] for row in results.of("survived")]
                campaign.again(dict.fromkeys(keys), whole=False)
            else:
                campaign.run(arguments.count, arguments.seed, arguments.only)
    # Of lines that have changed since, nothing is known any more.
    tested = folder / "tree" if (folder / "tree").exists() else PROJECT
    here = {anywhere(mutant.key) for mutant in _all(tested)}
    results.rows = {key: row for key, row in results.rows.items() if anywhere(key) in here}
    reasons = json.loads(REASONS.read_text()) if REASONS.exists() else {}
    print(report(results, reasons))
    killed, survived = len(results.of("killed")), len(results.of("survived"))
    return int(killed < arguments.least * (killed + survived))


def _all(root: Path) -> Iterator[Mutant]:
    for file in core_files(root):
        yield from mutants(file, (root / file).read_text())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Puts small faults into the C core, one at a time, and sees whether the tests notice.",
        epilog=f"Operators: {', '.join(OPERATORS)}. A mutant meets the C tests, then the test files that its "
        f"file is mapped to, {TOTAL:.0f} s at most. Results are kept in FOLDER/results.jsonl; called again, "
        "a campaign goes on where it was stopped. The checkout is never changed.",
    )
    parser.add_argument(
        "--folder",
        default=str(Path(tempfile.gettempdir(), "gradcore-mutation")),
        help="scratch folder, outside the checkout (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=int, default=240, help="mutants over all files (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=(), metavar="PART", help="files with it in their path")
    parser.add_argument(
        "--quick", action="store_true", help="a first look, by the fast tests; then --again survived"
    )
    parser.add_argument("--survivors", action="store_true", help="survivors meet the whole suite")
    parser.add_argument(
        "--minutes", type=float, default=60, help="for the whole suite, a mutant (default: %(default)g)"
    )
    parser.add_argument(
        "--again",
        nargs="+",
        metavar="PART",
        help="test mutants with this in their name once more; 'survived': those that survived",
    )
    parser.add_argument("--report", action="store_true", help="print what is known and stop")
    parser.add_argument("--list", action="store_true", help="print every possible mutant and stop")
    parser.add_argument(
        "--least",
        type=float,
        default=0.9,
        help="share killed below which the status is 1 (default: %(default)g)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
