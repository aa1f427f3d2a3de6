"""Builds the C core and the two extension modules; everything else stands in pyproject.toml.

The C core is compiled once: into the shared library gradcore/libgradcore-1.so, which _core and any C
program link, and into an archive, from which _testing takes the kernels that the library hides.
Objects are kept in build/ and rebuilt when their source, a header they include or their command changed.

Environment: GRADCORE_OPENMP=auto|0|1 (1: refuse to build without), GRADCORE_WERROR=1 (warnings are
errors), and the usual CC, CFLAGS, LDFLAGS.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError

MACOS = sys.platform == "darwin"
LIBRARY = "libgradcore-1.dylib" if MACOS else "libgradcore-1.so"
FLAGS = ["-O3", "-std=gnu11", "-g0", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-DNDEBUG"]
OPENMP = ["-Xpreprocessor", "-fopenmp"] if MACOS else ["-fopenmp"]
OPENMP_LINK = ["-lomp"] if MACOS else ["-fopenmp"]
OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


def find_compiler() -> list[str]:
    """CC, else the compiler of this Python where it is installed, else the first one found."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for command in (sysconfig.get_config_var("CC") or "", "cc", "gcc", "clang"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    raise CompileError("no C compiler found: install gcc or clang, or set CC")


def newest(paths: list[str]) -> int:
    return max((os.stat(path).st_mtime_ns for path in paths), default=0)


class Toolchain:
    """Compiles and links into one folder, each output only when its command or an input changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cc = find_compiler()
        self.user_flags = shlex.split(os.environ.get("CFLAGS", ""))
        self.user_link = shlex.split(os.environ.get("LDFLAGS", ""))
        self.openmp = self.find_openmp(os.environ.get("GRADCORE_OPENMP", "auto"))
        self.core_warnings = ["-Wall", "-Wextra"]
        if os.environ.get("GRADCORE_WERROR", "0") == "1":
            self.core_warnings.append("-Werror")

    def find_openmp(self, wish: str) -> bool:
        if wish not in ("auto", "0", "1"):
            raise CompileError(f"GRADCORE_OPENMP: expected auto, 0 or 1, got {wish!r}")
        if wish == "0":
            return False
        source, program = self.folder / "probe.c", self.folder / "probe"
        source.write_text(OPENMP_PROBE)
        command = [*self.cc, *self.user_flags, *OPENMP, str(source), "-o", str(program), *self.user_link]
        done = subprocess.run([*command, *OPENMP_LINK], capture_output=True, text=True)
        if done.returncode == 0:
            return True
        if wish == "1":
            raise CompileError(f"GRADCORE_OPENMP=1, but {self.cc[0]} cannot link OpenMP:\n{done.stderr}")
        print("gradcore: no OpenMP found, building without threads", file=sys.stderr)
        return False

    def make(self, output: Path, command: list[str], inputs: list[str], key: str = "") -> Path:
        """Runs `command` unless `output` is newer than its inputs and came from the same command.

        `key` stands for the command where that names folders that change with every build.
        """
        stamp, depfile = Path(f"{output}.command"), Path(f"{output}.d")
        key = key or shlex.join(command)
        try:
            if depfile.exists():
                inputs = inputs + dependencies(depfile)
            if stamp.read_text() == key and newest(inputs) <= output.stat().st_mtime_ns:
                return output
        except OSError:
            pass
        stamp.unlink(missing_ok=True)
        output.unlink(missing_ok=True)
        done = subprocess.run(command, capture_output=True, text=True)
        sys.stderr.write(done.stderr)
        if done.returncode != 0:
            raise CompileError(f"failed: {shlex.join(command)}")
        stamp.write_text(key)
        return output

    def translate(self, source: str, environment: str) -> Path:
        """Cython to C. Not by cythonize: it starts anew whenever pip makes a fresh build environment."""
        import Cython

        output = self.folder / (Path(source).stem + ".c")
        inputs = [str(path) for path in Path("gradcore").iterdir() if path.suffix in (".pyx", ".pxd", ".pxi")]
        command = [sys.executable, "-m", "cython", "-3", "-I.", source, "-o", str(output)]
        return self.make(output, command, inputs, f"Cython {Cython.__version__}, {environment}")

    def compile(self, source: str, flags: list[str], includes: dict[str, str]) -> Path:
        """includes: folder -> what identifies its content."""
        name = source.removeprefix(f"{self.folder}/").replace("/", "_")
        output = self.folder / (name.removesuffix(".c") + ".o")
        command = [*self.cc, *FLAGS, *flags, *self.user_flags]
        tail = ["-MMD", "-MF", f"{output}.d", "-c", source, "-o", str(output)]
        folders = [word for folder in includes for word in ("-isystem", folder)]
        key = shlex.join([*command, *includes.values(), *tail])
        return self.make(output, [*command, *folders, *tail], [source], key)

    def compile_core(self, sources: list[str]) -> list[Path]:
        flags = self.core_warnings + (OPENMP if self.openmp else [])
        told = re.sub(r"[\\\"]", "", shlex.join([*FLAGS, *flags, *self.user_flags]))
        flags = [*flags, f'-DGRADCORE_BUILD_FLAGS="{told}"']
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        slow_first = sorted(sources, key=lambda source: "/k_" not in source)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda source: self.compile(source, flags, {}), slow_first))

    def archive(self, objects: list[Path]) -> Path:
        output = self.folder / "libgradcore.a"
        names = [str(name) for name in objects]
        return self.make(output, [os.environ.get("AR", "ar"), "rcs", str(output), *names], names)

    def link(self, name: str, inputs: list[Path], exported: str, extra: list[str]) -> Path:
        """A shared object that exports the symbols of one pattern only."""
        output = self.folder / name
        names = [str(path) for path in inputs]
        command = [*self.cc, "-shared", *self.user_flags, *names, "-o", str(output), *extra]
        if MACOS:
            command += [f"-Wl,-exported_symbol,_{exported}", "-undefined", "dynamic_lookup"]
        else:
            script = self.folder / f"{name}.map"
            script.write_text(f"{{ global: {exported}; local: *; }};\n")
            command += [f"-Wl,--version-script={script}", "-Wl,-z,relro,-z,now"]
        command += [*self.user_link, *(OPENMP_LINK if self.openmp else []), "-lm"]
        return self.make(output, command, names)


def dependencies(depfile: Path) -> list[str]:
    """The files that a compiler's .d file lists."""
    words = re.split(r"(?<!\\)\s+", depfile.read_text().replace("\\\n", " ").strip())
    return [word.replace("\\ ", " ") for word in words[1:]]


