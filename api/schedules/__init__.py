"""Schedules over HTTP: what may be sent (`requests`), what is shown (`answers`), and what is done (`keeping`)."""
