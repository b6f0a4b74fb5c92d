"""Reports: static, self-contained pages and their tables, drawn from records and verdicts."""
