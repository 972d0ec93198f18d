"""Settings, wildcards, and what is fresh: read once, before the graph is built."""

import sys

sys.path.insert(0, str(workflow.current_basedir.join("../scripts")))

from ribcage import provenance, settings  # noqa: E402

if "--mode" in sys.argv:  # a job's own Snakemake: the plan was made by its parent
    config = settings.read()
else:
    settings.refuse_other_config(config)
    config = settings.read()
    provenance.plan()

FILMS = "{images}/{{batch}}{suffix}".format(**config["source"])
BATCHES = config["batches"]
EXPERIMENTS = list(config["experiments"])
FIRST_SEED = config["seeds"][0]


wildcard_constraints:
    batch=settings.any_of(BATCHES),
    experiment=settings.any_of(EXPERIMENTS),
    seed=settings.any_of(config["seeds"]),
