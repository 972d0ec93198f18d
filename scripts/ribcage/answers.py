"""What radiologists said of films, and which of our findings stand beside each question.

Read from the tables that fetch_tables writes where a user has Google's files (expert_labels.py).
"""

from pathlib import Path

import pandas as pd

from ribcage.errors import InputError
from ribcage.findings import FINDINGS

OURS: dict[str, dict[str, tuple[str, ...]]] = {
    "four": {
        "Pneumothorax": ("Pneumothorax",),
        "Nodule or mass": ("Nodule", "Mass"),
        "Airspace opacity": ("Consolidation", "Infiltration", "Pneumonia"),
    },
    "all": {finding: (finding,) for finding in FINDINGS},
}
"""By table and question, the findings that answer it; a film has it if it has any of them."""
WITHOUT = {"four": "Fracture", "all": "Abnormal"}
"""What the experts were asked as well, and no finding of ours answers: it is not scored."""
QUESTIONS = {**OURS["all"], **OURS["four"]}
"""All questions of both tables; the 14 findings come first."""


def read_answers(tables: Path, kind: str) -> pd.DataFrame | None:
    """Read what the experts agreed upon; None where the user has not got it.

    Args:
        tables: the folder of fetch_tables.
        kind: a key of OURS.

    Returns:
        bool [films, questions], its index the images.

    Raises:
        InputError: the table is not as fetch_tables writes it.
    """
    return _read(tables / f"expert_{kind}.csv", ["image"], list(OURS[kind]))


def read_readers(tables: Path) -> pd.DataFrame | None:
    """Read what each reader said: bool [rows, 14], its index (image, reader); None without a table.

    Raises:
        InputError: the table is not as fetch_tables writes it.
    """
    return _read(tables / "expert_readers.csv", ["image", "reader"], list(FINDINGS))


def _read(path: Path, keys: list[str], questions: list[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in (*keys, *questions) if name not in table.columns]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]!r}; run fetch_tables again")
    said = table[questions]
    if not said.isin(["0", "1"]).all(axis=None) or table.duplicated(keys).any():
        raise InputError(
            f"{path}: has a cell other than 0 or 1, or a row twice; run fetch_tables again"
        )
    return said.eq("1").set_index([table[key] for key in keys])


def answers_on(tables: Path, images: list[str]) -> pd.DataFrame:
    """Say what the experts answered on some films.

    Of Pneumothorax, which both tables have, the adjudicated answer is taken before the majority's.

    Args:
        tables: the folder of fetch_tables.
        images: the n films, by name.

    Returns:
        nullable bool [n, questions] in the order of QUESTIONS, its index the images; NA where the
        experts were not asked.
    """
    films = pd.Index(images, name="image")
    found = pd.DataFrame(pd.NA, index=films, columns=list(QUESTIONS), dtype="boolean")
    for kind in OURS:
        said = read_answers(tables, kind)
        if said is not None:
            found = found.combine_first(said.reindex(films).astype("boolean"))
    return found[list(QUESTIONS)]


def known_to(truth: pd.DataFrame, ours: tuple[str, ...]) -> pd.Series:
    """Whether NIH's labels name any of these findings, bool [n]."""
    return truth[list(ours)].any(axis=1)


def given_to(rows: pd.DataFrame, ours: tuple[str, ...]) -> pd.Series:
    """The largest probability of these findings, float [n]; NaN where the model lacks one."""
    return rows[list(ours)].max(axis=1, skipna=False)
