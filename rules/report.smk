"""Report: scores, maps, and the page that shows them."""


rule describe_data:
    """Count, audit and picture the data."""
    input:
        stamp=".stamps/describe_data",
        tables="data/raw/tables",
        images="data/interim/images.parquet",
        measures="data/interim/measures.parquet",
        duplicates="data/interim/duplicates.csv",
        curated="data/interim/curated.parquet",
        dropped="data/interim/dropped.csv",
        spared="data/interim/spared.csv",
        split="data/interim/split.parquet",
        certificate="reports/certificate.json",
        baseline="reports/metadata_baseline",
        films=expand(FILMS, batch=BATCHES),
    output:
        description=directory("reports/data"),
    log:
        "logs/describe_data.log",
    benchmark:
        "benchmarks/describe_data.tsv"
    conda:
        "../environment.yml"
    params:
        thresholds=config["curate_images"]["quality"],
        extreme_films=config["describe_data"]["extreme_films"],
        picture_px=config["describe_data"]["picture_px"],
    script:
        "../scripts/describe_data.py"


rule write_datasheet:
    """Render the page on the data and its datasheet, before any training."""
    input:
        stamp=".stamps/write_datasheet",
        tables="data/raw/tables",
        description="reports/data",
    output:
        page=report(
            "reports/data.html",
            caption="../report/data.rst",
            category="Pages",
            labels={"page": "the data"},
        ),
        sheet="reports/datasheet.md",
    log:
        "logs/write_datasheet.log",
    benchmark:
        "benchmarks/write_datasheet.tsv"
    conda:
        "../environment.yml"
    params:
        title=config["write_report"]["title"],
    script:
        "../scripts/write_datasheet.py"


rule score_predictions:
    """Score an experiment against the labels, with intervals over patients."""
    input:
        stamp=".stamps/score_predictions/{experiment}",
        predictions=expand("reports/{{experiment}}/{seed}", seed=config["seeds"]),
        curated="data/interim/curated.parquet",
        tables="data/raw/tables",
    output:
        metrics_file="reports/{experiment}/metrics.json",
        curves="reports/{experiment}/curves.csv",
        strata="reports/{experiment}/strata.csv",
        mean="reports/{experiment}/predictions.parquet",
        headline=report(
            "reports/{experiment}/headline.json",
            caption="../report/headline.rst",
            category="Experiments",
            labels={"experiment": "{experiment}", "what": "headline"},
        ),
        roc="reports/{experiment}/roc.csv",
        pr="reports/{experiment}/pr.csv",
        reliability="reports/{experiment}/reliability.csv",
    log:
        "logs/score_predictions/{experiment}.log",
    benchmark:
        "benchmarks/score_predictions/{experiment}.tsv"
    conda:
        "../environment.yml"
    params:
        experiment="{experiment}",
        settings=config["score_predictions"],
    script:
        "../scripts/score_predictions.py"


rule score_metadata_baseline:
    """Fit and score a model on view, age, sex and follow-up number alone."""
    input:
        stamp=".stamps/score_metadata_baseline",
        curated="data/interim/curated.parquet",
        split="data/interim/split.parquet",
    output:
        baseline=directory("reports/metadata_baseline"),
    log:
        "logs/score_metadata_baseline.log",
    benchmark:
        "benchmarks/score_metadata_baseline.tsv"
    conda:
        "../environment.yml"
    params:
        model=config["score_metadata_baseline"]["model"],
        settings=config["score_predictions"],
    script:
        "../scripts/score_metadata_baseline.py"


rule import_predictions:
    """Score the predictions of models that were trained elsewhere, as if they were experiments."""
    input:
        stamp=".stamps/import_predictions",
        curated="data/interim/curated.parquet",
        images="data/interim/images.parquet",
        split="data/interim/split.parquet",
        tables="data/raw/tables",
        baseline="reports/metadata_baseline",
    output:
        imported=directory("reports/imported"),
        page=report(
            "reports/imported.html",
            caption="../report/imported.rst",
            category="Pages",
            labels={"page": "imported predictions"},
        ),
    log:
        "logs/import_predictions.log",
    benchmark:
        "benchmarks/import_predictions.tsv"
    conda:
        "../environment.yml"
    params:
        files=config["import_predictions"],
        settings=config["score_predictions"],
    script:
        "../scripts/import_predictions.py"


