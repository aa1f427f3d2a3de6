"""The host's locale: no number is read or printed by it, so no weight, file or message depends on it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gradcore import _core
from support import TESTS, run_python

SOURCES = TESTS.parent / "src_c"

# What several locales have of their own: a comma, another charset, a decimal point of two bytes.
LOCALES = {
    "de_DE.UTF-8": ("de_DE", "UTF-8", ","),
    "de_DE.ISO-8859-1": ("de_DE", "ISO-8859-1", ","),
    "ps_AF.UTF-8": ("ps_AF", "UTF-8", "\N{ARABIC DECIMAL SEPARATOR}"),
}

WORK = """
import csv, hashlib, json, locale, math, pathlib, sys, warnings
warnings.simplefilter("ignore")  # standard error has the decimal point alone
locale.setlocale(locale.LC_ALL, "")
point = locale.localeconv()["decimal_point"]
import numpy as np
from gradcore import *
from gradcore import _core, clipping, errors, losses, optimizers, schedules
from gradcore.datasets import tables
from support import digest, exact_uniform
folder = pathlib.Path(sys.argv[1])

def say(name, value):
    sys.stdout.buffer.write(f"{name}: {value}\\n".encode())

def refused(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except errors.GradcoreError as error:
        say("refused", error)
    else:
        raise AssertionError(f"{call}: not refused")

# Every loss with its defaults, from the tables of the core.
x = exact_uniform((12, 4), np.float64, 1)
for name in _core.names("loss"):
    words = _core.describe("loss", name, "parameters")
    halves, labels = (_core.describe("loss", name, "target") == kind for kind in ("halves", "labels"))
    y = np.arange(12) % 4 if labels else np.eye(4)[np.arange(12) % 4, : 2 if halves else 4]
    network = Network([Dense(4, "elu")], inputs=4, seed=3, dtype="float64")
    trainer = Trainer(network, name, optimizers.AdamW(0.01))
    steps = [trainer.step(x, y) for _ in range(5)]
    say(name, (words, steps, digest(network.parameters())))
for name in _core.names("activation"):
    say(name, [_core.describe("activation", name, item) for item in ("alpha", "lowest_alpha", "ulp")])

# Messages of the core with numbers in them.
core = trainer._state.core
row = np.zeros(_core.HYPERS)
row[1] = -0.25
options = {"parameters": [1.5, math.nan, math.nan, math.nan]}
refused(_core.CoreNetwork, [{"kind": "dense", "activation": "elu", "units": 2, "alpha": -0.5}], 2)
refused(_core.CoreNetwork, [{"kind": "dropout", "rate": 1.5}], 2)
refused(_core.CoreNetwork, [{"kind": "batch_norm", "momentum": 1.25, "eps": 1e-5}], 2)
refused(_core.CoreNetwork, [{"kind": "layer_norm", "eps": 2.5}], 2)
refused(_core.CoreNetwork, [{"kind": "gaussian_noise", "std": -0.75}], 2)
refused(network._core.evaluate, "quantile", x, x, None, options)
refused(core.train_step, x, np.eye(4)[np.arange(12) % 4], None, row)
refused(core.set_group, 0, -1.5, math.nan, False)

# A trainer, its files, and the numbers in them.
slope = Activation("leaky_relu", alpha=0.123456789012345)
net = Network([Dense(8, slope), BatchNorm(momentum=0.3), Dense(1)], inputs=4, seed=1)
rule = optimizers.EMA(optimizers.Adam(schedules.Cosine(0.0123, 100, 0.1)), decay=0.95)
trainer = Trainer(net, losses.Quantile(0.1 + 0.2), rule, clipping.GlobalNorm(1 / 3))
for _ in range(3):
    trainer.step(x, x[:, :1])
trainer.save(folder / "trainer")
say("file", hashlib.sha256((folder / "trainer").read_bytes()).hexdigest())
again = Trainer.load(folder / "trainer")
assert again.loss == trainer.loss and again.optimizer == trainer.optimizer and again.clip == trainer.clip
again.save(folder / "again")
say("file", hashlib.sha256((folder / "again").read_bytes()).hexdigest())
history = again.fit(x, x[:, :1], epochs=2, batch_size=5, progress=False)
say("history", again.history.loss)
say("repr", (trainer, net, trainer.optimizer, trainer.loss))
say("summary", net.summary())
history.to_csv(folder / "history.csv")
written = list(csv.reader((folder / "history.csv").open(encoding="utf-8")))
say("csv", [row[: written[0].index("loss") + 1] for row in written])

# Tables.
lines = ["size,kind,price", *(f"{i / 8},\\u0131I{i % 2},{i * 1.25e-3}" for i in range(16))]
(folder / "t.csv").write_text("\\n".join(lines) + "\\n", encoding="utf-8")
table = tables.load_csv(folder / "t.csv")
say("table", [np.asarray(column).tolist() for column in table.columns])
say("seen", "done")
sys.stderr.write(ascii(point))
"""

COMMANDS = """
import locale, sys
locale.setlocale(locale.LC_ALL, "")
from gradcore.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory):
    """A folder for LOCPATH with what LOCALES names; the tests need no installed locale."""
    if not shutil.which("localedef") or not Path("/usr/share/i18n/locales/de_DE").exists():
        pytest.skip("skipped: no localedef, or no sources of locales")
    folder = tmp_path_factory.mktemp("locales")
    for name, (source, charset, _) in LOCALES.items():
        subprocess.run(["localedef", "-i", source, "-f", charset, folder / name], capture_output=True)
        assert (folder / name / "LC_NUMERIC").exists(), name
    return folder


