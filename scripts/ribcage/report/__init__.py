"""The report: one self-contained page, and a page on the data alone.

charts.py     line charts as inline SVG
bars.py       bars and age pyramids, likewise
pictures.py   films, masks, boxes and maps as data URIs
sections.py   tables, words for counts, the section on training
data.py       the section on data, from the facts of describe_data
leaks.py      what was dropped, the proof of the split, the baseline
datasheet.py  the datasheet, as questions and answers
lungs.py      the section on lungs
outcome.py    headline and results
shortcuts.py  who leans on what
evidence.py   maps and provenance
render.py     fills the templates (Jinja2, everything escaped)
*.html        page.html and data.html are pages, sections_*.html stand in both
style.css     their look
"""
