"""Take one archive of films from the source."""

import json
import shutil
from pathlib import Path

from ribcage.engine import step, store
from ribcage.errors import InputError
from ribcage.fetch import Remote, download
from ribcage.progress import say


def main(
    source: Path,
    archive: Path,
    kind: str,
    batch: str,
    partial: str,
    attempts: int = 10,
    delay_s: float = 2.0,
) -> None:
    """Write `data/raw/images/<batch>.tar.gz`.

    Args:
        source: for phantoms, their folder; for NIH, the list of its files.
        archive: the file to write.
        kind: `phantom` (copied) or `nih` (downloaded, resumed, and checked by NIH's MD5).
        batch: the archive's name without .tar.gz.
        partial: folder in which unfinished downloads wait.
        attempts: of the download, in a row without progress.
        delay_s: before the second of them.
    """
    if kind == "phantom":
        drawn = source / "images" / f"{batch}.tar.gz"
        if not drawn.is_file():
            raise InputError(f"{drawn}: there is no such batch; see batches in params.yaml")
        shutil.copyfile(drawn, archive)
        return
    listed = json.loads(source.read_text(encoding="utf-8"))["archives"]
    entries = {entry["file"]: entry for entry in listed}
    if f"{batch}.tar.gz" not in entries:
        raise InputError(
            f"batches: NIH has no archive {batch}; it has {', '.join(sorted(entries))}"
        )
    remote = Remote.of(entries[f"{batch}.tar.gz"])
    # An edit of this file must not cost 45 GB: the sum that NIH gives is the name in DVC's cache.
    if remote.md5 and store.take({str(archive): remote.md5}, {str(archive): archive}):
        say("taken from DVC's cache, where it lies under NIH's MD5")
        return
    download(remote, archive, Path(partial), attempts, delay_s)


if "snakemake" in globals():  # the only line that knows about Snakemake
    step.run(main, snakemake)  # noqa: F821
