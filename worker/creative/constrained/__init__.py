"""Forms that hold: what a piece may be made of, as constraints on the next token.

Each constraint is built so that it never runs into a dead end: a token is allowed only if the piece can be
brought to its form's end from there, within the tokens that are left. So nothing is ever drawn again, and the
state follows from the tokens alone.

    vocabulary.py   the tokens as bytes
    forced.py       what has to be written letter by letter: punctuation, line ends, the end of the text
    hanzi.py        Chinese characters, their rhymes, and the tokens that write them
    regulated.py    五绝, 七绝, 五律, 七律
    dictionary.py   which English words there are, and how they are said
    lexicon.py      their syllables and rhymes
    prefixes.py     their beginnings, and how tokens lengthen them
    words.py        the tokens that write them
    ends.py         the words that a line may end with
    measured.py     English lines of so many syllables, rhymed or not
    free.py         lines of any text, counted
    making.py       from a job's rules to its constraint
"""
