"""Builds the C core and the extension modules; everything else stands in pyproject.toml.

The C core is compiled once: into the shared library gradcore/libgradcore-1.so, which the modules and any C
program link, and into an archive that stays in build/, for the C tests.
Every .pyx in gradcore/ is a module.
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

FOLDER = Path(__file__).resolve().parent
MACOS = sys.platform == "darwin"
LIBRARY = "libgradcore-1.dylib" if MACOS else "libgradcore-1.so"
FLAGS = ["-O3", "-std=gnu11", "-g0", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-DNDEBUG"]
OPENMP = ["-Xpreprocessor", "-fopenmp"] if MACOS else ["-fopenmp"]
OPENMP_LINK = ["-lomp"] if MACOS else ["-fopenmp"]
DIRECTIVES = ["boundscheck=False", "wraparound=False", "cdivision=True", "initializedcheck=False"]
# The binding is made for size, but for what small calls go through and where the loops over elements are.
SPEED = {"_core.arrays": "-O3"} | dict.fromkeys(
    ["_core.kernels", "_core.network", "_core.products", "_core.trainer", "_core.updates"], "-O2"
)
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
        self.core_warnings, self.cython_warnings = ["-Wall", "-Wextra"], []
        if os.environ.get("GRADCORE_WERROR", "0") == "1":
            self.core_warnings.append("-Werror")
            self.cython_warnings.append("-Werror")

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
        stamp, depfiles = Path(f"{output}.command"), [Path(f"{output}.d"), Path(f"{output}.dep")]
        key = key or shlex.join(command)
        try:
            for depfile in depfiles:
                if depfile.exists():  # gcc's or Cython's
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

    def translate(self, name: str, source: str, environment: str) -> Path:
        """Cython to C. Not by cythonize: it starts anew whenever pip makes a fresh build environment."""
        output = self.folder / f"{name}.c"
        directives = [f"-X{directive}" for directive in DIRECTIVES]
        flags = ["-3", "-I.", "--depfile", *directives, *self.cython_warnings]
        command = [sys.executable, "-m", "cython", *flags, source, "-o", str(output)]
        return self.make(output, command, [source], f"{environment}: {shlex.join(flags)}")

    def compile(self, source: str, flags: list[str], includes: dict[str, str]) -> Path:
        """includes: folder -> what identifies its content."""
        name = source.removeprefix(f"{self.folder}/").replace("/", "_")
        output = self.folder / (name.removesuffix(".c") + ".o")
        command = [*self.cc, *FLAGS, *flags, *self.user_flags]
        tail = ["-MMD", "-MF", f"{output}.d", "-c", source, "-o", str(output)]
        folders = [word for folder in includes for word in ("-isystem", folder)]
        key = shlex.join([*command, *includes.values(), *tail])
        return self.make(output, [*command, *folders, *tail], [source], key)

    def compile_core(self, source: str) -> Path:
        flags = self.core_warnings + (OPENMP if self.openmp else [])
        told = re.sub(r"[\\\"]", "", shlex.join([*FLAGS, *flags, *self.user_flags]))
        return self.compile(source, [*flags, f'-DGRADCORE_BUILD_FLAGS="{told}"'], {})

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
            command += [f"-Wl,--version-script={script}", "-Wl,-z,relro,-z,now", "-Wl,-s"]
        command += [*self.user_link, *(OPENMP_LINK if self.openmp else []), "-lm"]
        return self.make(output, command, names)


def dependencies(depfile: Path) -> list[str]:
    """The files of this project that a compiler's list of dependencies names."""
    words = re.split(r"(?<!\\)\s+", depfile.read_text().replace("\\\n", " ").strip())
    return [word.replace("\\ ", " ") for word in words[1:] if not word.startswith(("../", "/"))]


def write_constants(path: Path) -> None:
    """Every enumerator of the public headers by its name, so that Python reads it and repeats none."""
    headers = [header.read_text() for header in sorted(Path("gradcore/include/gradcore").glob("*.h"))]
    code = re.sub(r"/\*.*?\*/", "", "".join(headers), flags=re.DOTALL)
    enums = re.findall(r"\benum\b[^;{]*{(.*?)}", code, flags=re.DOTALL)
    names = re.findall(r"\bGRADCORE_\w+(?= =)", "".join(enums))
    rows = "".join(f'    {{"{name}", {name}}},\n' for name in names)
    text = (
        "/* Written by setup.py: the enumerators of gradcore.h. */\n"
        "static const struct gradcore_constant {\n    const char *name;\n    int64_t value;\n"
        f"}} gradcore_constants[] = {{\n{rows}    {{NULL, 0}},\n}};\n"
    )
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def modules(folder: Path) -> list[Extension]:
    paths = [path.relative_to(folder) for path in sorted(folder.glob("gradcore/**/*.pyx"))]
    return [Extension(".".join(path.with_suffix("").parts), [str(path)]) for path in paths]


