"""The mutator on a toy: what it changes and what not, what it counts, and that a campaign goes on."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from mutation import choice, mapping, operators, workshop
from mutation.campaign import Campaign, Results, anywhere, report
from mutation.source import Source
from mutation.workshop import Outcome, Workshop

ROOT = Path(__file__).parents[2]

TOY = r"""
/* a + b < 1, none of it code */
#define LESS(a, b) ((a) < \
                    (b))
static const int table[] = {1, 2 + 3};
typedef struct pair { int left, right; } pair;

int clamp(int x, const int *limits)
{
    int low = 0, other[4];
    const char *text = "a < b && c == 7"; // 1 + 1
    switch (x) {
    case 3: return 3 + 1;
    }
    if (x < low && limits)
        return -1;
    for (int i = 0; i < 4; i++)
        other[i] = x * (int)limits[i];
    helper(other, sizeof(int *), (const char *)text);
    grc_barrier(team);
    x += grc_min(x, other[0]);
    return x / 2;
}
"""


def changes(text, operator):
    return [
        (mutant.before.strip(), mutant.after.strip())
        for mutant in operators.mutants("toy.c", text)
        if mutant.operator == operator
    ]


def test_operators_find_code_and_nothing_else():
    assert changes(TOY, "relation") == [
        ("if (x < low && limits)", "if (x <= low && limits)"),
        ("for (int i = 0; i < 4; i++)", "for (int i = 0; i <= 4; i++)"),
    ]
    assert changes(TOY, "logic") == [("if (x < low && limits)", "if (x < low || limits)")]
    assert changes(TOY, "negate") == [("if (x < low && limits)", "if (!(x < low && limits))")]
    assert changes(TOY, "arithmetic") == [
        ("other[i] = x * (int)limits[i];", "other[i] = x / (int)limits[i];"),
        ("x += grc_min(x, other[0]);", "x -= grc_min(x, other[0]);"),
        ("return x / 2;", "return x * 2;"),
    ]
    assert changes(TOY, "constant") == [
        ("int low = 0, other[4];", "int low = 1, other[4];"),
        ("return -1;", "return -2;"),
        ("for (int i = 0; i < 4; i++)", "for (int i = 1; i < 4; i++)"),
        ("for (int i = 0; i < 4; i++)", "for (int i = 0; i < 5; i++)"),
        ("x += grc_min(x, other[0]);", "x += grc_min(x, other[1]);"),
        ("return x / 2;", "return x / 3;"),
    ]
    assert changes(TOY, "drop-error") == [("return -1;", ";")]
    assert changes(TOY, "drop-barrier") == [("grc_barrier(team);", ";")]
    assert changes(TOY, "swap-min-max") == [("x += grc_min(x, other[0]);", "x += grc_max(x, other[0]);")]
    assert changes(TOY, "drop-call") == [("helper(other, sizeof(int *), (const char *)text);", ";")]
    assert changes(TOY, "drop-assignment") == [
        ("other[i] = x * (int)limits[i];", ";"),
        ("x += grc_min(x, other[0]);", ";"),
    ]


def test_a_mutant_changes_its_line_only():
    for mutant in operators.mutants("toy.c", TOY):
        old, new = TOY.split("\n"), mutant.apply(TOY).split("\n")
        assert len(new) == len(old)
        assert [i + 1 for i in range(len(old)) if old[i] != new[i]] == [mutant.line]


def test_names_differ_and_last():
    keys = [mutant.key for mutant in operators.mutants("toy.c", TOY)]
    assert len(set(keys)) == len(keys) > 15
    assert keys == [mutant.key for mutant in operators.mutants("toy.c", TOY)]


def test_the_choice_does_not_depend_on_where_a_line_stands():
    chosen = [mutant.after for mutant in choice.ranked("toy.c", TOY, 0)]
    assert chosen == [mutant.after for mutant in choice.ranked("toy.c", "\n\n" + TOY, 0)]
    assert chosen != [mutant.after for mutant in choice.ranked("toy.c", TOY, 1)]
    first = {mutant.operator for mutant in choice.ranked("toy.c", TOY, 0)[: len(operators.OPERATORS)]}
    assert first == set(operators.OPERATORS)


def test_every_file_of_the_core_gets_its_share():
    files = choice.core_files(ROOT)
    sizes = {file: Source((ROOT / file).read_text()).code_lines for file in files}
    shares = choice.quotas(sizes, 240)
    assert sum(shares.values()) == 240 and min(shares.values()) >= 1
    plain = {file: size for file, size in sizes.items() if "/kernels/" not in file}  # kernels weigh half
    assert shares[max(plain, key=plain.get)] == max(shares.values())


def test_every_mutant_of_the_core_is_one_change():
    """The reader of C keeps its footing in all files: what it blanks out it leaves in place."""
    for file in choice.core_files(ROOT):
        text = (ROOT / file).read_text()
        source = Source(text)
        assert len(source.code) == len(text) and source.code.count("\n") == text.count("\n")
        assert source.bodies and source.code.count("{") == source.code.count("}"), file
        assert all(source.code[a] == "{" and source.code[b - 1] == "}" for a, b in source.bodies)


def test_every_file_of_the_core_is_mapped_to_tests_that_exist():
    for file in choice.core_files(ROOT):
        in_c, in_python = mapping.tests_of(file, ROOT)
        assert in_python, file
        assert all((ROOT / "tests" / name).is_file() for name in in_python)
        assert all((ROOT / "tests" / "c" / f"{name}.c").is_file() for name in in_c)


class Toy:
    """A workshop for a project of one file, whose only test is a program."""

    CODE = """int half(int x)
{
    if (x < 0)
        return -1;
    int rest = x * 0;
    return x / 2 + rest;
}
"""
    MAIN = "int half(int);\nint main(void) { return !(half(9) == 4 && half(-2) == -1); }\n"

    def __init__(self, folder):
        self.tree, self.original, self.mutant = folder / "tree", folder / "original", folder / "mutant"
        for path in (self.tree / "src_c", self.original, self.mutant):
            path.mkdir(parents=True)
        (self.tree / "src_c" / "half.c").write_text(self.CODE)
        (folder / "main.c").write_text(self.MAIN)
        self.main, self.tests, self.built = folder / "main.c", ["test_half"], []
        assert self._compile(self.original)

    def _compile(self, folder):
        sources = [str(self.tree / "src_c" / "half.c"), str(self.main)]
        command = ["cc", "-O1", *sources, "-o", str(folder / "test_half")]
        return subprocess.run(command, capture_output=True).returncode == 0

    def build(self, file, text):
        self.built.append(text)
        (self.tree / file).write_text(text)
        done = self._compile(self.mutant)
        (self.tree / file).write_text(self.CODE)
        same = done and (self.mutant / "test_half").read_bytes() == (self.original / "test_half").read_bytes()
        return "same object" if same else "built" if done else "no compile"

    def run_c(self, folder, name, limit):
        return Outcome(subprocess.run([str(folder / name)]).returncode, "", 0.0)

    def run_pytest(self, files, limit, *more):
        return Outcome(0, "", 0.0)

    def install(self, folder):
        pass


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_campaign_kills_and_goes_on(tmp_path):
    toy, path = Toy(tmp_path), tmp_path / "results.jsonl"
    Campaign(toy, Results(path), lambda line: None).run(5, seed=0)
    first = Results(path)
    assert len(first.of("killed", "survived")) == 5
    assert all(row["by"] == "test_half.c" for row in first.of("killed"))

    with path.open("a") as file:
        file.write('{"id": "src_c/half.c:3:')  # stopped while it wrote
    built = len(toy.built)
    Campaign(toy, Results(path), lambda line: None).run(5, seed=0)
    assert len(toy.built) == built, "what has a result is not tested again"
    everything = Campaign(toy, Results(path), lambda line: None)
    everything.run(100, seed=0)
    assert len(toy.built) == len(operators.mutants("src_c/half.c", Toy.CODE))

    results = Results(path)
    verdicts = {row["after"]: row["verdict"] for row in results.rows.values()}
    assert verdicts["if (x <= 0)"] == "survived"  # no test tries 0
    assert verdicts["if (!(x < 0))"] == verdicts["return -2;"] == verdicts["return x * 2 + rest;"] == "killed"
    assert verdicts["return x / 2 - rest;"] == "same object"
    assert (toy.tree / "src_c" / "half.c").read_text() == Toy.CODE
    for line in path.read_text().splitlines():
        if not line.endswith(":3:"):
            assert json.loads(line)["verdict"] in ("killed", "survived", "same object", "no compile")

    shown = report(results, {anywhere(row["id"]): "no test tries 0" for row in results.of("survived")})
    killed, alive = len(results.of("killed")), len(results.of("survived"))
    assert f"{killed + alive} mutants counted, {killed} killed ({killed / (killed + alive):.1%})" in shown
    assert "`if (x < 0)` | `if (x <= 0)` | no test tries 0 |" in shown


def test_a_program_that_spins_or_is_stuck_ends_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(workshop, "_IDLE", 0.5)
    shop = Workshop(ROOT, tmp_path)
    spinning = shop._run(["sh", "-c", "echo begun; while :; do :; done & wait"], 0.3)
    assert spinning.status is None and not spinning.stuck and spinning.output == "begun\n"
    idle = shop._run(["sh", "-c", "sleep 1000 & wait"], 100.0)
    assert idle.status is None and idle.stuck
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 1000" not in left
    assert shop._run(["sh", "-c", "exit 3"], 10.0).status == 3
    failing = shop._run(["sh", "-c", "echo x.c:1: failed: y; while :; do :; done"], 100.0, ": failed: ")
    assert failing.status == 1


def test_the_scratch_folder_lies_outside():
    with pytest.raises(ValueError, match="outside the project"):
        Workshop(ROOT, ROOT / "build" / "mutation")
