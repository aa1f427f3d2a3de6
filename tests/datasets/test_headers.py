"""Whether the first line of a text table has the names: told apart where it can be, refused where not."""

import json

import numpy as np
import pytest
from gradcore import Network
from gradcore.cli import main
from gradcore.datasets import Encoding, Table, load_csv
from gradcore.errors import ArgumentError, FormatError


def numbers(write, rows=12, columns=4):
    """Rows of numbers in [0, 1) that go up and down, written by a function."""
    return [[write((0.37 * (r + 1) * (c + 2)) % 1) for c in range(columns)] for r in range(rows)]


def fraction(value):
    return f"{value:.4f}"


def whole(value):
    return str(int(1000 * value))


def pixel(value):
    return str(int(256 * value))


def with_first(cells, rows):
    """Rows that begin with texts or labels of their own."""
    return [[cell, *row] for cell, row in zip(cells, rows, strict=False)]


def with_last(cells, rows):
    return [[*row, cells[i % len(cells)]] for i, row in enumerate(rows)]


FRACTIONS, WHOLES, PIXELS = numbers(fraction), numbers(whole), numbers(pixel, columns=17)
POWERS = numbers(lambda value: f"{value:.3e}")
INDEX = [str(i) for i in range(12)]
TOWNS = ["Oslo", "Bern", "Rome"]
CITIES = [f"city {i}" for i in range(12)]

HEADERS = [
    ("0,1,2,y", FRACTIONS),
    ("0,1,2,y", WHOLES),
    ("0,1,2,y", POWERS),
    ("0,1,2,3", FRACTIONS),
    ("2019,2020,2021,2022", FRACTIONS),
    ("id,2019,2020,2021", WHOLES),
    ("400,402,404,octane", FRACTIONS),
    ("400,405,411,octane", FRACTIONS),
    ("0,1,2,3,town", with_last(TOWNS, FRACTIONS)),
    ("town,0,1,2,3", with_first(CITIES, FRACTIONS)),
    (",".join(map(str, range(16))) + ",label", PIXELS),
    (",".join(map(str, range(17))), PIXELS),
    (",".join(map(str, range(16, 33))), PIXELS),
    ('"0","1","2","7"', WHOLES),
    ('"5","3","12","y"', WHOLES),
    ("a,b,c,d", WHOLES),
    ("colour,town", [["red", "Oslo"], ["blue", "Bern"], ["red", "Rome"]]),
    ("0,y", numbers(fraction, columns=2)),
    ("x", [["0.5"], ["0.25"]]),
    ("0,1,2,y", FRACTIONS[:1]),
]

DATA = [
    ("0.5,0.25,0.125,0.75", FRACTIONS),
    ("0,0,1,0", FRACTIONS),
    ("0,0,0,0", WHOLES),
    ("7,3,12,5", WHOLES),
    (",0.25,0.125,0.75", FRACTIONS),
    ("NA,0.25,0.125,0.75", FRACTIONS),
    ("1,2,3", [["4", "5", "6"], ["7", "8", "9"]]),
    ("0.5,0.25,0.125,0.75,Oslo", with_last(TOWNS, FRACTIONS)),
    ("7,3,12,5,Oslo", with_last(TOWNS, WHOLES)),
    ("0.5,0.25,0.125,0.75,Paris", with_last(TOWNS, FRACTIONS)),
    ("0.5,2,7", []),
    ("1,2", [["3", "4.5"]]),
    ('"5","3","12","7"', [[f'"{cell}"' for cell in row] for row in WHOLES]),
]

EITHER = [
    ("0,1,2,3", WHOLES),
    ("2019,2020,2021,2022", WHOLES),
    ("country,2019,2020,2021", with_first(CITIES, [row[:3] for row in WHOLES])),
    ("0,1,2,3,town", with_last(TOWNS, WHOLES)),
    ("3,7,12,5", FRACTIONS),
    ("n/k,0.5,0.25,0.75", FRACTIONS),
    ("400.5,401.5,402.5,octane", FRACTIONS),
    ("400.5,401.5,402.5,403.5", FRACTIONS),
    ("5,3,12,y", WHOLES),
    ("0,1,2,3,Oslo", with_last(TOWNS, FRACTIONS)),
    ("red,Oslo", [["red", "Bern"], ["blue", "Oslo"], ["blue", "Bern"]]),
    ("0", [["0.5"], ["0.25"], ["0.75"]]),
    ("0,1,2", []),
    ("8,8,y,9", WHOLES),
]


