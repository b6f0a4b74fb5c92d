"""Long runs that break things on purpose: `make torture`."""
