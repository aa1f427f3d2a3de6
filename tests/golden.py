"""Golden hashes: the bits that a seed and data must give, whatever the threads, instruction set and platform.

They stand in golden.json, which this program writes and nobody edits:

    python -m tests.golden            # computes them all and says what differs
    python -m tests.golden --update   # also writes the new ones, and drops those whose cases are gone

A test file declares its cases and how one is computed, `GOLDEN = golden.table("heads", CASES, trained_hash)`,
and compares with `GOLDEN[case]`. A hash that stands there changes only when GRADCORE_NUMERICS_VERSION does.
"""

import argparse
import importlib
import json
import re
import sys
from pathlib import Path

TESTS = Path(__file__).parent
PATH = TESTS / "golden.json"
HEADER = TESTS.parent / "gradcore" / "include" / "gradcore" / "gradcore.h"
COMMAND = "python -m tests.golden --update"
VERSION = "numerics version"
tables = {}


class Table:
    """The hashes of some cases: tuples of texts, or single texts."""

    def __init__(self, name, cases, compute):
        self.name, self.compute = name, compute
        self.cases = {_key(case): _tuple(case) for case in sorted(cases)}

    def __getitem__(self, case):
        found = load().get(self.name, {}).get(_key(case))
        assert found, f"tests/golden.json has no hash of {self.name!r}, {_key(case)!r}: run `{COMMAND}`"
        return found

    def computed(self):
        return {key: self.compute(*case) for key, case in self.cases.items()}


def table(name, cases, compute):
    """Declares cases; `compute(*case)` is the hash of one, made in any way."""
    made = Table(name, cases, compute)
    assert name not in tables or list(tables[name].cases) == list(made.cases), f"two tables {name!r}"
    tables[name] = made
    return made


def _tuple(case):
    return (case,) if isinstance(case, str) else tuple(case)


def _key(case):
    return ", ".join(_tuple(case))


def load():
    return json.loads(PATH.read_text())


def text(hashes):
    """What the file holds: tables and cases by name, so that the order of neither changes it."""
    named = {name: dict(sorted(hashes[name].items())) for name in sorted(set(hashes) - {VERSION})}
    return json.dumps({VERSION: hashes[VERSION], **named}, indent=2) + "\n"


def numerics_version():
    return int(re.search(r"#define GRADCORE_NUMERICS_VERSION (\d+)", HEADER.read_text()).group(1))


def import_tables():
    """All that test files declare."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if "golden.table(" in path.read_text():
            if str(path.parent) not in sys.path:
                sys.path.insert(0, str(path.parent))
            importlib.import_module(path.stem)
    return tables


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write what is new to golden.json")
    update = parser.parse_args().update
    old = load() if PATH.exists() else {VERSION: numerics_version()}
    new = {VERSION: numerics_version()}
    changed = []
    for name, one in import_tables().items():
        new[name] = one.computed()
        was = old.get(name, {})
        print(f"{name}: {len(new[name])} cases", flush=True)
        for key in [*new[name], *(key for key in was if key not in new[name])]:
            if was.get(key) != new[name].get(key):
                print(f"  {key}: {was.get(key, 'no hash')}, now {new[name].get(key, 'no case')}")
                changed += [key] if key in was and key in new[name] else []
    for name in sorted(set(old) - set(new)):
        print(f"{name}: no such table any more")
    if changed and old[VERSION] == new[VERSION]:
        sys.exit(f"{len(changed)} hashes changed, and GRADCORE_NUMERICS_VERSION did not: nothing is written")
    if update:
        PATH.write_text(text(new))
    elif text(new) != PATH.read_text():
        sys.exit(f"golden.json is not what the code gives: run `{COMMAND}`")


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    import golden  # under the name that test files import it by

    golden.main()
