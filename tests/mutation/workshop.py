"""The scratch copy of the project: built once as it is, then again and again with one file changed.

Everything happens in the copy, the checkout is only read. Commands are those of setup.py, which leaves the
command of everything that it made beside it.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# At -O1 alone gcc leaves the upper halves of the vector registers in use, which makes scalar code crawl.
# With GRC_STRESS a random thread is late at every barrier, so that a missing one is noticed.
FLAGS = "-O1 -fexpensive-optimizations -DGRC_STRESS"
_SKIPPED = {".git", ".venv", "build", "dist", "__pycache__"}
_PRODUCTS = ("libgradcore-1.so",)  # what has code of the core in it
_MEMORY, _FILE = 24 << 30, 4 << 30  # bytes that a test may map, and write to one file
_IDLE = 20.0  # seconds without any work after which a program is stuck


@dataclass(frozen=True)
class Outcome:
    """How a test program ended: its exit status, None where it was stopped because it took too long.

    Time is the processor's, of the program and all that it started, so that a busy machine changes nothing.
    """

    status: int | None
    output: str
    seconds: float
    stuck: bool = False
    """Stopped because it did nothing at all any more."""

    @property
    def passed(self) -> bool:
        return self.status == 0


class Workshop:
    """A scratch folder with a copy of the project and what is built from it."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.tree = project, folder / "tree"
        self.original, self.mutant, self.temporary = folder / "original", folder / "mutant", folder / "tmp"
        if project in folder.resolve().parents or folder.resolve() == project:
            raise ValueError(f"the scratch folder must lie outside the project, got {folder}")
        for path in (self.tree, self.original, self.mutant, self.temporary):
            path.mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Brings the copy up to date and builds it and the C tests without a fault."""
        self._copy()
        flags = f"{os.environ.get('CFLAGS', '')} {FLAGS}".strip()
        self._must([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], {"CFLAGS": flags})
        (built,) = (self.tree / "build").glob("gradcore-*")
        self.built = built.relative_to(self.tree)
        self.products = {}
        for name in _PRODUCTS:
            (self.products[name],) = (self.tree / "gradcore").glob(name.replace(".so", "*.so"))
            shutil.copyfile(self.tree / self.built / name, self.original / name)
        listed = "from gradcore import _core; print(*_core.names('isa'))"
        self.isas = self._must([sys.executable, "-c", listed]).split()
        self.tests = sorted(path.stem for path in (self.tree / "tests" / "c").glob("test_*.c"))
        compiler, *rest = shlex.split((self.tree / self.built / "libgradcore-1.so.command").read_text())
        self.compiler, self.openmp = compiler, ["-fopenmp"] if "-fopenmp" in rest else []
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(self._compile_test, self.tests))
        for name in self.tests:
            self._link_test(self.original, name, self.tree / self.built / "libgradcore.a")

    def _copy(self) -> None:
        """The files of the project that are not made by building it; old ones that are gone, go."""
        wanted = set()
        for folder, names, files in os.walk(self.project):
            names[:] = [
                name for name in names if name not in _SKIPPED and not name.endswith((".egg-info", "_cache"))
            ]
            for file in files:
                path = Path(folder, file)
                if path.suffix not in (".so", ".o", ".a", ".pyc") and path.is_file():
                    wanted.add(path.relative_to(self.project))
        for path in wanted:
            source, target = self.project / path, self.tree / path
            if not target.exists() or not filecmp.cmp(source, target, shallow=False):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        for top in ("src_c", "tests", "gradcore"):
            for path in (self.tree / top).rglob("*"):
                kept = path.suffix in (".so", ".pyc") or path.relative_to(self.tree) in wanted
                if path.is_file() and not kept:
                    path.unlink()

    def _must(self, command: list[str], more: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command, cwd=self.tree, env={**os.environ, **(more or {})}, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _compile_test(self, name: str) -> None:
        source, target = self.tree / "tests" / "c" / f"{name}.c", self.original / f"{name}.o"
        flags = [*FLAGS.split(), "-w", *self.openmp, "-Isrc_c"]
        self._must([self.compiler, *flags, "-c", str(source), "-o", str(target)])

    def _link_test(self, folder: Path, name: str, archive: Path) -> None:
        inputs = [str(self.original / f"{name}.o"), str(archive)]
        self._must([self.compiler, *self.openmp, *inputs, "-lm", "-o", str(folder / name)])

    def objects_of(self, file: str) -> list[Path]:
        """The object files that depend on a file, without those of instruction sets that this CPU lacks."""
        found = []
        for rule in sorted((self.tree / self.built).glob("src_c_*.o.d")):
            isa = re.search(r"k_(\w+)\.o\.d$", rule.name)
            if isa and isa.group(1) not in self.isas:
                continue
            if file in rule.read_text().replace("\\\n", " ").split():
                found.append(Path(self.built, rule.name.removesuffix(".d")))
        return found

    def build(self, file: str, text: str) -> str:
        """Compiles one file with another text; what it goes into is linked when it is needed.

        Returns
        -------
        str
            "built", "no compile", or "same object": the compiler sees no difference.
        """
        target = self.tree / file
        kept = target.read_text()
        objects = self.objects_of(file)
        if not objects:
            raise RuntimeError(f"{file}: no object file depends on it")
        try:
            target.write_text(text)
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                compiled = list(pool.map(self._compile, objects))
        finally:
            target.write_text(kept)
            os.utime(target, ns=(0, 0))  # older than its objects, so that they stay
        if not all(compiled):
            return "no compile"
        if all(self._fresh(path).read_bytes() == (self.tree / path).read_bytes() for path in objects):
            return "same object"
        for path in self.mutant.iterdir():
            if path.suffix != ".o":
                path.unlink()
        self._changed = objects
        return "built"

    def _fresh(self, path: Path) -> Path:
        return self.mutant / path.name

    def _compile(self, path: Path) -> bool:
        words = shlex.split((self.tree / f"{path}.command").read_text())
        told = {str(path): str(self._fresh(path)), f"{path}.d": str(self._fresh(path)) + ".d"}
        command = [told.get(word, word) for word in words]
        return subprocess.run([*command, "-w"], cwd=self.tree, capture_output=True).returncode == 0

    def _link(self, name: str) -> Path:
        """A product with the changed objects in place of the originals."""
        product = self.mutant / name
        if not product.exists():
            told = {str(path): str(self._fresh(path)) for path in self._changed}
            told[str(Path(self.built, name))] = str(product)
            words = shlex.split((self.tree / f"{self.built}/{name}.command").read_text())
            self._must([told.get(word, word) for word in words])
        return product

    def install(self, folder: Path) -> None:
        """Puts the library of a folder (`original`, `mutant`) into the package."""
        for name, placed in self.products.items():
            if folder == self.mutant:
                self._link(name)
            fresh = placed.with_name(placed.name + ".new")
            shutil.copyfile(folder / name, fresh)
            os.replace(fresh, placed)

    def run_c(self, folder: Path, name: str, limit: float) -> Outcome:
        """A C test; it is stopped at its first failure."""
        if folder == self.mutant and not (folder / name).exists():
            self._link_test(folder, name, self._link("libgradcore.a"))
        return self._run([str(folder / name)], limit, ": failed: ")

    def run_pytest(self, files: list[str], limit: float, *more: str) -> Outcome:
        """Test files, all of them where none is named, up to the first failure."""
        options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line", *more]
        paths = [f"tests/{file}" for file in files]
        return self._run([sys.executable, "-m", "pytest", *options, *paths], limit)

    def _run(self, command: list[str], limit: float, stop_at: str = "") -> Outcome:
        with contextlib.suppress(OSError):
            shutil.rmtree(self.temporary)
        self.temporary.mkdir(exist_ok=True)
        cwd = self.tree if command[0] == sys.executable else self.temporary
        env = {**os.environ, "TMPDIR": str(self.temporary), "PYTHONFAULTHANDLER": "0"}
        if command[0] != sys.executable:
            env["GRADCORE_EXACT_THREADS"] = "1"
        log, before = self.mutant / "log", _used_by_children()
        with (
            log.open("wb") as out,
            subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_bounded,
            ) as process,
        ):
            try:
                status, stuck = self._wait(process, limit, log, stop_at)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return Outcome(status, log.read_text(errors="replace"), _used_by_children() - before, stuck)

    def _wait(
        self, process: subprocess.Popen[bytes], limit: float, log: Path, stop_at: str
    ) -> tuple[int | None, bool]:
        """The exit status, or None and whether the program was idle."""
        moved_at, at_that = time.monotonic(), 0.0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(0.2), False
            if stop_at and stop_at in log.read_text(errors="replace"):
                return 1, False
            used, now = _used_by_session(process.pid), time.monotonic()
            if used > limit:
                return None, False
            if used > at_that + 0.05:
                moved_at, at_that = now, used
            elif now > moved_at + _IDLE:
                return None, True


def _used_by_children() -> float:
    """Processor seconds of all children that have ended, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used_by_session(leader: int) -> float:
    """Processor seconds of the processes of a session, with those of their children that have ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _bounded() -> None:
    """In the child: no core files, and a fault that asks for the whole machine gets an error instead."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the scratch folder for one campaign at a time."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(f"{folder}: another campaign works there") from None
        yield
