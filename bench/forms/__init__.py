"""Whether forms hold: pieces drawn by hundreds, and a checker that shares no code with what made them."""
