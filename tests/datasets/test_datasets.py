"""The shipped digits, every file format, and the encoding of tables: what is read and what is refused."""

import gzip
import json
import struct

import numpy as np
import pytest
from gradcore import datasets
from gradcore.datasets import Encoding, load_csv, load_idx, load_npz, load_parquet, read_idx
from gradcore.errors import ArgumentError, FileError, FormatError, GradcoreError, NotFoundError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def idx(array, code=0x08):
    dims = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + dims + array.astype({8: ">u1", 0x0E: ">f8"}[code]).tobytes()


def idx_folder(folder, rows=6, suffix=""):
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (rows, 4, 3))),
            ("labels-idx1", np.arange(rows) % 3),
        ):
            data = idx(array)
            path = folder / f"{part}-{kind}-ubyte{suffix}"
            path.write_bytes(gzip.compress(data) if suffix else data)
    return folder


# ---- Digits ----


def test_digits_are_frozen():
    x, y, x_test, y_test = datasets.load_digits()
    assert (x.shape, y.shape, x_test.shape, y_test.shape) == ((1437, 64), (1437,), (360, 64), (360,))
    assert x.dtype == x_test.dtype == np.float32 and y.dtype == y_test.dtype == np.int64
    assert (float(x.sum()), float(x_test.sum())) == (449368.0, 112350.0)
    assert np.bincount(y_test).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert x.min() == 0 and x.max() == 16


def test_digits_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    x, y, x_test, y_test = datasets.load_digits()
    ours = np.column_stack([np.vstack([x, x_test]), np.append(y, y_test)])
    data = sklearn.load_digits()
    theirs = np.column_stack([data.data, data.target])
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


# ---- IDX ----


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder(tmp_path, suffix):
    x, y, x_test, y_test = load_idx(idx_folder(tmp_path, suffix=suffix))
    assert x.shape == x_test.shape == (6, 12) and x.dtype == np.float32
    assert y.tolist() == [0, 1, 2, 0, 1, 2] == y_test.tolist()
    assert x.max() > 1


def test_idx_of_other_types(tmp_path):
    values = np.array([[1.5, -2.0]])
    (tmp_path / "a").write_bytes(idx(values, 0x0E))
    assert read_idx(tmp_path / "a").tolist() == values.tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "expected an IDX file"),
        (b"PK\x03\x04 and more", "expected an IDX file"),
        (b"\0\0\x07\x01" + b"\0" * 8, "expected an IDX file"),
        (b"\0\0\x08\x03\0\0\0\x02", "header of 16 bytes"),
        (b"\0\0\x08\x01\0\0\0\x05" + b"\0" * 4, "expected 5 bytes of data"),
        (b"\0\0\x08\x01\0\0\0\x03" + b"\0" * 4, "expected 3 bytes of data"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "bytes of data for shape"),
        (b"\x1f\x8b\x08 not gzip", "damaged gzip"),
        (gzip.compress(b"\0" * 1000, mtime=0)[:-12], "damaged gzip"),
    ],
)
def test_damaged_idx(tmp_path, data, message):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(FormatError, match=message):
        read_idx(tmp_path / "file")


def test_idx_folder_lacks_a_file(tmp_path):
    with pytest.raises(NotFoundError, match="no such folder"):
        load_idx(tmp_path / "none")
    idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(NotFoundError, match="t10k-labels-idx1-ubyte"):
        load_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(5)))
    with pytest.raises(FormatError, match="as many labels as images"):
        load_idx(tmp_path)


