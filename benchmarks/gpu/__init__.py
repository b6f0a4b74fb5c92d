"""Everything worth measuring on a machine with one CUDA GPU, within a limit of time: `python -m benchmarks.gpu`.

The conductor (`session.py`) runs parts in processes of their own, each with its own limit, and keeps what each has
reported when it ends, however it ends: `figures.json`, `log.txt` and `records.tar.gz` in the folder `--out`.
"""
