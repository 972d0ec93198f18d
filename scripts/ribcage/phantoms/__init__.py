"""Phantoms: generated chest films with known lungs, findings and labels.

    census.py       how often findings come, come together and come back in NIH's table
    population.py   patients, their films, what each film shows and what the table says of it
    canvas.py       outlines, lines and noise on a map
    skeleton.py     bones
    anatomy.py      a patient's chest as maps of tissue and bone
    pathology.py    findings as changes of those maps
    devices.py      drains, leads, tubes, catheters, pacemakers, and letters on the film
    exposure.py     from maps to a film: attenuation, positioning, noise, look

Lengths are shares of the film's side, x from -0.5 (the patient's right, the viewer's left) to 0.5,
y from 0 (top) to 1. Thicknesses are in cm of water. Every film follows from the run's seed, the
patient and the follow-up number alone, so that it can be drawn again by itself.
"""
