"""The terms under which each table may be used, and what to cite, kept beside the data."""

from typing import NamedTuple


class Source(NamedTuple):
    """Somebody who shares data.

    Attributes:
        name: who, and what.
        files: what each of their files is.
        terms: what may be done with them, and what is asked in return.
        cite: the work to cite; empty where there is none.
    """

    name: str
    files: str
    terms: str
    cite: str

    def line(self) -> str:
        """The terms in one line."""
        return f"{self.name}: {self.terms}" + (f" Cite {self.cite}" if self.cite else "")


NIH = Source(
    "ChestX-ray14, NIH Clinical Center",
    "`entries.csv` is the table of films, patients and labels. `boxes.csv` has the boxes that "
    "radiologists drew on 880 test films. `train_val_list.txt` and `test_list.txt` are the "
    "official split. The labels were read out of reports by software: `No Finding` means that none "
    "of the 14 findings was named, not that the film is normal.",
    "Free for any use. NIH asks for a link to https://nihcc.app.box.com/v/ChestXray-NIHCC, for "
    "credit to the NIH Clinical Center as the provider, and for the citation.",
    "X. Wang et al., ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on "
    "Weakly-Supervised Classification and Localization of Common Thorax Diseases, CVPR 2017, "
    "pp. 3462-3471.",
)
AZURE = Source(
    "Blacklists, Microsoft (Azure/AzureChestXRay)",
    "`blacklists/` names films that are not frontal, lie on their side, or are of low quality: one "
    "file name a line, without a header. Two lung finders that disagreed pointed at them; people "
    "looked again.",
    "MIT licence. Lists of these names come from its commit "
    "2e1a6dde1b701f259a6299166a7dd6fecda81164.",
    "",
)
FOUR = Source(
    "Four findings by radiologists, Google",
    "`expert_four.csv`: fracture, pneumothorax, airspace opacity, nodule or mass, agreed upon by "
    "three radiologists a film. Set `test` lies in the official test list, `val` in train_val.",
    "Given out behind a form; the terms that were accepted there hold.",
    "A. Majkowska et al., Chest Radiograph Interpretation with Deep Learning Models, "
    "Radiology 294 (2020), pp. 421-431.",
)
ALL = Source(
    "All findings by radiologists, Google",
    "`expert_all.csv`: `Abnormal` and the 14 findings on 810 PA films of the official test list, "
    "by the majority of three radiologists. `expert_readers.csv`: what each of five of them said.",
    "Given out behind a form; the terms that were accepted there hold. "
    "For research and education only.",
    "Z. Nabulsi et al., Deep learning for distinguishing normal versus abnormal chest radiographs "
    "and generalization to two unseen diseases tuberculosis and COVID-19, "
    "Scientific Reports 11 (2021), 15523.",
)
PHANTOMS = Source(
    "Phantoms, drawn by this pipeline",
    "All tables here say what was drawn. No patient stands behind any of them.",
    "The licence of this project.",
    "",
)
OWN = Source(
    "Tables of a folder of your own",
    "`entries.csv`, and whatever lists, boxes and marks lay beside it.",
    "Not known here: ask whoever gave you the data.",
    "",
)


def sources_of(version: str, files: set[str], azure: set[str]) -> list[Source]:
    """Say whose the tables are.

    Args:
        version: of the labels, as `entries.version_of` tells it.
        files: the files of `data/raw/tables/`, with their folder.
        azure: the names of Azure's lists.
    """
    found = [{"phantom": PHANTOMS, "other": OWN}.get(version, NIH)]
    if version != "phantom" and files & {f"blacklists/{name}" for name in azure}:
        found.append(AZURE)
    if "expert_four.csv" in files:
        found.append(FOUR)
    if files & {"expert_all.csv", "expert_readers.csv"}:
        found.append(ALL)
    return found


def text_of(sources: list[Source]) -> str:
    """Write the sources as Markdown."""
    parts = ["# Licences, terms and citations\n"]
    for source in sources:
        cite = f"\nCite: {source.cite}\n" if source.cite else ""
        parts.append(f"## {source.name}\n\n{source.files}\n\nTerms: {source.terms}\n{cite}")
    return "\n".join(parts)
