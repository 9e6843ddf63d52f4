"""One picture in, what detectors say of it out: the finding, its picture of marked places, its page.

finding.py   what is said of one picture, and its twin in JSON
evidence.py  one thing that speaks for, against, or beside a verdict
inspect.py   a picture through one or more detectors
marks.py     masks, heatmaps, outlines and maps as files
words.py     a finding in sentences
shown.py     what of pictures and maps a page carries
page.py      a finding as a page, with page.css and page.js
index.py     findings as a folder of pages, with index.css
"""
