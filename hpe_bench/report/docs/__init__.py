"""The documentation: Markdown files under `docs/` as pages of the site."""