# ---- NPZ ----


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    x, y = np.arange(24.0).reshape(2, 3, 4), np.array([0, 1])
    np.savez(path, X=x, y=y)
    got = load_npz(path)
    assert (
        got[0].tolist() == x.reshape(2, 12).tolist()
        and got[1].tolist() == [0, 1]
        and got[2] is got[3] is None
    )
    np.savez(path, x_train=x, y_train=y[:, None], x_test=x[:1], y_test=y[:1])
    got = load_npz(path)
    assert got[2].shape == (1, 12) and got[3].tolist() == [0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones((2, 2))}, "expected arrays X and y"),
        ({"X": np.ones(3), "y": np.ones(3)}, "expected X as numbers"),
        ({"X": np.ones((3, 2)), "y": np.ones(2)}, "expected y as numbers"),
        ({"X": np.ones((0, 2)), "y": np.ones(0)}, "expected X as numbers"),
        ({"X": np.array([[object()]]), "y": np.ones(1)}, "cannot be read"),
        ({"x_train": np.ones((2, 2)), "y_train": np.ones(2), "x_test": np.ones((2, 2))}, "or neither"),
    ],
)
def test_npz_of_other_content(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(FormatError, match=message):
        load_npz(tmp_path / "a.npz")


def test_npz_never_unpickles(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    np.save(tmp_path / "a.npz.npy", np.array([Trap()], object), allow_pickle=True)
    (tmp_path / "a.npz.npy").rename(tmp_path / "a.npz")
    with pytest.raises(FormatError):
        load_npz(tmp_path / "a.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("cut", [0, 1, 10, 100, 200])
def test_truncated_npz(tmp_path, cut):
    np.savez(tmp_path / "a.npz", X=np.ones((5, 5)), y=np.ones(5))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[:cut])
    with pytest.raises(FormatError, match="cannot be read as a NumPy archive"):
        load_npz(tmp_path / "a.npz")


# ---- CSV ----


@pytest.mark.quick
def test_numbers_with_header(tmp_path):
    table = load_csv(write(tmp_path / "a.csv", "a,b\n1,2\n3,4.5\n"))
    assert table.names == ("a", "b") and table.header and table["b"].tolist() == [2, 4.5]


def test_numbers_without_header(tmp_path):
    table = load_csv(write(tmp_path / "a.csv", "1,2\n3,4\n"))
    assert table.names == ("0", "1") and not table.header and len(table) == 2
    forced = load_csv(tmp_path / "a.csv", header=True)
    assert forced.names == ("1", "2") and len(forced) == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_delimiters_quotes_and_empty_lines(tmp_path, delimiter, ending):
    lines = [delimiter.join(row) for row in (["x", "name"], ["1", '"a, ""b"""'], [], ["2", "c"])]
    table = load_csv(write(tmp_path / "a.csv", ending.join(lines)))
    assert table["x"].tolist() == [1, 2] and table["name"].tolist() == ['a, "b"', "c"]


def test_empty_lines_before_the_header_do_not_decide_the_delimiter(tmp_path):
    table = load_csv(write(tmp_path / "a.csv", "\n\na;b\n1;u\n"))
    assert table.names == ("a", "b") and table["a"].tolist() == [1]


def test_gzip_and_byte_order_mark(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("\ufeffa,b\n1,2\n".encode()))
    assert load_csv(tmp_path / "a.csv.gz").names == ("a", "b")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-10])
    with pytest.raises(GradcoreError, match="gzip|Compressed"):
        load_csv(tmp_path / "b.csv.gz")


