import pytest

from misbehaving_server import serving
from ribcage import fetch
from ribcage.errors import InputError
from ribcage.fetch import download
from ribcage.remotes import Remote
from test_fetch import DATA, ENTRY, MD5, get

pytestmark = pytest.mark.usefixtures("small_and_impatient")


def test_wrong_bytes_are_known_by_their_beginning(tmp_path, monkeypatch):
    wrong = DATA[:100] + b"x" + DATA[101:]
    with serving({"/x.gz": wrong}, [("drop", 15_000), ("stall", 10_000)]) as (base, seen):
        entry = ENTRY | {"url": f"{base}/x.gz"}
        with pytest.raises(InputError, match=r"the sha256 of its first 20,000 bytes is") as raised:
            download(Remote.of(entry), tmp_path / "x.gz", tmp_path / "p", delay_s=0.001)
        (aside,) = (tmp_path / "p").iterdir()
        assert aside.name.startswith("x.gz.wrong-start-") and str(aside) in str(raised.value)
        assert 20_000 <= aside.stat().st_size <= 25_000 and len(seen) == 2
        # Those that an earlier run has left are known before the server is asked.
        aside.rename(tmp_path / "p" / Remote.of(entry).waits_as)
        with pytest.raises(InputError, match="of its first 20,000 bytes"):
            download(Remote.of(entry), tmp_path / "x.gz", tmp_path / "p")
        assert len(seen) == 2


def test_another_name_is_a_warning_and_the_hash_decides(tmp_path, capsys):
    get(tmp_path, [("named", "images_007.tar.gz")])
    assert "the server calls it 'images_007.tar.gz'; its hash" in capsys.readouterr().err
    get(tmp_path, [("named", "x.gz")])
    assert "calls it" not in capsys.readouterr().err


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_may_be_a_url(tmp_path, slash):
    with serving({"/nih/x.gz": DATA}, [("drop", 50_000)]) as (base, seen):
        remote = Remote.of(ENTRY, f"{base}/nih{slash}")
        download(remote, tmp_path / "x.gz", tmp_path / "p", delay_s=0.001)
    assert (tmp_path / "x.gz").read_bytes() == DATA
    assert {path for _, path, _ in seen} == {"/nih/x.gz"}


def test_a_mirror_may_be_a_folder_and_goes_on_with_what_a_server_began(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "x.gz").write_bytes(DATA)
    place = (tmp_path / "x.gz", tmp_path / "p")
    with (
        serving({"/x.gz": DATA}, [("drop", 70_000)]) as (base, _),
        pytest.raises(InputError, match="failed 1 times"),
    ):
        download(Remote.of(ENTRY | {"url": f"{base}/x.gz"}), *place, attempts=1)
    read = []
    blocks = fetch._blocks
    monkeypatch.setattr(fetch, "_blocks", lambda path, at: read.append(at) or blocks(path, at))
    download(Remote.of(ENTRY, str(tmp_path / "mirror")), *place)
    assert (tmp_path / "x.gz").read_bytes() == DATA and read == [70_000]
    assert not list((tmp_path / "p").iterdir()) and (tmp_path / "mirror" / "x.gz").exists()


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (DATA[:-1] + bytes([DATA[-1] ^ 1]), f"its md5 is .*, not {MD5}"),
        (DATA[:100_000], f"its md5 is .*, not {MD5}"),
        (DATA[:50] + b"!" + DATA[51:], "first 20,000 bytes"),
        (b"<!doctype html>" * 9, "gives a web page"),
        (b"", "its md5 is"),
    ],
)
def test_what_a_folder_holds_is_not_believed_unseen(tmp_path, held, words):
    (tmp_path / "x.gz").write_bytes(held)
    with pytest.raises(InputError, match=words):
        download(Remote.of(ENTRY, str(tmp_path)), tmp_path / "out", tmp_path / "p")
    assert not (tmp_path / "out").exists()


def test_a_shorter_file_in_a_folder_costs_no_byte_that_has_come(tmp_path):
    (tmp_path / "x.gz").write_bytes(DATA[:50_000])
    remote = Remote.of(ENTRY, str(tmp_path))
    waiting = tmp_path / "p" / remote.waits_as
    waiting.parent.mkdir()
    waiting.write_bytes(DATA[:70_000])
    with pytest.raises(InputError, match=r"x\.gz: has 50,000 bytes, fewer than the 70,000 .* put"):
        download(remote, tmp_path / "out", tmp_path / "p")
    assert waiting.read_bytes() == DATA[:70_000]
    (tmp_path / "x.gz").write_bytes(DATA)
    download(remote, tmp_path / "out", tmp_path / "p")
    assert (tmp_path / "out").read_bytes() == DATA


def test_a_file_that_vanishes_from_a_folder_is_named_itself(tmp_path):
    (tmp_path / "x.gz").write_bytes(DATA)
    remote = Remote.of(ENTRY, str(tmp_path))
    (tmp_path / "x.gz").unlink()
    with pytest.raises(InputError, match=f"^{tmp_path / 'x.gz'}: cannot be read"):
        download(remote, tmp_path / "out", tmp_path / "p")


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        ("empty", r"source.mirror: .*empty has no file x.gz; put it there, or write none"),
        ("absent", r"source.mirror: .*absent is neither a folder nor a URL that begins with"),
        ("ftp://host/nih", r"source.mirror: ftp://host/nih is neither"),
        ("http:///nih", "x.gz: http:///nih/x.gz Invalid URL"),
    ],
)
def test_a_mirror_that_is_none_is_one_sentence(tmp_path, monkeypatch, mirror, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=words) as raised:
        download(Remote.of(ENTRY, mirror), tmp_path / "out", tmp_path / "p", attempts=1)
    assert "\n" not in str(raised.value)


def test_wrong_bytes_are_kept_aside_under_a_name_that_says_so(tmp_path):
    with pytest.raises(InputError, match=f"its md5 is .*, not {MD5}"):
        get(tmp_path, ["wrong"], starts=None, start_sha256=None)
    assert not (tmp_path / "x.gz").exists()
    (aside,) = (tmp_path / "partial").iterdir()
    assert aside.name.startswith("x.gz.wrong-md5-")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("html", "gives a web page instead"), ("wrong", "gives bytes e074.* instead of the file")],
)
def test_what_is_not_the_file_is_refused_at_its_first_bytes(tmp_path, fault, words):
    with pytest.raises(InputError, match=words):
        get(tmp_path, [fault])
    assert not (tmp_path / "x.gz").exists()


def test_another_size_is_a_warning_and_the_hash_decides(tmp_path, capsys):
    get(tmp_path, [], size=len(DATA) - 7)
    assert "300,002 bytes, not 299,995; its hash decides" in capsys.readouterr().err
    assert (tmp_path / "x.gz").read_bytes() == DATA


def test_a_flood_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(Remote, "limit", 50_000)
    with pytest.raises(InputError, match="over 50,000 bytes came"):
        get(tmp_path, [])
