# Stages that need Python: lint, build, install, test.

stage_venv() {
    rm -rf "$work/venv"
    "$python" -c 'import sys; assert sys.version_info >= (3, 11), sys.version'
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --upgrade pip build
    "$work/venv/bin/pip" install -q ruff mypy import-linter numpy clang-format==23.1.5
}

stage_lint() {
    "$work/venv/bin/ruff" check --output-format concise .
    "$work/venv/bin/mypy"
    "$work/venv/bin/lint-imports" --no-cache
    git ls-files '*.c' '*.h' 'src_c/*.inc' 'tests/c/*.inc' | xargs "$work/venv/bin/clang-format" --dry-run -Werror
}

# sdist -> wheel, warnings being errors; what they hold, and how large.
stage_package() {
    rm -rf "$work/dist"
    GRADCORE_WERROR=1 "$work/venv/bin/python" -m build -o "$work/dist" . >/dev/null
    "$work/venv/bin/python" .ci/check_package.py "$work/dist"
}

# The README's commands, in a venv of their own.
stage_install() {
    rm -rf "$work/user"
    "$python" -m venv "$work/user"
    GRADCORE_WERROR=1 "$work/user/bin/pip" install -q '.[test]'
    (cd "$work" && "$work/user/bin/python" -c '
import gradcore, os, subprocess, sys
folder = os.path.dirname(gradcore.__file__)
assert os.path.exists(os.path.join(folder, "libgradcore-1.so")), folder
')
    local folder
    folder=$(cd "$work" && "$work/user/bin/python" -c 'import gradcore, os; print(os.path.dirname(gradcore.__file__))')
    "$CC" -O3 -DINSTALLED "-I$folder/include" examples/c/xor.c "$folder/libgradcore-1.so" \
        "-Wl,-rpath,$folder" -o "$work/xor_installed"
    "$work/xor_installed"
}

stage_demo() {
    (cd "$work" && "$work/user/bin/gradcore" demo)
}

# The README's command, under a locale whose numbers have a comma.
stage_tests() {
    german "$work/user/bin/pytest" -n auto -q -p no:cacheprovider
}

# The plain locale: whatever has golden hashes or writes files.
stage_plain_locale() {
    local files
    files=$(grep -lE 'golden|GOLDEN|sha256|digest\(' tests/*/test_*.py)
    LC_ALL=C "$work/user/bin/pytest" -n auto -q -p no:cacheprovider $files tests/files tests/reproducible/test_locale.py
}

# What the README's command leaves out, but for what takes minutes to hours.
stage_slow() {
    german "$work/user/bin/pytest" -n auto -q -p no:cacheprovider --slow -m slow
    # An outside module is built on the package, and the contracts of its floors refuse what is planted.
    "$work/user/bin/pip" install -q cython setuptools import-linter
    "$work/user/bin/pytest" -q -p no:cacheprovider tests/house/test_binding.py tests/house/test_arrows.py
}
