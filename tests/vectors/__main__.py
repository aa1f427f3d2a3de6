"""Makes stored vectors anew: ``python -m tests.vectors NAME``, from the project's folder.

Each make_NAME.py says what it writes and which library it needs; the numbers stand in .npz files beside it.
"""

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main():
    names = sorted(path.stem.removeprefix("make_") for path in HERE.glob("make_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=names)
    sys.path.insert(0, str(HERE.parent))
    importlib.import_module(f"vectors.make_{parser.parse_args().name}").main()


if __name__ == "__main__":
    main()
