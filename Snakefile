"""Ribcage: from NIH's chest films to a report that can be trusted, rerun and explained."""

from snakemake.utils import min_version

min_version("9.27")


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/lungs.smk"
include: "rules/models.smk"
include: "rules/report.smk"


rule all:
    """Build everything that params.yaml asks for: the report, or without films the data's page."""
    default_target: True
    input:
        "reports/data.html",
        "reports/imported",
        ["reports/index.html"] if BATCHES else [],
        expand(
            "reports/{experiment}/model_card.md",
            experiment=EXPERIMENTS if BATCHES else [],
        ),


onstart:
    with in_one_sentence():
        planning.start(workflow.dag)


onsuccess:
    with in_one_sentence():
        store.commit()


onerror:
    with in_one_sentence():
        store.commit()
