"""One picture in, what detectors say of it out: the finding, its picture of marked places, its page.

finding.py   what is said of one picture, and its twin in JSON
inspect.py   a picture through one or more detectors
marks.py     masks and heatmaps as files, at the size of the picture
page.py      findings as a report
history.py   signs that the picture was saved again, cropped, resized, taken from a screen
left.py      how much of a trace can have survived that
maps/        classical maps: things to look at, never a verdict
past.py      what both rest on: grid.py, resampling.py, spectrum.py, blocks.py
"""
