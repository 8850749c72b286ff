"""Books: which window comes next, what its prompt is, and where a part ends. Functions of plan and tokens alone.

book.py       the plan and the tokens so far: the next slice
composing.py  the prompt of a window: opening, names, and the last sentences
sentences.py  where sentences begin and end
"""