def run_in(name, folder, code, *arguments):
    variables = {"LC_ALL": name, "LOCPATH": str(folder), "LANG": "", "LANGUAGE": "", "PYTHONHASHSEED": "0"}
    code = f"import sys; sys.argv = {['x', *map(str, arguments)]!r}\n" + code
    return run_python(code, env=variables)


@pytest.mark.slow
def test_no_bit_no_message_and_no_byte_of_a_file_depends_on_it(locales, tmp_path):
    def work(name):
        (tmp_path / name).mkdir()
        return run_in(name, locales, WORK, tmp_path / name)

    plain = work("C")
    assert plain.stdout.endswith("seen: done\n") and plain.stderr == "'.'"
    assert len(re.findall(r"^refused: .* got -?\d*\.?\d+", plain.stdout, re.MULTILINE)) == 8
    for name, (_, _, point) in LOCALES.items():
        done = work(name)
        assert done.stderr == ascii(point), name
        assert done.stdout.splitlines() == plain.stdout.splitlines(), name


@pytest.mark.slow
def test_the_command_line_reads_and_writes_points(locales, tmp_path):
    lines = ["size,price"] + [f"{i / 16},{3.5 * i / 16 - 0.25}" for i in range(64)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    said = {}
    for name in ("C", "de_DE.UTF-8", "ps_AF.UTF-8"):
        model, table = tmp_path / f"{name}.gradcore", tmp_path / f"{name}.csv"
        train = ["train", tmp_path / "t.csv", "--target", "price", "--epochs", "3", "--lr", "0.05"]
        done = run_in(name, locales, COMMANDS, *train, "--json", "--output", model)
        said[name] = json.loads(done.stdout)["mean"]
        run_in(name, locales, COMMANDS, "predict", model, tmp_path / "t.csv", "--output", table)
        assert table.read_bytes() == (tmp_path / "C.csv").read_bytes(), name
        assert model.read_bytes() == (tmp_path / "C.gradcore").read_bytes(), name
        assert said[name] == said["C"], name


@pytest.mark.slow
def test_the_threads_that_a_locale_was_set_for_keep_it(locales):
    """A message of the core leaves the host's locale as it was, in its own thread and in others."""
    code = """
import ctypes, locale
locale.setlocale(locale.LC_ALL, "")
from gradcore import _core, errors
libc = ctypes.CDLL(None)
room = ctypes.create_string_buffer(40)
def printed():
    libc.snprintf(room, ctypes.c_size_t(40), b"%g", ctypes.c_double(0.5))
    return room.value
assert printed() == b"0,5"
try:
    _core.CoreNetwork([{"kind": "dropout", "rate": 1.5}], 2)
except errors.ArgumentError as error:
    assert "got 1.5" in str(error), error
assert printed() == b"0,5"
"""
    run_in("de_DE.UTF-8", locales, code)


def test_the_core_parses_no_fraction_and_prints_them_in_one_place():
    """Whoever adds strtod or a "%g" of its own is sent to format.h."""
    parses = re.compile(r"\b(strtod|strtof|strtold|atof|localeconv)\s*\(")
    for path in [*sorted(SOURCES.rglob("*.[ch]")), *sorted(SOURCES.rglob("*.inc"))]:
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert not parses.search(text), path
        for call in re.findall(r"\bv?[fs]?scanf\s*\(.*?;", text, re.DOTALL):  # whole numbers may be read
            assert not re.search(r"%[*0-9]*[lL]?[aefgAEFG]", call), (path, call)
        for call in re.findall(r"\bv?sn?printf\s*\(.*?;", text, re.DOTALL):
            assert path.name == "format.c" or not re.search(r"%[-+ #0-9.*]*[aefgAEFG]", call), (path, call)


@pytest.mark.parametrize("name", _core.names("loss"))
def test_the_text_of_a_losss_parameters_is_well_formed(name):
    """`describe` is made from the same rows as the numbers: name:default:range, and no search can run off."""
    words = _core.describe("loss", name, "parameters").split(" ")
    for word in words if words != [""] else []:
        key, default, kind = word.split(":")
        assert key.isidentifier() and kind in ("positive", "not_negative", "share", "inside", "flag")
        float(default)
