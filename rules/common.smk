"""Settings, wildcards, and what is fresh: read once, before the graph is built."""

import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(workflow.current_basedir.join("../scripts")))

from ribcage import provenance, settings  # noqa: E402
from ribcage.errors import InputError  # noqa: E402

try:
    of_a_job = "--mode" in sys.argv  # such a Snakemake follows its parent's plan
    if not of_a_job:
        settings.refuse_other_config(config)
    config = settings.read()
    if not of_a_job:
        provenance.plan()
except InputError as error:
    raise WorkflowError(str(error)) from None

FILMS = "{images}/{{batch}}{suffix}".format(**config["source"])
BATCHES = config["batches"]
EXPERIMENTS = list(config["experiments"])
FIRST_SEED = config["seeds"][0]


wildcard_constraints:
    batch=settings.any_of(BATCHES),
    experiment=settings.any_of(EXPERIMENTS),
    seed=settings.any_of(config["seeds"]),
