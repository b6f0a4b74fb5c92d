"""The statistical rules tried on worlds whose truth is known: what their intervals cover and how often they are wrong.

`worlds` make data as trainings and timings leave them, `experiments` apply a rule many times and count, `record` keeps
the figures with the limits that they must hold. `make truth` runs it all and writes `docs/truth.json` and the tables of
`docs/statistics.md`; the tests run a short form.
"""
