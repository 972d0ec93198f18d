"""Settings, wildcards, and what is fresh: read once, before the graph is built."""

import sys
from contextlib import contextmanager

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(workflow.current_basedir.join("../scripts")))

from ribcage import settings  # noqa: E402
from ribcage.engine import planning, store  # noqa: E402
from ribcage.errors import InputError  # noqa: E402


@contextmanager
def in_one_sentence():
    """End with what the user can mend, without a traceback."""
    try:
        yield
    except InputError as error:
        raise WorkflowError(str(error)) from None


logger.addFilter(planning.not_told_by_runner)

with in_one_sentence():
    allow_missing = settings.of_command_line(config)
    config = settings.read()
    if "--mode" not in sys.argv:  # a job's own Snakemake follows its parent's plan
        planning.plan(allow_missing=allow_missing)

FILMS = "{images}/{{batch}}{suffix}".format(**config["source"])
BATCHES = config["batches"]
EXPERIMENTS = list(config["experiments"])
FIRST_SEED = config["seeds"][0]
ALL_CORES = (
    workflow.resource_settings.cores or 1
)  # none are given for --report, --rulegraph


wildcard_constraints:
    batch=settings.any_of(BATCHES),
    experiment=settings.any_of(EXPERIMENTS),
    seed=settings.any_of(config["seeds"]),
