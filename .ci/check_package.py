"""Checks what the sdist and the wheel in a folder hold: python check_package.py FOLDER."""

import sys
import tarfile
import zipfile
from pathlib import Path

WHEEL_LIMIT = 3 << 20
IN_WHEEL = (
    "gradcore/__init__.py", "gradcore/py.typed", "gradcore/_core/network.pyi", "gradcore/_core/__init__.pxd",
    "gradcore/gradcore.pxd", "gradcore/_testing.pyi", "gradcore/include/gradcore/gradcore.h",
    "gradcore/include/gradcore/arrays.h", "gradcore/libgradcore-1.so", "gradcore/health/__init__.py",
)  # fmt: skip
IN_SDIST = (
    "pyproject.toml", "setup.py", "LICENSE", "README.md", "src_c/base/tables.h", "src_c/kernels/kernels.inc",
    "gradcore/_core/network.pyx", "gradcore/_core/checks.pxd", "tests/conftest.py", "examples/c/xor.c",
)  # fmt: skip


def require(names: set[str], wanted: tuple[str, ...], where: str) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        sys.exit(f"{where} lacks {', '.join(missing)}")


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    require(in_wheel, IN_WHEEL, "the wheel")
    require(in_sdist, IN_SDIST, "the sdist")
    if wheel.stat().st_size > WHEEL_LIMIT:
        sys.exit(f"the wheel has {wheel.stat().st_size} bytes, more than {WHEEL_LIMIT}")
    built = {name.partition(".")[0] for name in in_wheel if name.endswith(".so")}
    require(built, tuple(str(path.with_suffix("")) for path in Path("gradcore").rglob("*.pyx")), "the wheel")
    modules = {str(path) for path in Path("gradcore").rglob("*.py")}
    data = {str(path) for path in Path("gradcore/data").glob("*") if path.is_file()}
    require(in_wheel, tuple(sorted(modules | data)), "the wheel")
    stray = [name for name in in_sdist if name.endswith((".so", ".o", ".a", ".pyc"))]
    stray += [name for name in in_wheel if name.endswith((".c", ".pyx", ".pyc"))]
    stray += [name for name in in_wheel if not name.startswith(("gradcore/", "gradcore-"))]
    if stray:
        sys.exit(f"should not be packed: {', '.join(stray)}")
    print(f"wheel {wheel.stat().st_size} bytes, {len(in_wheel)} files; sdist {sdist.stat().st_size} bytes")


main(Path(sys.argv[1]))
