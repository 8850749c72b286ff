"""`quire doctor`: checks what the system stands on. It changes nothing."""
