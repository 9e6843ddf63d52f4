"""One picture in, an answer out: the finding, its evidence, its page.

finding.py     what is said of one picture, and its twin in JSON
evidence.py    one thing that speaks for, against or beside a verdict
inspect.py     a picture through all checks
decide.py      from answers and evidence to one verdict and the reason
judgement.py   what lets a verdict be drawn from a detector's logit; fit.py makes one, release.py ships it
stability.py   the same picture delivered in other ways
provenance/    what the file says of its own origin
past.py        what the pixels say of earlier savings and resizing; history.py its signs, left.py what they left over
maps/          classical maps, for looking at
marks.py       masks, heatmaps and maps as files, at the size of the picture
words.py       sentences: on the page, on the terminal
page.py        a finding as a page; index.py all of them
"""
