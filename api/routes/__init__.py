"""The routes, one file for each kind of thing. Each is a factory that is given what it needs."""
