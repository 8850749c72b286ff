"""What is made, as pure functions over an engine."""
