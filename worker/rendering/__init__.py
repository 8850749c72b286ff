"""What is made of a written tune: sound by fluidsynth, a score by verovio, each in a process of its own."""
