"""Pictures that other steps drew, as data URIs: the page needs no other file."""

import base64
from pathlib import Path


def file_uri(path: Path) -> str:
    """An image file inside the page."""
    kind = {".webp": "webp", ".jpg": "jpeg", ".png": "png"}[path.suffix]
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()
