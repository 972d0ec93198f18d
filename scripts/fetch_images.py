"""Take one archive of films from the source."""

import json
import shutil
from pathlib import Path

from ribcage.engine import step, store
from ribcage.errors import InputError
from ribcage.fetch import check_room, download
from ribcage.progress import say
from ribcage.remotes import NO_MIRROR, Remote


def main(
    source: Path,
    archive: Path,
    kind: str,
    batch: str,
    archives: list[str],
    partial: str,
    mirror: str = NO_MIRROR,
    attempts: int = 10,
    delay_s: float = 2.0,
) -> None:
    """Write `data/raw/images/<batch>.tar.gz`.

    Args:
        source: for phantoms, their folder; for NIH, the list of its files.
        archive: the file to write.
        kind: `phantom` (copied) or `nih` (downloaded, resumed, and checked by NIH's MD5).
        batch: the archive's name without .tar.gz.
        archives: all that are to be fetched, this one among them; the disk must hold them.
        partial: folder in which unfinished downloads wait.
        mirror: `none`, or a folder or URL that holds NIH's files under their own names.
        attempts: of the download, in a row without progress.
        delay_s: before the second of them.

    Raises:
        InputError: there is no such batch, the disk is too small for all, or the bytes cannot be
            had or are wrong.
    """
    if kind == "phantom":
        drawn = source / "images" / f"{batch}.tar.gz"
        if not drawn.is_file():
            raise InputError(f"{drawn}: there is no such batch; see batches in params.yaml")
        shutil.copyfile(drawn, archive)
        return
    listed = json.loads(source.read_text(encoding="utf-8"))["archives"]
    entries = {entry["file"].removesuffix(".tar.gz"): entry for entry in listed}
    for name in (batch, *archives):
        if name not in entries:
            known = ", ".join(sorted(entries))
            raise InputError(f"batches: NIH has no archive {name}; it has {known}")
    entry = entries[batch]
    # An edit of this file must not cost 45 GB: the sum that NIH gives is the name in DVC's cache.
    if entry["md5"] and store.take({str(archive): entry["md5"]}, {str(archive): archive}):
        say("taken from DVC's cache, where it lies under NIH's MD5")
        return
    coming = [batch, *(name for name in archives if name != batch and not _stands(archive, name))]
    # Of the size and the waiting bytes alone: another archive's mirror is its own job's affair.
    check_room([Remote.of(entries[name]) for name in coming], archive.parent, Path(partial))
    download(Remote.of(entry, mirror), archive, Path(partial), attempts, delay_s)


def _stands(archive: Path, name: str) -> bool:
    """Whether another archive is here: under its own name, or its job's until that has ended."""
    return any(archive.parent.glob(f"*{name}.tar.gz*"))


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
