"""Inference: from crops and a model to joints in image pixels."""
