"""What the tests share: small films in NIH's layout, and the real ones where they are at hand."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def png(film: np.ndarray, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(film).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def write_archive(path: Path, films: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in films.items():
            member = tarfile.TarInfo(f"images/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def entry(patient: int, follow_up: int = 0, labels: str = "No Finding", age: str = "58") -> str:
    name = f"{patient:08d}_{follow_up:03d}.png"
    return f"{name},{labels},{follow_up},{patient},{age},M,PA,2500,2048,0.171,0.171"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder as fetch_tables leaves it: four images of three patients."""
    folder = tmp_path / "tables"
    (folder / "blacklists").mkdir(parents=True)
    rows = [entry(1, labels="Mass|Effusion"), entry(1, 1), entry(2, labels="Hernia"), entry(3)]
    (folder / "entries.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "blacklists" / "rotated.csv").write_text("00000001_001.png")
    return folder


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """The archive of those four images: 40 x 32 px, one of them RGBA."""
    rng = np.random.default_rng(0)
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png"]
    films = {name: png(rng.integers(0, 256, (32, 40), dtype=np.uint8)) for name in names}
    films[names[2]] = png(np.full((32, 40), 90, np.uint8), "RGBA")
    path = tmp_path / "images_001.tar.gz"
    write_archive(path, films)
    return path


@pytest.fixture
def small_and_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads that count small parts as progress, and wait for no server."""
    monkeypatch.setattr("ribcage.fetch.CHUNK", 10_000)
    monkeypatch.setattr("ribcage.fetch.LONGEST_RETRY_AFTER_S", 0.02)
    monkeypatch.setattr("ribcage.servers.TIMEOUT_S", (5, 0.3))


@pytest.fixture
def nih_starter() -> Path:
    """300 real films, which are not part of the project."""
    folder = ROOT.parent / "shared" / "nih-starter"
    if not folder.is_dir():
        pytest.skip(f"no real films at {folder}")
    return folder


@pytest.fixture(scope="session")
def facts_folder() -> Path:
    """Tables of published and computed figures, which are not part of the project."""
    folder = ROOT.parent / "shared" / "facts"
    if not folder.is_dir():
        pytest.skip(f"no tables of published figures at {folder}")
    return folder


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NIH's own tables at full size and the blacklists, which are not part of the project."""
    facts = ROOT.parent / "shared" / "facts"
    if not facts.is_dir():
        pytest.skip(f"no official tables at {facts}")
    folder = tmp_path_factory.mktemp("official")
    for path in (facts / "official").glob("*.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    (folder / "blacklists").mkdir()
    for path in facts.glob("blacklist_*.csv"):
        shutil.copy(path, folder / "blacklists")
    return folder


@pytest.fixture(scope="session")
def described(tmp_path_factory):
    """A made-up data set with all that describe_data and write_datasheet make of it; read only."""
    from made_up import write_described  # imports what most tests do not need

    return write_described(tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="session")
def facts(described):
    return json.loads((described / "data" / "facts.json").read_text())


def predictions_of(truth: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Probabilities that know something of the truth, for tests of scoring."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=truth.shape)
    return pd.DataFrame(1 / (1 + np.exp(-(truth.to_numpy() * 1.5 + noise))), columns=truth.columns)


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium without a window, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium to open pages in: install the package chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def zygote(tmp_path_factory):
    """Make the commands of tests/shell.py start fast; RIBCAGE_TESTS_PLAIN=1 does without."""
    from shell import ENVIRONMENT

    if os.environ.get("RIBCAGE_TESTS_PLAIN"):
        yield
        return
    folder = ROOT / "tests" / "zygote"
    address = tmp_path_factory.mktemp("zygote") / "socket"
    command = [sys.executable, str(folder / "server.py"), str(address)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        added = {"RIBCAGE_TEST_ZYGOTE": str(address), "PYTHONPATH": str(folder)}
        ENVIRONMENT.update(added)
        yield
        for name in added:
            del ENVIRONMENT[name]
        server.kill()


@pytest.fixture(scope="session")
def finished(zygote, tmp_path_factory):
    """A repository with a finished smoke run that is committed, and pushed to a remote folder."""
    from shell import clone, preset, sh

    folder = clone(tmp_path_factory.mktemp("finished"))
    preset(folder)
    sh(f"dvc remote add --default store {folder.parent / 'store'}", folder)
    sh("snakemake --cores 2", folder)
    sh("dvc push", folder)
    sh("git add --all", folder)
    sh("git commit -q -m run", folder)
    return folder
