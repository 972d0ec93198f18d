"""What the judges of maps and the page about them share, without their heavy imports."""

ALL = "All"
"""The finding of the rows that pool every finding."""
SURVIVES = 0.5
"""From this correlation on, Cohen's large effect, maps count as not those of what was learnt."""