def short(ext: Extension) -> str:
    """The name of a module without the package's: that of its files in build/."""
    return ext.name.removeprefix("gradcore.")


def in_source(ext: Extension, built: Path) -> Path:
    """Where a module goes that is used from the source folder."""
    return Path(ext.sources[0]).with_name(built.name)


class BuildModules(build_py):
    def run(self) -> None:
        """Starts from nothing, so that a module removed from the source does not live on in build/."""
        shutil.rmtree(Path(self.build_lib, "gradcore"), ignore_errors=True)
        super().run()


class BuildExtensions(build_ext):
    def build_extensions(self) -> None:
        import Cython
        import numpy

        os.chdir(FOLDER)
        tag = f"{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
        self.tools = Toolchain(Path("build", f"gradcore-{tag}"))
        self.environment = f"Cython {Cython.__version__}, numpy {numpy.__version__}, {sys.version}"
        self.includes = {
            numpy.get_include(): f"numpy {numpy.__version__}",
            sysconfig.get_paths()["include"]: sys.version,
        }
        write_constants(self.tools.folder / "constants.h")
        self.compile_all()
        name = ["-Wl,-install_name,@rpath/" + LIBRARY] if MACOS else [f"-Wl,-soname,{LIBRARY}", "-Wl,-z,defs"]
        self.tools.archive(self.objects)
        self.library = self.tools.link(LIBRARY, self.objects, "gradcore_*", name)
        super().build_extensions()
        library = Path(self.build_lib, "gradcore", LIBRARY)
        self.place(self.library, library)
        # A Python started in the source folder imports the package from there: make that whole, too.
        if os.access("gradcore", os.W_OK):
            self.place(library, Path("gradcore", LIBRARY))
            for ext in self.extensions:
                built = Path(self.get_ext_fullpath(ext.name))
                self.place(built, in_source(ext, built))

    def compile_all(self) -> None:
        """Objects of the core and of the modules, on all cores; what takes longest begins first."""
        core = sorted(map(str, Path("src_c").rglob("*.c")), key=lambda source: "/k_" not in source)
        kernels = sum("/k_" in source for source in core)
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        with ThreadPoolExecutor(workers) as pool:
            first = [pool.submit(self.tools.compile_core, source) for source in core[:kernels]]
            modules = {ext.name: pool.submit(self.compile_module, ext) for ext in self.extensions}
            rest = [pool.submit(self.tools.compile_core, source) for source in core[kernels:]]
        self.objects = [job.result() for job in first + rest]
        self.modules = {name: job.result() for name, job in modules.items()}

    def compile_module(self, ext: Extension) -> Path:
        version = self.distribution.get_version()
        flags = ["-w", "-Igradcore/include", f'-DGRADCORE_PACKAGE_VERSION="{version}"']
        # Without the C line tracebacks mix up functions of one line number in a .pyx and a .pxd.
        flags += ["-DCYTHON_CLINE_IN_TRACEBACK=1", f"-fmacro-prefix-map={self.tools.folder}/="]
        flags.append("-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION")
        flags += [SPEED.get(short(ext), "-Os"), "-fno-asynchronous-unwind-tables"]
        translated = self.tools.translate(short(ext), ext.sources[0], self.environment)
        flags += ["-Isrc_c", f"-I{self.tools.folder}"]
        return self.tools.compile(str(translated), flags, self.includes)

    def build_extension(self, ext: Extension) -> None:
        origin = "@loader_path" if MACOS else "$ORIGIN"
        up = os.path.relpath("gradcore", Path(ext.sources[0]).parent)
        inputs, extra = [self.library], [f"-Wl,-rpath,{origin}/{up}"]
        exported = "PyInit_" + ext.name.rpartition(".")[2]
        built = self.tools.link(f"{short(ext)}.so", [self.modules[ext.name], *inputs], exported, extra)
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
    ext_modules=modules(FOLDER),
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildModules},
)
