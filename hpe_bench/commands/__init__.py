"""The commands, told as lists of steps."""
