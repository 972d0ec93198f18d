"""The report: one self-contained page, and a page on the data alone.

charts.py     line charts as inline SVG
bars.py       bars and age pyramids, likewise
dots.py       values with their intervals, likewise
hover.py      what a chart tells the page's script
pictures.py   films, masks, boxes and maps as data URIs
cells.py      words and cells that all sections share
sections.py   tables, the section on training
data.py       the section on data, from the facts of describe_data, with
  quality.py    what was measured on the films
leaks.py      what was dropped, the proof of the split, the baseline
datasheet.py  the datasheet, as questions and answers
lungs.py      the section on lungs
outcome.py    the headline, and which experiment is the best
results.py    the section on results, with
  curves.py     ROC, precision-recall and reliability curves with bands
  weighting.py  what weighting the loss does, said from the numbers
  operating.py  calls at thresholds
  imports.py    predictions that were made elsewhere
calibration.py  whether a probability means what it says
strata.py     for whom it works: groups of films, views, validation against test
  groups.py     which groups may be judged, and how their gaps are read
comparison.py what looking is worth: against the baseline, and among experiments
experts.py    against radiologists
literature.py against published figures
shortcuts.py  who leans on what
explanation.py where the networks look, with
  cams.py       what draw_cams left
  pointing.py   where maps peak, against guesses that never look
  overlap.py    the boxes that maps find, and published figures
  doubts.py     maps of random weights, and the corner alarm
  cards.py      the gallery's cards
validity.py   what may speak against the results, a line a check
resources.py  what each step took
provenance.py what made the page, and how to make it again
limits.py     what it cannot say
files.py      the figures as files of their own
render.py     fills the templates (Jinja2, everything escaped)
*.html        page.html and data.html are pages, sections_*.html are parts of them
*.css         their look, gallery.css that of the maps
page.js       what they do besides: choosers, gallery, copies of tables, theme; joined with
  dom.js        what both begin with
  hover.js      what a curve says where it is pointed at
"""
