"""Snakemake's own report of a finished run: what it holds, with captions and categories."""

import html
import re
import zipfile

import pytest

from shell import sh

pytestmark = pytest.mark.usefixtures("zygote")
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there: a proxy through which nothing is fetched."""
OFFLINE = ["env", *(f"{kind}={NOWHERE}" for kind in ("http_proxy", "https_proxy", "all_proxy"))]


def test_the_report_of_snakemake_holds_pages_figures_and_cards(finished, tmp_path):
    sh([*OFFLINE, "snakemake", "--report", str(tmp_path / "run.zip")], finished)
    with zipfile.ZipFile(tmp_path / "run.zip") as held:
        names = {re.sub(r"^run/(data/raw/\w+/)?", "", name) for name in held.namelist()}
        page = html.unescape(held.read("run/report.html").decode())
    figures = {path.name for path in (finished / "reports/figures").glob("*.[sp][vn]g")}
    assert {"time-by-step.svg", "lungs-random.png"} <= figures <= names
    assert {"index.html", "data.html", "imported.html", "model_card.md", "headline.json"} <= names
    for words in ("judges what it learnt on patients", "Pages", "Figures", "Experiments"):
        assert words in page
    assert "figures/time-by-step.csv" in page
    assert "What the networks of <em>weighted</em> are" in page.replace("\\u003c", "<")
    assert not re.search(r"""<(?:script|link|img)[^>]*(?:src|href)=["']https?:""", page)
