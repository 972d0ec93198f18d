"""Lungs: a network that finds them, their boxes, films with them drawn in and cut to them."""


rule fetch_lung_masks:
    """Bring real films with lung masks into the layout that the segmenter learns from."""
    input:
        stamp=".stamps/fetch_lung_masks",
    output:
        lung_masks=directory("data/lung_masks"),
    log:
        "logs/fetch_lung_masks.log",
    benchmark:
        "benchmarks/fetch_lung_masks.tsv"
    conda:
        "../environment.yml"
    resources:
        downloads=1,
    params:
        sources=config["fetch_lung_masks"]["sources"],
        size_px=config["fetch_lung_masks"]["size_px"],
        min_rca=config["fetch_lung_masks"]["min_rca"],
        test_share=config["fetch_lung_masks"]["test_share"],
    script:
        "../scripts/fetch_lung_masks.py"


rule train_segmenter:
    """Train a network to find the lungs, on phantoms and, where there are any, real masks."""
    input:
        stamp=".stamps/train_segmenter",
        share="data/phantoms",
        lung_masks="data/lung_masks",
    output:
        segmenter=directory("models/segmenter"),
    log:
        "logs/train_segmenter.log",
    benchmark:
        "benchmarks/train_segmenter.tsv"
    conda:
        "../environment.yml"
    threads: 2
    resources:
        gpu=1,
    params:
        architecture=config["train_segmenter"]["architecture"],
        encoder=config["train_segmenter"]["encoder"],
        decoder_channels=config["train_segmenter"]["decoder_channels"],
        init=config["train_segmenter"]["init"],
        size_px=config["train_segmenter"]["size_px"],
        films=config["train_segmenter"]["films"],
        real_share=config["train_segmenter"]["real_share"],
        samples=config["train_segmenter"]["samples"],
        batch_size=config["train_segmenter"]["batch_size"],
        lr=config["train_segmenter"]["lr"],
        ema=config["train_segmenter"]["ema"],
        seed=config["train_segmenter"]["seed"],
    script:
        "../scripts/train_segmenter.py"


rule find_lungs:
    """Find the lungs of each film of a batch: mask, box with margins, quality, method."""
    input:
        stamp=".stamps/find_lungs/{batch}",
        curated="data/interim/curated.parquet",
        segmenter="models/segmenter",
        films=FILMS,
    output:
        lungs_file="data/lungs/{batch}.parquet",
    log:
        "logs/find_lungs/{batch}.log",
    benchmark:
        "benchmarks/find_lungs/{batch}.tsv"
    conda:
        "../environment.yml"
    params:
        batch="{batch}",
        margin_sides=config["find_lungs"]["margin_sides"],
        margin_top=config["find_lungs"]["margin_top"],
        margin_bottom=config["find_lungs"]["margin_bottom"],
        min_height_to_width=config["find_lungs"]["min_height_to_width"],
        ensemble_below=config["find_lungs"]["ensemble_below"],
        min_quality=config["find_lungs"]["min_quality"],
    script:
        "../scripts/find_lungs.py"


rule draw_lungs:
    """Draw the lungs found on a sample of films, and say what the crops cut off."""
    input:
        stamp=".stamps/draw_lungs",
        curated="data/interim/curated.parquet",
        tables="data/raw/tables",
        lungs=expand("data/lungs/{batch}.parquet", batch=BATCHES),
        films=expand(FILMS, batch=BATCHES),
    output:
        sheets=directory("reports/lungs"),
    log:
        "logs/draw_lungs.log",
    benchmark:
        "benchmarks/draw_lungs.tsv"
    conda:
        "../environment.yml"
    params:
        random=config["draw_lungs"]["random"],
        worst=config["draw_lungs"]["worst"],
        fallbacks=config["draw_lungs"]["fallbacks"],
        cut=config["draw_lungs"]["cut"],
        picture_px=config["draw_lungs"]["picture_px"],
        seed=config["draw_lungs"]["seed"],
    script:
        "../scripts/draw_lungs.py"


rule write_shards:
    """Decode each film of a batch once and write it in every view and size."""
    input:
        stamp=".stamps/write_shards/{batch}",
        curated="data/interim/curated.parquet",
        films=FILMS,
        lungs="data/lungs/{batch}.parquet",
    output:
        shards=directory("data/shards/{batch}"),
    log:
        "logs/write_shards/{batch}.log",
    benchmark:
        "benchmarks/write_shards/{batch}.tsv"
    conda:
        "../environment.yml"
    params:
        batch="{batch}",
        wanted=settings.shards(config),
    script:
        "../scripts/write_shards.py"