def write(tmp_path, first, rows, *, newline="\n", start=""):
    path = tmp_path / "table.csv"
    lines = [first, *(",".join(row) for row in rows)]
    path.write_bytes((start + newline.join(lines) + newline).encode("utf-8"))
    return path


def numbered(cases):
    return [f"{i}: {first[:24]}" for i, (first, _) in enumerate(cases)]


WAYS = {
    "plain": {},
    "byte order mark": {"start": "\ufeff"},
    "CRLF": {"newline": "\r\n"},
    "blank lines": {"start": "\n\n"},
    "blank lines between": {"newline": "\n\n"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "rows"), HEADERS, ids=numbered(HEADERS))
def test_a_line_that_differs_from_those_below_has_the_names(tmp_path, first, rows, way):
    table = load_csv(write(tmp_path, first, rows, **WAYS[way]))
    assert table.header and len(table) == len(rows)
    assert table.names == tuple(cell.strip('"') for cell in first.split(","))
    assert str(table.columns[-1][0]) == str(float(rows[0][-1]) if rows[0][-1][0].isdigit() else rows[0][-1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "rows"), DATA, ids=numbered(DATA))
def test_a_line_like_those_below_is_data(tmp_path, first, rows, way):
    table = load_csv(write(tmp_path, first, rows, **WAYS[way]))
    assert not table.header and len(table) == len(rows) + 1
    assert table.names == tuple(str(i) for i in range(len(first.split(","))))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "rows"), EITHER, ids=numbered(EITHER))
def test_a_line_that_could_be_either_is_refused_until_it_is_said(tmp_path, first, rows, way):
    path = write(tmp_path, first, rows, **WAYS[way])
    line = 3 if way == "blank lines" else 1
    message = rf"line {line}: expected .* could be either; say which by --header or --no-header"
    with pytest.raises(FormatError, match=message):
        load_csv(path)
    assert len(load_csv(path, header=False)) == len(rows) + 1
    if rows and len(set(first.split(","))) == len(first.split(",")):
        assert load_csv(path, header=True).names == tuple(first.split(","))


@pytest.mark.parametrize("wrong", ["no", "auto", 1, 0, []])
def test_header_is_true_false_or_none(tmp_path, wrong):
    path = write(tmp_path, "a,b", [["1", "2"]])
    with pytest.raises(ArgumentError, match="header: expected True, False or None, got"):
        load_csv(path, header=wrong)


@pytest.mark.parametrize("first", [",0,1,2,y", ",a,b,c,y", '"","0","1","2","y"'])
@pytest.mark.parametrize("labels", [INDEX, [str(7 * i % 12) for i in range(12)]], ids=["counted", "shuffled"])
def test_the_index_of_pandas_is_no_column(tmp_path, first, labels):
    table = load_csv(write(tmp_path, first, with_first(labels, FRACTIONS)))
    assert table.names == tuple(first.replace('"', "").split(",")[1:])
    assert table[table.names[0]].tolist() == [float(row[0]) for row in FRACTIONS]


def test_an_unnamed_column_of_anything_else_stays(tmp_path):
    table = load_csv(write(tmp_path, ",0,1,2,y", with_first(["3", "1"] * 6, FRACTIONS)))
    assert table.names == ("unnamed 0", "0", "1", "2", "y")
    table = load_csv(write(tmp_path, ",a,b,c,y", with_first(CITIES, FRACTIONS)))
    assert table.names == ("0", "a", "b", "c", "y") and table["0"][1] == "city 1"


def test_known_names_decide(tmp_path):
    path = write(tmp_path, "0,1,2,3", WHOLES)
    assert load_csv(path, names=["0", "1", "2"]).header
    with pytest.raises(FormatError, match="could be either"):
        load_csv(path, names=["price", "size"])


