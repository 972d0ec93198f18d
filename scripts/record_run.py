"""Record in DVC what is finished: the end of a run does it, unless the run was killed.

python scripts/record_run.py
"""

import sys

from ribcage.engine import store
from ribcage.errors import InputError

if __name__ == "__main__":
    try:
        store.commit()
    except InputError as error:
        sys.exit(f"Error: {error}")
