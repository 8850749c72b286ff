"""The HTTP service: takes jobs, tells what became of them. `app.py` builds it, `routes/` is what it answers."""
