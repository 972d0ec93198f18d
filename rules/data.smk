"""Films and tables: from the source to rows that are curated and split."""


rule draw_phantoms:
    """Draw chest films with known lungs, findings and labels, in NIH's layout."""
    input:
        stamp=".stamps/draw_phantoms",
    output:
        share=directory("data/phantoms"),
    log:
        "logs/draw_phantoms.log",
    benchmark:
        "benchmarks/draw_phantoms.tsv"
    conda:
        "../environment.yml"
    threads: ALL_CORES
    params:
        films=config["draw_phantoms"]["films"],
        films_per_batch=config["draw_phantoms"]["films_per_batch"],
        size_px=config["draw_phantoms"]["size_px"],
        quality_faults=config["draw_phantoms"]["quality_faults"],
        test_share=config["draw_phantoms"]["test_share"],
        no_finding_share=config["draw_phantoms"]["no_finding_share"],
        rare_boost=config["draw_phantoms"]["rare_boost"],
        label_noise=config["draw_phantoms"]["label_noise"],
        shortcuts=config["draw_phantoms"]["shortcuts"],
        seed=config["draw_phantoms"]["seed"],
    script:
        "../scripts/draw_phantoms.py"


rule fetch_tables:
    """Take labels, boxes, lists and blacklists from the source, and say on what terms."""
    input:
        stamp=".stamps/fetch_tables",
        source=config["source"]["origin"],
    output:
        tables=directory("data/raw/tables"),
    log:
        "logs/fetch_tables.log",
    benchmark:
        "benchmarks/fetch_tables.tsv"
    conda:
        "../environment.yml"
    params:
        kind=config["source"]["kind"],
        mirror=config["source"]["mirror"],
        expert_labels=config["fetch_tables"]["expert_labels"],
    script:
        "../scripts/fetch_tables.py"


rule fetch_images:
    """Take one archive of films from the source."""
    input:
        stamp=".stamps/fetch_images/{batch}",
        source=config["source"]["origin"],
    output:
        archive="data/raw/images/{batch}.tar.gz",
    log:
        "logs/fetch_images/{batch}.log",
    benchmark:
        "benchmarks/fetch_images/{batch}.tsv"
    conda:
        "../environment.yml"
    resources:
        downloads=1,
    params:
        kind=config["source"]["kind"],
        batch="{batch}",
        archives=config["fetch_images"]["archives"],
        partial=config["fetch_images"]["partial"],
        mirror=config["source"]["mirror"],
    script:
        "../scripts/fetch_images.py"


rule index_images:
    """Decode every film once and write one row an image, and its measures."""
    input:
        stamp=".stamps/index_images",
        tables="data/raw/tables",
        batches=expand(FILMS, batch=BATCHES),
    output:
        images="data/interim/images.parquet",
        measures="data/interim/measures.parquet",
    log:
        "logs/index_images.log",
    benchmark:
        "benchmarks/index_images.tsv"
    conda:
        "../environment.yml"
    threads: ALL_CORES
    params:
        batch_names=BATCHES,
        absent=config["index_images"]["absent"],
        unlisted=config["index_images"]["unlisted"],
    script:
        "../scripts/index_images.py"


rule find_duplicates:
    """Find films that are the same picture, equal in every pixel or nearly."""
    input:
        stamp=".stamps/find_duplicates",
        measures="data/interim/measures.parquet",
    output:
        duplicates="data/interim/duplicates.csv",
    log:
        "logs/find_duplicates.log",
    benchmark:
        "benchmarks/find_duplicates.tsv"
    conda:
        "../environment.yml"
    threads: ALL_CORES
    params:
        max_distance_bits=config["find_duplicates"]["max_distance_bits"],
    script:
        "../scripts/find_duplicates.py"


rule curate_images:
    """Drop what is listed, undecodable or spoilt, with a reason a row."""
    input:
        stamp=".stamps/curate_images",
        images="data/interim/images.parquet",
        measures="data/interim/measures.parquet",
        tables="data/raw/tables",
    output:
        curated="data/interim/curated.parquet",
        dropped="data/interim/dropped.csv",
        spared="data/interim/spared.csv",
    log:
        "logs/curate_images.log",
    benchmark:
        "benchmarks/curate_images.tsv"
    conda:
        "../environment.yml"
    params:
        blacklists=config["curate_images"]["blacklists"],
        undecodable=config["curate_images"]["undecodable"],
        from_test=config["curate_images"]["from_test"],
        split_kind=config["split_patients"]["kind"],
        quality=config["curate_images"]["quality"],
    script:
        "../scripts/curate_images.py"


rule split_patients:
    """Put every patient in exactly one of train, val and test, and certify that it is so."""
    input:
        stamp=".stamps/split_patients",
        curated="data/interim/curated.parquet",
        tables="data/raw/tables",
        duplicates="data/interim/duplicates.csv",
    output:
        split="data/interim/split.parquet",
        certificate="reports/certificate.json",
    log:
        "logs/split_patients.log",
    benchmark:
        "benchmarks/split_patients.tsv"
    conda:
        "../environment.yml"
    params:
        kind=config["split_patients"]["kind"],
        shares=config["split_patients"]["shares"],
        val_share=config["split_patients"]["val_share"],
        folds=config["split_patients"]["folds"],
        fold=config["split_patients"]["fold"],
        seed=config["split_patients"]["seed"],
    script:
        "../scripts/split_patients.py"
