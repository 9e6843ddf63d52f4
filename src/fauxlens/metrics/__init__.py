"""Arrays to numbers: pure functions, undefined is nan, every table of metrics beside its functions. No torch.

arrays.py     what every function asks of its arrays, and what a table of metrics says of each
counts.py     hits, false alarms, misses and passes at one threshold; counts of parts add up
image.py      one label and one score a picture
masks.py      the pixels of one mask in the order of their scores
pixel.py      one mask of truth and one of scores a picture
tally.py      any number of masks in little memory: macro and pooled numbers
confusion.py  which generator it was: one name of truth and one answer a picture
interval.py   how far a number can be relied on: bootstrap over groups, DeLong, McNemar
"""
