"""One picture in, what detectors say of it out: the finding, its picture of marked places, its page.

finding.py   what is said of one picture, and its twin in JSON
inspect.py   a picture through one or more detectors
marks.py     masks and heatmaps as files, at the size of the picture
page.py      findings as a report
"""