def test_text_columns_on_request(tmp_path):
    table = load_csv(write(tmp_path / "a.csv", "zip,y\n01234,1\n99999,2\n"), text=["zip"])
    assert table["zip"].tolist() == ["01234", "99999"] and table["y"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("\n\n", "empty file"),
        ("a,b\n", "expected rows"),
        ("a,b\n1,2\n1,2,3\n", "line 3: expected 2 cells, got 3"),
        ("a,b\n1,2\n\n1\n", "line 4: expected 2 cells, got 1"),
        ("a,a\n1,2\n", "'a' twice"),
        ('a,b\n1,"2\n', "line"),
    ],
)
def test_csv_that_is_none(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        load_csv(write(tmp_path / "a.csv", text))


def test_csv_that_cannot_be_read(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        load_csv(tmp_path / "none.csv")
    with pytest.raises(FileError):
        load_csv(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"a,b\n\xff\xfe,2\n")
    with pytest.raises(FormatError, match="UTF-8"):
        load_csv(tmp_path / "a.csv")


# ---- Parquet ----


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "x": [1, 2, None],
            "ok": [True, False, True],
            "name": ["a", None, "b"],
            "kind": pa.array(["u", "v", "u"]).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    got = load_parquet(tmp_path / "a.parquet")
    assert got.names == ("x", "ok", "name", "kind")
    assert np.isnan(got["x"][2]) and got["ok"].tolist() == [True, False, True]
    assert got["name"].tolist() == ["a", "", "b"] and got["kind"].tolist() == ["u", "v", "u"]
    parquet.write_table(pa.table({"l": [[1], [2]]}), tmp_path / "b.parquet")
    with pytest.raises(FormatError, match="column 'l': expected numbers or texts"):
        load_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(FormatError, match="cannot be read as Parquet"):
        load_parquet(tmp_path / "c.parquet")


# ---- Encoding ----


def learn(tmp_path, text, target, **options):
    table = load_csv(write(tmp_path / "a.csv", text))
    return table, Encoding.learn(table, target, **options)


def test_classes_of_texts_and_categories(tmp_path):
    table, encoding = learn(tmp_path, "town,size,kind\nOslo,1,b\nBern,2,a\nOslo,3,b\n", "kind")
    assert encoding.classes == ("a", "b") and encoding.categories == {"town": ("Bern", "Oslo")}
    assert encoding.inputs(table).tolist() == [[0, 1, 1], [1, 0, 2], [0, 1, 3]]
    assert encoding.targets(table).tolist() == [1, 0, 1] and encoding.width == 3 and encoding.outputs == 2


@pytest.mark.parametrize(
    ("values", "task"),
    [([3, 1, 2], "classes"), ([0.5, 1, 2], "number"), (range(20), "classes"), (range(21), "number")],
)
def test_whole_numbers_of_few_values_are_classes(tmp_path, values, task):
    text = "x,y\n" + "".join(f"1,{value}\n" for value in values)
    table, encoding = learn(tmp_path, text, "y")
    assert encoding.task == task
    assert learn(tmp_path, text, "y", task="number")[1].task == "number"
    if task == "classes":
        assert encoding.classes == tuple(str(value) for value in sorted(values))


def test_numbers_are_scaled_and_unscaled(tmp_path):
    table, encoding = learn(tmp_path, "x,y\n1,100.5\n2,300.5\n3,800.25\n", "y")
    y = encoding.targets(table)
    assert abs(y.mean()) < 1e-6 and abs(y.std() - 1) < 1e-6
    assert np.allclose(encoding.unscaled(y.reshape(-1, 1)), table["y"], rtol=1e-6)


def test_long_class_numbers_and_texts_of_numbers(tmp_path):
    ids = write(tmp_path / "a.csv", "a,y\n1,9007199254740992\n2,9007199254740993\n")
    learned = Encoding.learn(load_csv(ids, text=["y"]), "y")
    assert learned.classes == ("9007199254740992", "9007199254740993")
    texts = load_csv(write(tmp_path / "b.csv", "a,y\n1,1.5\n2,2.5\n"), text=["y"])
    assert Encoding.learn(texts, "y", task="number").mean == 2.0


def test_columns_are_found_by_name(tmp_path):
    _, encoding = learn(tmp_path, "a,b,y\n1,2,u\n3,4,v\n", "y")
    other = load_csv(write(tmp_path / "b.csv", "b,extra,a\n2,9,1\n"))
    assert encoding.inputs(other).tolist() == [[1, 2]]


def test_description_survives_json(tmp_path):
    _, encoding = learn(tmp_path, "town,x,y\nZürich,1,a\nBern,2,b\n", "y")
    assert Encoding.from_json(encoding.to_json()) == encoding
    for text in ("", "[]", "{}", "null", json.dumps({"features": 1})):
        with pytest.raises(FormatError, match="expected the description"):
            Encoding.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,2.5\n,3.5\n", "line 3, column 'a': missing value"),
        ("a,y\n1,2.5\nNA,3.5\n?,1\n", r"line 3, column 'a': missing value \(and 1 more"),
        ("a,y\n1,2.5\n1,\n", "line 3, column 'y': missing value"),
        ("a,y\nu,2.5\n,3.5\n", "line 3, column 'a': missing value"),
        ("a,y\n1,2.5\n3x,2\n4,1\n", "line 3, column 'a': expected a number, got '3x'"),
        ("a,y\n1,2.5\ninf,2\n4,1\n", "line 3, column 'a': expected a number that float32 can hold"),
        ("a,y\n1,2.5\n1e300,2\n4,1\n", "column 'a': expected a number that float32 can hold"),
        ("a,y\n1,u\n2,u\n", "expected 2 or more classes"),
        ("a,y\n1,0.5\n2,0.5\n", "expected different values"),
        ("a,y\n1,0.5\n2,-inf\n", "line 3, column 'y': expected a number that float32 can hold, got -inf"),
        ("a,y\n1,1\n2,inf\n", "line 3, column 'y': expected a number that float32 can hold, got inf"),
        ("a,y\n1,9007199254740992\n2,9007199254740993\n", "row 1, column 'y': expected class numbers"),
        ("a,y\n1,1\n2,9007199254740993\n", r"row 2, column 'y': expected class numbers below 2\*\*53"),
        (
            "a;y\n" + "".join(f"1;0,{i}\n" for i in range(30)),
            "expected numbers with a decimal point, got '0,0'",
        ),
        ("y\n1\n2\n", "expected a column besides the target"),
        ("a,y\n" + "".join(f"t{i},{i % 2}\n" for i in range(101)), "at most 100 different texts, got 101"),
    ],
)
def test_tables_that_cannot_be_learned(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        table, encoding = learn(tmp_path, text, "y")
        encoding.inputs(table)


def test_data_unlike_the_training_data(tmp_path):
    _, encoding = learn(tmp_path, "town,x,y\nOslo,1,a\nBern,2,b\n", "y")
    with pytest.raises(FormatError, match="none named 'x'"):
        encoding.inputs(load_csv(write(tmp_path / "b.csv", "town\nOslo\n")))
    with pytest.raises(FormatError, match="line 3, column 'town': expected one of Bern, Oslo"):
        encoding.inputs(load_csv(write(tmp_path / "b.csv", "town,x\nOslo,1\nRome,2\n")))
    with pytest.raises(FormatError, match="no header"):
        encoding.inputs(load_csv(write(tmp_path / "b.csv", "1,2\n3,4\n")))


def test_unknown_columns(tmp_path):
    table = load_csv(write(tmp_path / "a.csv", "a,y\n1,2\n"))
    with pytest.raises(ArgumentError, match="expected a column 'z', got a, y"):
        table["z"]
    with pytest.raises(ArgumentError, match="'z'"):
        table.without(["z"])
    assert table.without(["a"]).names == ("y",)
