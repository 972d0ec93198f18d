"""Draw docs/graph.svg from the rules, and write docs/steps.md from dvc.yaml and a finished run.

python scripts/draw_docs.py
"""

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from statistics import median

import networkx

from ribcage import diagram, settings
from ribcage.engine.jobs import Job, jobs, lies_in, makers_of, write_whole
from ribcage.errors import InputError
from ribcage.report import resources

GRAPH, STEPS = Path("docs/graph.svg"), Path("docs/steps.md")
COLUMNS = ("Step", "Makes", "From", "Parameters", "Jobs", "Seconds", "MB")
ABOVE_TABLE = """# Steps

Written by `make docs` from `dvc.yaml`, the rules and a finished run. A step makes its outputs from
its inputs, its parameters (keys of `params.yaml`) and its code, in as many jobs as the table says
with the `params.yaml` of the run. A rule that takes or makes what `dvc.yaml` does not name is
refused before anything runs. [graph.svg](graph.svg) shows who takes whose outputs.

Seconds and MB are of one job, the median over the step's jobs: its wall time beside whatever else
ran, and the most memory that Snakemake saw it use. Snakemake looks once a second at first, so a job
of less shows none.
Measured on {machine}.

"""


@dataclass(frozen=True)
class Rule:
    """What the text of a rule says of it.

    Attributes:
        purpose: its docstring.
        phase: the first words of the file that it is in.
        jobs: the names of its jobs, with wildcards: `find_lungs/{batch}`.
    """

    name: str
    purpose: str
    phase: str
    jobs: str

    def templated(self, text: str, job: Job) -> str:
        """Put wildcards back into a path, or a dotted key, of one of the rule's jobs."""
        names = dict(zip(job.name.split("/"), self.jobs.split("/"), strict=True))
        words = re.split(r"([/.])", text)
        return "".join(names.get(word, word) for word in words)


def read_rules(folder: Path) -> dict[str, Rule]:
    """Read the rules of all phases, in the order in which they are written."""
    rules = {}
    for path in sorted(folder.glob("*.smk")):
        text = path.read_text(encoding="utf-8")
        phase = text.removeprefix('"""').partition(":")[0]
        for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", text, re.M):
            purpose = re.search(r'^    """(.+)"""', body)
            names = re.search(r'^        "benchmarks/(.+)\.tsv"', body, re.M)
            if not purpose or not names:
                raise InputError(
                    f"{path}: rule {name} needs a docstring of one line and a benchmark of the "
                    f'form "benchmarks/{name}.tsv"'
                )
            rules[name] = Rule(name, purpose[1], phase, names[1])
    return rules


def read_graph() -> networkx.DiGraph:
    """Ask Snakemake which rule takes what which other rule makes; arrows that follow are left out.

    Raises:
        InputError: Snakemake cannot build the graph; its own message is on the terminal.
    """
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "--forceall"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise InputError("snakemake --rulegraph failed; mend what it says above")
    labels = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', done.stdout, re.M))
    edges = re.findall(r"^\s*(\d+) -> (\d+)$", done.stdout, re.M)
    graph = networkx.DiGraph([(labels[start], labels[end]) for start, end in edges])
    graph.remove_node("all")
    return networkx.transitive_reduction(graph)


def boxes_of(
    rules: dict[str, Rule], declared: dict[str, list[Job]], phases: list[str]
) -> list[diagram.Box]:
    """One box a rule: its name, its first output, its purpose."""
    boxes = []
    for rule in rules.values():
        job = declared[rule.name][0]
        more = f" + {len(job.outs) - 1}" if len(job.outs) > 1 else ""
        caption = rule.templated(job.outs[0], job) + more
        stacked = "{" in rule.jobs
        boxes.append(
            diagram.Box(rule.name, caption, rule.purpose, phases.index(rule.phase), stacked)
        )
    return boxes


def inputs_of(job: Job, rules: dict[str, Rule]) -> list[str]:
    """The paths that a job reads, other than code, with wildcards.

    A record of content stands for the outputs whose hashes it holds.
    """
    paths: list[str] = []
    for dep in job.deps:
        if dep.startswith("scripts/"):
            continue
        makers = makers_of(dep)
        for maker in makers:
            rule = rules[maker.step]
            paths += [
                rule.templated(out, maker)
                for out in maker.outs
                if lies_in(maker.content, dep) or lies_in(out, dep) or lies_in(dep, out)
            ]
        if not makers:
            paths.append(dep)
    return list(dict.fromkeys(paths))


def parameters_of(job: Job, rule: Rule, blocks: set[str]) -> list[str]:
    """The blocks of params.yaml that a job depends on, with wildcards."""
    if set(job.params) == blocks:
        return ["all"]
    return [f"`{rule.templated(key, job)}`" for key in job.params]


def measured(job: Job) -> tuple[float, float] | None:
    """Read the wall time in s and the peak memory in MB of a job; None if it was not run here."""
    cost = resources.measured(job.name)
    return (cost.seconds, cost.memory_mib) if cost and isfinite(cost.memory_mib) else None


def figures_of(declared: list[Job]) -> tuple[str, str]:
    """The medians over a step's jobs, as the table shows them."""
    pairs = [pair for job in declared if (pair := measured(job))]
    if not pairs:
        return "not measured", "–"
    seconds = median(pair[0] for pair in pairs)
    memory = f"{median(pair[1] for pair in pairs):,.0f}" if seconds >= 1 else "–"
    return (f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"), memory


def table_of(rules: dict[str, Rule], declared: dict[str, list[Job]]) -> str:
    """The table of steps, in Markdown."""
    blocks = set(settings.load_yaml(settings.PARAMS))
    rows = [COLUMNS, ("---", "---", "---", "---", "--:", "--:", "--:")]
    for rule in rules.values():
        job = declared[rule.name][0]
        makes = [f"`{rule.templated(out, job)}`" for out in job.outs]
        takes = [f"`{path}`" for path in inputs_of(job, rules)]
        rows.append(
            (
                f"[{rule.name}](../scripts/{rule.name}.py)",
                "<br>".join(makes),
                "<br>".join(takes) or "nothing",
                "<br>".join(parameters_of(job, rule, blocks)),
                str(len(declared[rule.name])),
                *figures_of(declared[rule.name]),
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def machine() -> str:
    """What the figures depend on and the machine can say."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores and {memory:.0f} GiB of memory, with Python "
        f"{platform.python_version()} and torch {version('torch')}"
    )


def main() -> None:
    """Write both files, whole.

    Raises:
        InputError: nothing was measured yet, or the rules do not give a graph.
    """
    declared: dict[str, list[Job]] = {}
    for job in jobs().values():
        declared.setdefault(job.step, []).append(job)
    if not any(measured(job) for job in jobs().values()):
        raise InputError("benchmarks: there is none of a finished run; run make first")
    rules = {name: rule for name, rule in read_rules(Path("rules")).items() if name in declared}
    phases = list(dict.fromkeys(rule.phase for rule in rules.values()))
    drawn = diagram.draw(
        boxes_of(rules, declared, phases),
        read_graph(),
        phases,
        "one job for each batch, experiment or seed",
    )
    write_whole(GRAPH, drawn)
    write_whole(STEPS, ABOVE_TABLE.format(machine=machine()) + table_of(rules, declared))
    print(f"{GRAPH} and {STEPS} are written; see the difference with: git diff docs")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"Error: {error}")
