"""Trainings in which a random thread is late at every barrier: always the bits of one thread."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-O2", "-fopenmp", "-DGRC_STRESS"]


def build(folder: Path, compiler: str) -> Path:
    """tests/c/test_threads.c on top of a core that makes threads late."""

    def compile_one(source: Path) -> str:
        target = folder / ("_".join(source.relative_to(ROOT).parts) + ".o")
        subprocess.run([compiler, *FLAGS, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sorted((ROOT / "src_c").rglob("*.c"))))
    program = folder / "test_threads"
    source = str(ROOT / "tests" / "c" / "test_threads.c")
    includes = f"-I{ROOT / 'src_c'}"
    command = [compiler, *FLAGS, "-pthread", includes, source, *objects, "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.mark.long
def test_ten_thousand_trainings_behind_a_loss_that_is_not_finite(tmp_path):
    """The loss of a full batch is infinite, its gradient is not, and a shorter batch follows."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler")
    program = build(tmp_path, compiler)
    done = subprocess.run([str(program), "10000"], capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
