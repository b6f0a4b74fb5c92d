"""Codec ceilings: what a perfect network would score, given how its maps are written, sized and read (F9)."""
