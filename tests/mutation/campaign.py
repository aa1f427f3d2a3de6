"""A campaign: mutants one after the other, each against the tests, every result kept at once.

A result is a line of JSON; the last one of a mutant counts. So a campaign that was stopped goes on where it
was. All times are the processor's.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .choice import core_files, quotas, ranked
from .mapping import tests_of
from .operators import Mutant, mutants
from .source import Source
from .workshop import Outcome, Workshop

TOTAL = 60.0  # seconds of tests that a mutant meets
_FILES = 25.0  # seconds that its test files take without a fault; more of the mapped ones are left out
_LONGEST = 30.0  # of one test file that may still be taken, if no shorter one is mapped before it
_QUICK = 5.0  # C tests that take longer come after the test files
_SLACK, _FACTOR = 10.0, 3.0  # a program hangs that takes longer than both: seconds, and times its usual time
COUNTED = ("killed", "survived")


def anywhere(key: str) -> str:
    """The name of a mutant without the number of its line, which changes when the file does."""
    file, _, operator, code = key.split(":")
    return f"{file}:{operator}:{code}"


@dataclass
class Results:
    """The file of results, and the last result of each mutant."""

    path: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    row = json.loads(line)
                    self.rows[row["id"]] = row
                except (ValueError, KeyError, TypeError):
                    continue  # the line at which a campaign was stopped

    def find(self, mutant: Mutant) -> dict[str, Any] | None:
        """The result of a mutant; that of the same line where it stood before, if there is one alone."""
        row = self.rows.get(mutant.key)
        if row is None:
            same = [row for key, row in self.rows.items() if anywhere(key) == anywhere(mutant.key)]
            row = same[0] if len(same) == 1 else None
        return row

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["id"]] = row
        with self.path.open("a+b") as file:
            torn = file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n"
            file.write((b"\n" if torn else b"") + json.dumps(row).encode() + b"\n")

    def of(self, *verdicts: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if row["verdict"] in verdicts]


@dataclass
class Campaign:
    """Tests mutants in a workshop.

    Attributes
    ----------
    workshop : Workshop
        Prepared.
    results : Results
    say : callable
        Takes lines about what happens.
    quick : bool
        Whether the slow C tests and most test files are left out: what they would kill is looked at again.
    """

    workshop: Workshop
    results: Results
    say: Callable[[str], None] = print
    quick: bool = False
    _times: dict[str, float] = field(default_factory=dict)
    _installed: Path | None = None

    def run(self, count: int, seed: int, only: Iterable[str] = ()) -> None:
        """Tests as many mutants of each file as its share of `count` says; those with a result count."""
        texts = {file: (self.workshop.tree / file).read_text() for file in core_files(self.workshop.tree)}
        shares = quotas({file: Source(text).code_lines for file, text in texts.items()}, count)
        wanted = tuple(only)
        for file, text in texts.items():
            if wanted and not any(part in file for part in wanted):
                continue
            counted = 0
            for mutant in ranked(file, text, seed):
                if counted >= shares[file]:
                    break
                row = self.results.find(mutant) or self.test(mutant)
                counted += row["verdict"] in COUNTED

    def again(self, keys: Iterable[str], *, whole: bool, limit: float = TOTAL) -> None:
        """Tests mutants by their names once more, by the whole suite or as the first time."""
        for key in list(keys):
            file = key.split(":")[0]
            found = [m for m in self.candidates(file) if anywhere(m.key) == anywhere(key)]
            found = [m for m in found if m.key == key] or found
            if found:
                if found[0].key != key:
                    self.results.add({**self.results.rows[key], "verdict": "moved"})
                self.test(found[0], whole=whole, limit=limit)
            else:
                self.say(f"{key}: the line is not there any more")

    def candidates(self, file: str) -> list[Mutant]:
        path = self.workshop.tree / file
        return mutants(file, path.read_text()) if path.is_file() else []

    def test(self, mutant: Mutant, *, whole: bool = False, limit: float = TOTAL) -> dict[str, Any]:
        """Builds one mutant, tests it, and keeps the result."""
        in_c, in_python = tests_of(mutant.file, self.workshop.tree)
        in_c += [name for name in self.workshop.tests if name not in in_c]
        for name in in_c:
            self._measure(name)
        if self.quick:
            in_c = [name for name in in_c if self._times[name] < _QUICK]
        text = (self.workshop.tree / mutant.file).read_text()
        verdict, by, begin = self.workshop.build(mutant.file, mutant.apply(text)), "", time.monotonic()
        if verdict == "built":
            in_c.sort(key=lambda name: self._times[name])
            verdict, by = self._judge(in_c, in_python, whole, limit)
        row = {
            "id": mutant.key,
            "file": mutant.file,
            "line": mutant.line,
            "operator": mutant.operator,
            "before": " ".join(mutant.before.split()),
            "after": " ".join(mutant.after.split()),
            "verdict": verdict,
            "by": by,
            "suite": "whole" if whole else "quick" if self.quick else "mapped",
            "seconds": round(time.monotonic() - begin, 1),
        }
        self.results.add(row)
        self.say(f"{row['verdict']:<12} {row['seconds']:5.1f} s  {mutant.key}  {by}")
        return row

    def _judge(self, in_c: list[str], in_python: list[str], whole: bool, limit: float) -> tuple[str, str]:
        """The verdict, and the test that it came from.

        A program counts as hanging when it exceeds its own limit; when only the time for all of them is up,
        the mutant has survived so far.
        """
        quick = [name for name in in_c if self._times[name] < _QUICK]
        slow = [name for name in in_c if name not in quick]
        left = limit
        for step in [*quick, None, *slow]:
            if step is None:
                files = [] if whole else self._that_fit(in_python)
                if not files and not whole:
                    continue
                self._install(self.workshop.mutant)
                usual = limit if whole else sum(self._times[file] for file in files)
                own = max(_SLACK, _FACTOR * usual)
                outcome = self.workshop.run_pytest(files, min(own, left))
                failed = re.search(r"^(?:FAILED|ERROR) (\S+)", outcome.output, re.MULTILINE)
                by = failed.group(1).removeprefix("tests/") if failed else "pytest"
            else:
                own = max(_SLACK, _FACTOR * self._times[step])
                outcome = self.workshop.run_c(self.workshop.mutant, step, min(own, left))
                by = f"{step}.c"
            if outcome.status is None and not outcome.stuck and left < own:
                return "survived", "out of time"
            if outcome.status == 5 and step is None:
                raise RuntimeError(f"no test was run:\n{outcome.output}")
            if not outcome.passed:
                return "killed", by + _how(outcome)
            left = max(1.0, left - outcome.seconds)
        return "survived", ""

    def _that_fit(self, files: list[str]) -> list[str]:
        """The first files that pass without a fault and take the allowed time together; one at least."""
        taken: list[str] = []
        for file in files:
            seconds = self._measure(file)
            if seconds < 0:
                continue
            most = _FILES / 3 if self.quick else _FILES
            if taken and sum(self._times[name] for name in taken) + seconds > most:
                continue
            taken.append(file)
        return taken

    def _measure(self, name: str) -> float:
        """How long a test takes without a fault; below 0 where it fails. Kept for later campaigns."""
        kept = self.results.path.with_name("times.json")
        if not self._times and kept.exists():
            self._times = json.loads(kept.read_text())
        if name not in self._times:
            if name.endswith(".py"):
                self._install(self.workshop.original)
                outcome = self.workshop.run_pytest([name], _LONGEST)
                if outcome.status == 5:  # all of its tests are slow ones
                    outcome = Outcome(0, "", outcome.seconds)
            else:
                outcome = self.workshop.run_c(self.workshop.original, name, 3 * TOTAL)
                if not outcome.passed:
                    raise RuntimeError(f"{name}.c fails without a fault:\n{outcome.output[-2000:]}")
            self._times[name] = outcome.seconds if outcome.passed else -1.0
            kept.write_text(json.dumps(self._times))
            if outcome.passed:
                self.say(f"{name} takes {outcome.seconds:.1f} s")
            elif outcome.status is None:
                self.say(f"{name} is left out: it takes more than {_LONGEST:.0f} s")
            else:
                self.say(f"{name} is left out: it fails without a fault\n{outcome.output[-1000:]}")
        return self._times[name]

    def _install(self, folder: Path) -> None:
        if folder != self._installed or folder == self.workshop.mutant:
            self.workshop.install(folder)
            self._installed = folder


def _how(outcome: Outcome) -> str:
    if outcome.status is None:
        return " (stuck)" if outcome.stuck else f" (still running after {outcome.seconds:.0f} s)"
    return f" (signal {-outcome.status})" if outcome.status < 0 else ""


def report(results: Results, reasons: dict[str, str]) -> str:
    """Counts by operator, and every survivor with the reason that is known, in Markdown."""
    killed, survived = results.of("killed"), results.of("survived")
    counted = len(killed) + len(survived)
    share = f"{len(killed) / counted:.1%}" if counted else "none"
    lines = [
        f"{counted} mutants counted, {len(killed)} killed ({share}), {len(survived)} survived. "
        f"Not counted: {len(results.of('no compile'))} that do not compile, "
        f"{len(results.of('same object'))} of which the compiler makes the same code.",
        "",
        "| operator | killed | survived |",
        "|---|---|---|",
    ]
    dead, alive = (Counter(row["operator"] for row in rows) for rows in (killed, survived))
    lines += [f"| {name} | {dead[name]} | {alive[name]} |" for name in sorted(dead | alive)]
    hanging = sum(re.search(r"\((stuck|still running)", row["by"]) is not None for row in killed)
    in_c = sum(bool(re.match(r"\w+\.c\b", row["by"])) for row in killed)
    lines += ["", f"Killed by C tests: {in_c}, by pytest: {len(killed) - in_c}; of all, {hanging} hung."]
    if survived:
        lines += ["", "| survivor | line | becomes | why |", "|---|---|---|---|"]
    for row in sorted(survived, key=lambda row: (row["file"], row["line"])):
        why = reasons.get(anywhere(row["id"])) or ("not examined" + (f" ({row['by']})" if row["by"] else ""))
        place = f"{row['file']}:{row['line']} {row['operator']}"
        cells = [place, f"`{row['before']}`", f"`{row['after']}`", why]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
