"""The 14 findings of NIH ChestX-ray14, their order, and how a label cell is read."""

from collections.abc import Iterable

from ribcage.errors import InputError

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""NIH's exact spellings in the order of its official tables; the only class list there is."""

NO_FINDING = "No Finding"

BOXED = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
"""The findings for which NIH drew boxes."""

ALIASES = {"Infiltrate": "Infiltration", "Pleural Thickening": "Pleural_Thickening"}
"""Other spellings that NIH's and Google's files use for the same finding."""


def canonical(name: str, where: str) -> str:
    """Return NIH's exact spelling of a finding; `where` names file and row for the error."""
    name = ALIASES.get(name.strip(), name.strip())
    if name not in FINDINGS:
        raise InputError(f"{where}: unknown finding {name!r}; known are {', '.join(FINDINGS)}")
    return name


def parse_labels(cell: str, where: str) -> frozenset[str]:
    """Read a label cell such as `Effusion|Mass`; `No Finding` is the empty set.

    Raises:
        InputError: unknown or empty label, or `No Finding` together with a finding.
    """
    names = [part.strip() for part in cell.split("|")]
    if names == [NO_FINDING]:
        return frozenset()
    if NO_FINDING in names:
        raise InputError(f"{where}: {cell!r} names a finding together with {NO_FINDING!r}")
    return frozenset(canonical(name, where) for name in names)


def check_classes(found: Iterable[str], where: str) -> None:
    """Refuse a class list that is not exactly `FINDINGS` in this order."""
    found = tuple(found)
    if found != FINDINGS:
        raise InputError(f"{where}: its classes {found} are not the 14 findings in NIH's order")
