"""The report: one self-contained page.

charts.py     line charts as inline SVG
pictures.py   films, masks, boxes and maps as data URIs
sections.py   what each section says, from the files of the other steps
lungs.py      the section on lungs
page.html     the template (Jinja2, everything escaped)
style.css     its look
"""
