"""Doing what a plan says: trainings, evaluations, costs, latencies, submissions."""
