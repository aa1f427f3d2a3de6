"""Every snippet of README.md and docs/: Python blocks run in order and print the text block that follows
them, commands are ones that the command line has, links lead to files."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from gradcore.cli.main import _parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(path):
    return [(match[1], match[2]) for match in BLOCK.finditer(path.read_text(encoding="utf-8"))]


def with_python(path):
    return any(language == "python" for language, _ in blocks(path))


@pytest.mark.parametrize("path", [page for page in PAGES if with_python(page)], ids=lambda path: path.name)
def test_python_blocks_run_and_print_what_is_shown(path, tmp_path):
    found = blocks(path)
    program, expected = [], []
    for (language, code), after in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "python":
            program.append(code)
            program.append("print('=== end of block', flush=True)")
            expected.append(after[1] if after[0] == "text" else None)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("=== end of block\n")
    for shown, text in zip(expected, printed, strict=False):
        if shown is not None:
            assert text == shown


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_parse(path):
    commands = [
        line.removeprefix("$ ").partition("  #")[0]
        for language, code in blocks(path)
        if language in ("sh", "console")
        for line in code.replace("\\\n", " ").splitlines()
    ]
    for command in commands:
        for part in re.split(r"&&|\|", command):
            words = shlex.split(part)
            if words[:1] == ["gradcore"] and "--help" not in words:
                _parse(words[1:])
            elif words[:1] == ["python"] and words[1:2] and words[1].endswith(".py"):
                assert (ROOT / words[1]).is_file(), words[1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
@pytest.mark.quick
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
