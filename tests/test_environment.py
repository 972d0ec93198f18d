import re

from conftest import ROOT
from ribcage.settings import load_yaml

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\]+)", re.M)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / name).read_text()))


def test_the_lock_file_holds_every_direct_pin_with_hashes():
    locked = pins("requirements.lock")
    assert pins("requirements.in").items() <= locked.items()
    assert len(
        re.findall(r"^    --hash=sha256:", (ROOT / "requirements.lock").read_text(), re.M)
    ) >= len(locked)


def test_conda_users_get_the_same_pins():
    listed = load_yaml(ROOT / "environment.yml")["dependencies"]
    (pip,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    assert dict(line.split("==") for line in pip) == pins("requirements.in")
    assert "python=3.11" in listed


def test_the_lock_file_names_no_host():
    for name in ("requirements.lock", "requirements-uv.txt", "environment.yml"):
        assert "://" not in (ROOT / name).read_text()
