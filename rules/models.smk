"""Models: one network an experiment and seed, and what it says of each film."""


rule train_classifier:
    """Train one experiment's network with one seed."""
    input:
        stamp=".stamps/train_classifier/{experiment}/{seed}",
        curated="data/interim/curated.parquet",
        split="data/interim/split.parquet",
        shards=expand("data/shards/{batch}", batch=BATCHES),
    output:
        model=directory("models/{experiment}/{seed}"),
    log:
        "logs/train_classifier/{experiment}/{seed}.log",
    benchmark:
        "benchmarks/train_classifier/{experiment}/{seed}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        gpu=1,
    params:
        experiment="{experiment}",
        settings=lambda wildcards: settings.of_experiment(config, wildcards.experiment),
        seed=lambda wildcards: int(wildcards.seed),
    script:
        "../scripts/train_classifier.py"


rule predict_findings:
    """Score the validation and test films, and fit the thresholds on validation."""
    input:
        stamp=".stamps/predict_findings/{experiment}/{seed}",
        model="models/{experiment}/{seed}",
        curated="data/interim/curated.parquet",
        split="data/interim/split.parquet",
        shards=expand("data/shards/{batch}", batch=BATCHES),
    output:
        predictions=directory("reports/{experiment}/{seed}"),
    log:
        "logs/predict_findings/{experiment}/{seed}.log",
    benchmark:
        "benchmarks/predict_findings/{experiment}/{seed}.tsv"
    conda:
        "../environment.yml"
    resources:
        gpu=1,
    params:
        batch_size=config["predict_findings"]["batch_size"],
    script:
        "../scripts/predict_findings.py"