def pandas_like(folder, target):
    """What `DataFrame(array).assign(y=...).to_csv(index=False)` writes, and its numbers."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3))
    y = x @ [1.0, -2.0, 0.5] + 3 if target == "number" else (x[:, 0] > 0).astype(int)
    table = zip(x.tolist(), y.tolist(), strict=True)
    lines = [",".join(map(repr, [*row, value])) for row, value in table]
    path = folder / "arrays.csv"
    path.write_text("0,1,2,y\n" + "\n".join(lines) + "\n")
    return path, x, y


QUICK = ["--hidden", "0", "--epochs", "2", "--json"]


@pytest.mark.parametrize("target", ["number", "class"])
def test_a_real_target_under_numbered_columns_stays_a_number(tmp_path, capsys, target):
    path, x, y = pandas_like(tmp_path, target)
    model = str(tmp_path / "m.gradcore")
    assert main(["train", str(path), "--output", model, *QUICK]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 60 and told["inputs"] == 3 and told["target"] == "y"
    assert told["task"] == ("number" if target == "number" else "classes")
    encoding = Encoding.from_json(Network.load(model).metadata["data"])
    assert encoding.features == ("0", "1", "2") and encoding.header
    if target == "number":
        np.testing.assert_allclose([encoding.mean, encoding.scale], [y.mean(), y.std()], rtol=1e-12)

    # A file to predict has the names too, in any order, with the target or without, one row or many.
    def predict(name, text):
        (tmp_path / name).write_text(text)
        status = main(["predict", model, str(tmp_path / name), "--json"])
        said = capsys.readouterr()
        return json.loads(said.out)["predictions"] if status == 0 else said.err

    whole_file = predict("a.csv", path.read_text())
    rows = [",".join(map(repr, map(float, row))) for row in x]
    assert predict("b.csv", "0,1,2\n" + "\n".join(rows)) == whole_file
    turned = [",".join(repr(float(row[i])) for i in (2, 0, 1)) for row in x]
    assert predict("c.csv", "2,0,1\n" + "\n".join(turned)) == whole_file
    numbered = [f"{i},{row}" for i, row in enumerate(rows)]
    assert predict("d.csv", ",0,1,2\n" + "\n".join(numbered)) == whole_file
    assert predict("e.csv", f"0,1,2\n{rows[0]}\n") == whole_file[:1]
    assert predict("f.csv", "0,1,2\n7,8,9\n") == predict("g.csv", "2,1,0\n9,8,7\n")
    # Without them, nothing says which column is which.
    assert "expected a header with the names of the training data, 0, 1, 2, got none" in predict(
        "h.csv", "\n".join(rows)
    )


def test_models_without_names_go_by_position(tmp_path, capsys):
    model = str(tmp_path / "m.gradcore")
    (tmp_path / "data.csv").write_text("\n".join(",".join(row) for row in FRACTIONS))
    assert main(["train", str(tmp_path / "data.csv"), "--output", model, *QUICK]) == 0
    capsys.readouterr()
    assert not Encoding.from_json(Network.load(model).metadata["data"]).header
    (tmp_path / "new.csv").write_text("0.5,0.25,0.125\n")
    assert main(["predict", model, str(tmp_path / "new.csv")]) == 0


@pytest.mark.parametrize("command", ["train", "find-lr"])
def test_the_command_line_names_the_options(tmp_path, capsys, command):
    path = str(write(tmp_path, "2019,2020,2021,2022", WHOLES))
    assert main([command, path]) == 2
    assert "say which by --header or --no-header" in capsys.readouterr().err
    assert main(["train", path, "--header", "--target", "2022", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12
    assert main(["train", path, "--no-header", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 13


@pytest.mark.parametrize(("features", "header"), [(("0", "1"), False), (("a", "1"), True)])
def test_descriptions_that_do_not_say_whether_there_was_a_header(features, header):
    parts = json.loads(Encoding(features, "y").to_json())
    del parts["header"]
    assert Encoding.from_json(json.dumps(parts)).header is header


def test_a_table_without_names_is_refused_where_names_count():
    columns = (np.array([1.0, 2.0]), np.array([3.0, 5.0]))
    encoding = Encoding.learn(Table("a", ("0", "1"), columns), "1")
    with pytest.raises(FormatError, match="expected a header"):
        encoding.inputs(Table("b", ("0", "1"), columns, header=False))
