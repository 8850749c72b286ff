"""What is made of a tune after it is written: sound by fluidsynth, a score by verovio, each in a process of its own."""
