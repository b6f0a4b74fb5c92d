"""Records: what a run leaves, where it lies, with what it was made."""