class BuildModules(build_py):
    def run(self) -> None:
        """Starts from nothing, so that a module removed from the source does not live on in build/."""
        shutil.rmtree(Path(self.build_lib, "gradcore"), ignore_errors=True)
        super().run()


class BuildExtensions(build_ext):
    def build_extensions(self) -> None:
        import numpy

        os.chdir(Path(__file__).resolve().parent)
        tag = f"{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
        self.tools = Toolchain(Path("build", f"gradcore-{tag}"))
        sources = [str(path) for path in sorted(Path("src_c").rglob("*.c"))]
        self.objects = self.tools.compile_core(sources)
        name = ["-Wl,-install_name,@rpath/" + LIBRARY] if MACOS else [f"-Wl,-soname,{LIBRARY}", "-Wl,-z,defs"]
        self.library = self.tools.link(LIBRARY, self.objects, "gradcore_*", name)
        self.includes = {
            numpy.get_include(): f"numpy {numpy.__version__}",
            sysconfig.get_paths()["include"]: sys.version,
        }
        super().build_extensions()
        built = Path(self.build_lib, "gradcore")
        self.place(self.library, built / LIBRARY)
        # A Python started in the source folder imports the package from there: make that whole, too.
        if os.access("gradcore", os.W_OK):
            modules = [Path(self.get_ext_fullpath(ext.name)) for ext in self.extensions]
            for path in [built / LIBRARY, *modules]:
                self.place(path, Path("gradcore", path.name))

    def build_extension(self, ext: Extension) -> None:
        version = self.distribution.get_version()
        flags = ["-w", "-Igradcore/include", f'-DGRADCORE_PACKAGE_VERSION="{version}"']
        # Without the C line Cython mixes up included files in tracebacks that share a line number.
        flags += ["-DCYTHON_CLINE_IN_TRACEBACK=1", f"-fmacro-prefix-map={self.tools.folder}/="]
        flags.append("-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION")
        translated = self.tools.translate(ext.sources[0], " ".join(self.includes.values()))
        module = self.tools.compile(str(translated), [*flags, "-Isrc_c"], self.includes)
        if ext.name.endswith("_testing"):
            inputs, extra = [module, self.tools.archive(self.objects)], []
        else:
            origin = "@loader_path" if MACOS else "$ORIGIN"
            inputs, extra = [module, self.library], [f"-Wl,-rpath,{origin}"]
        leaf = ext.name.rpartition(".")[2]
        built = self.tools.link(f"{leaf}.so", inputs, f"PyInit_{leaf}", extra)
        self.place(built, Path(self.get_ext_fullpath(ext.name)))

    def place(self, source: Path, target: Path) -> None:
        """Copies by renaming, since a running program may have the old file mapped."""
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".new")
        shutil.copy(source, fresh)
        os.replace(fresh, target)

    def get_outputs(self) -> list[str]:
        return [*super().get_outputs(), os.path.join(self.build_lib, "gradcore", LIBRARY)]

    def get_output_mapping(self) -> dict[str, str]:
        mapping = dict(super().get_output_mapping())
        if self.inplace:
            mapping[os.path.join(self.build_lib, "gradcore", LIBRARY)] = os.path.join("gradcore", LIBRARY)
        return mapping


setup(
    ext_modules=[
        Extension("gradcore._core", ["gradcore/_core.pyx"]),
        Extension("gradcore._testing", ["gradcore/_testing.pyx"]),
    ],
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildModules},
)
