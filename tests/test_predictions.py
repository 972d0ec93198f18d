import gzip
import hashlib

import numpy as np
import pytest

from ribcage import predictions
from ribcage.errors import InputError
from ribcage.findings import FINDINGS
from ribcage.predictions import read_predictions, refuse_strangers


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "theirs.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def csv_of(header, *rows):
    return "\n".join([header, *rows]) + "\n"


def test_columns_are_known_by_name_in_any_order(write):
    path = write(csv_of("prob_Mass,Image Index,prob_Hernia", "0.25,a.png,1", "0,b.png,0.5"))
    found = read_predictions(path)
    assert found.images == ["a.png", "b.png"]
    assert tuple(found.given.columns) == FINDINGS
    assert found.given["Mass"].tolist() == [0.25, 0] and found.given["Hernia"].tolist() == [1, 0.5]
    assert found.missing == [f for f in FINDINGS if f not in ("Mass", "Hernia")]
    assert found.given[found.missing].isna().all(axis=None)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("header", "film"),
    [
        ("image,Mass,No Finding,Patient ID", "a.png"),
        ("Image ID,pred_Mass,pred_No Finding,seconds", "a.png"),
        ("filename,Mass_prob,No Finding,note", "a.png"),
        ("path,Mass_pred,,note", "some/folder/a.png"),
        ("\ufeffpath, prob_Mass ,x,y", "C:\\films\\a.png"),
    ],
)
def test_affixes_paths_and_columns_about_other_things(write, header, film):
    found = read_predictions(write(csv_of(header, f"{film},0.5,0.1,0.2", "")))
    assert found.images == ["a.png"] and found.given["Mass"].tolist() == [0.5]
    assert len(found.missing) == 13


def test_other_spellings_of_nih_are_its_findings(write):
    text = csv_of("image,prob_Infiltrate,prob_Pleural Thickening", "a.png,0.1,0.2")
    found = read_predictions(write(text))
    assert found.given["Infiltration"].tolist() == [0.1]
    assert found.given["Pleural_Thickening"].tolist() == [0.2]


def test_no_two_scores_become_equal(write):
    near = [0.1, float(np.nextafter(0.1, 1)), 5e-324, 1 - 2**-53]
    rows = [f"{n}.png,{value!r}" for n, value in enumerate(near)]
    found = read_predictions(write(csv_of("image,Mass", *rows)))
    assert found.given["Mass"].tolist() == near and found.given["Mass"].dtype == np.float64


def test_a_packed_file_is_the_same(write):
    text = csv_of("image,Mass", "a.png,0.5").encode()
    plain = read_predictions(write(text))
    packed = read_predictions(write(gzip.compress(text)))
    assert plain.images == packed.images and plain.given.equals(packed.given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"line 1: needs one column of film names \(Image Index, image, .*has 0; give"),
        ("a.png,0.5\n", "line 1: needs one column of film names"),
        ("image,path,Mass\n", "line 1: needs one column .*has 2"),
        ("image,Cough\n", "line 1: has no column of a finding, such as Atelectasis or prob_Atele"),
        ("image,Mass,Mass\n", "line 1: columns 'Mass' and 'Mass' both stand for Mass; keep"),
        ("image,Mass,prob_Mass\n", "columns 'Mass' and 'prob_Mass' both stand for Mass"),
        ("image,Infiltrate,Infiltration\n", "both stand for Infiltration"),
        ("image,Mass,prob_Cough\n", "column 'prob_Cough' is none of NIH's findings; remove it"),
        ("image,prob_mass\n", "column 'prob_mass' is not spelt as NIH does: Mass"),
        ("image,PleuralThickening\n", "is not spelt as NIH does: Pleural_Thickening"),
        ("image,Mass\n", "has no line below its header"),
        ("image,Mass\na.png,0.5\n\nb.png,1.5\n", r"line 4: Mass is '1\.5', .*give probabilities"),
        ("image,prob_Mass\na.png,-2.3\n", r"line 2: prob_Mass is '-2\.3', .* logits their sigmoid"),
        ("image,Mass\na.png,nan\n", "line 2: Mass is 'nan', no number in 0 to 1"),
        ("image,Mass\na.png,\n", "line 2: Mass is '', no number"),
        ("image,Mass\na.png,high\n", "line 2: Mass is 'high', no number"),
        ("image,Mass\na.png,0.5\na.png,0.5\n", "line 3: scores a.png again, after line 2"),
        ("image,Mass\nx/a.png,0.5\ny/a.png,0.5\n", "line 3: scores a.png again"),
        ("image,Mass\n,0.5\n", "line 2: image is '', which names no film"),
        ('image,Mass\n"a\nb.png",0.5\n', r"is 'a\\nb\.png', which names no film"),
        ("image,Mass\na.png,0.5,1\n", "line 2: has 3 cells, the header 2"),
        ('image,Mass\n"a.png,0.5\n', "is no CSV"),
        (b"image,Mass\n\xff,0.5\n", "byte 11 is not UTF-8"),
        (b"\x1f\x8b\x08nonsense", "is damaged"),
        (gzip.compress(b"image,Mass\na.png,0.5\n")[:-4], "is damaged"),
    ],
)
def test_a_bad_file_is_one_sentence_that_says_where(write, text, words):
    path = write(text)
    with pytest.raises(InputError, match=words) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_sizes_are_bounded(write, monkeypatch, tmp_path):
    monkeypatch.setattr(predictions, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_predictions(write(b"x" * (2 << 20)))
    with pytest.raises(InputError, match="unpacks to more than 1 MiB"):
        read_predictions(write(gzip.compress(b"x" * (2 << 20))))
    monkeypatch.setattr(predictions, "MAX_FILMS", 1)
    with pytest.raises(InputError, match="more than 1 films"):
        read_predictions(write("image,Mass\na.png,0\nb.png,0\n"))
    with pytest.raises(InputError, match="there is no such file; mend import_predictions"):
        read_predictions(tmp_path / "none.csv")


def test_films_that_the_table_lacks_are_named_and_counted(tmp_path):
    path = tmp_path / "theirs.csv"
    refuse_strangers(["a.png"], ["a.png", "b.png"], path)
    with pytest.raises(InputError, match=r"x\.png is not in the data table, as 2 of its 3 films"):
        refuse_strangers(["a.png", "x.png", "y.png"], ["a.png"], path)