rule write_model_card:
    """Write what an experiment's networks are, how good, and what they are no good for."""
    input:
        stamp=".stamps/write_model_card/{experiment}",
        models=expand("models/{{experiment}}/{seed}", seed=config["seeds"]),
        metrics_file="reports/{experiment}/metrics.json",
        strata="reports/{experiment}/strata.csv",
        split="data/interim/split.parquet",
        certificate="reports/certificate.json",
    output:
        card=report(
            "reports/{experiment}/model_card.md",
            caption="../report/model_card.rst",
            category="Experiments",
            labels={"experiment": "{experiment}", "what": "model card"},
        ),
    log:
        "logs/write_model_card/{experiment}.log",
    benchmark:
        "benchmarks/write_model_card/{experiment}.tsv"
    conda:
        "../environment.yml"
    params:
        experiment="{experiment}",
        settings=lambda wildcards: settings.of_experiment(config, wildcards.experiment),
        title=config["write_report"]["title"],
    script:
        "../scripts/write_model_card.py"


rule compare_experiments:
    """Set experiments side by side, and subtract them on the same films and resamples."""
    input:
        stamp=".stamps/compare_experiments",
        predictions=expand(
            "reports/{experiment}/predictions.parquet", experiment=EXPERIMENTS
        ),
        scores=expand("reports/{experiment}/metrics.json", experiment=EXPERIMENTS),
        models=expand(
            "models/{experiment}/{seed}", experiment=EXPERIMENTS, seed=config["seeds"]
        ),
        baseline="reports/metadata_baseline",
        imported="reports/imported",
        curated="data/interim/curated.parquet",
    output:
        experiments=report(
            "reports/experiments.csv",
            caption="../report/experiments.rst",
            category="Experiments",
            labels={"experiment": "all", "what": "comparison"},
        ),
        comparison="reports/comparison.json",
    log:
        "logs/compare_experiments.log",
    benchmark:
        "benchmarks/compare_experiments.tsv"
    conda:
        "../environment.yml"
    params:
        settings=config["score_predictions"],
        trained={name: settings.of_experiment(config, name) for name in EXPERIMENTS},
    script:
        "../scripts/compare_experiments.py"


rule draw_cams:
    """Draw where an experiment's first seed finds its evidence, and judge whether it is the place."""
    input:
        stamp=".stamps/draw_cams/{experiment}",
        model=f"models/{{experiment}}/{FIRST_SEED}",
        predictions=f"reports/{{experiment}}/{FIRST_SEED}",
        curated="data/interim/curated.parquet",
        tables="data/raw/tables",
        lungs=expand("data/lungs/{batch}.parquet", batch=BATCHES),
        shards=expand("data/shards/{batch}", batch=BATCHES),
        films=expand(FILMS, batch=BATCHES),
    output:
        cams=directory("reports/{experiment}/cams"),
    log:
        "logs/draw_cams/{experiment}.log",
    benchmark:
        "benchmarks/draw_cams/{experiment}.tsv"
    conda:
        "../environment.yml"
    params:
        method=config["draw_cams"]["method"],
        layer=config["draw_cams"]["layer"],
        compared=config["draw_cams"]["compared"],
        occlusion=config["draw_cams"]["occlusion"],
        per_finding=config["draw_cams"]["per_finding"],
        display_px=config["draw_cams"]["display_px"],
        resamples=config["score_predictions"]["resamples"],
        seed=config["draw_cams"]["seed"],
    script:
        "../scripts/draw_cams.py"


rule write_report:
    """Render everything into one page that a reviewer can read without asking us anything."""
    input:
        stamp=".stamps/write_report",
        tables="data/raw/tables",
        description="reports/data",
        curated="data/interim/curated.parquet",
        segmenter="models/segmenter",
        lungs=expand("data/lungs/{batch}.parquet", batch=BATCHES),
        sheets="reports/lungs",
        models=expand(
            "models/{experiment}/{seed}", experiment=EXPERIMENTS, seed=config["seeds"]
        ),
        metrics=expand("reports/{experiment}/metrics.json", experiment=EXPERIMENTS),
        cams=expand("reports/{experiment}/cams", experiment=EXPERIMENTS),
        comparison_file="reports/comparison.json",
        imported="reports/imported",
        on_real_films="benchmarks/lungs_on_real_films.json",
    output:
        report=report(
            "reports/index.html",
            caption="../report/index.rst",
            category="Pages",
            labels={"page": "the report"},
        ),
        figures=report(
            directory("reports/figures"),
            patterns=["{figure}.svg", "{figure}.png"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.tsv"
    conda:
        "../environment.yml"
    params:
        title=config["write_report"]["title"],
        max_mb=config["write_report"]["max_mb"],
        settings=config,
    script:
        "../scripts/write_report.py"
