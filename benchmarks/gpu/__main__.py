"""`python -m benchmarks.gpu --data FOLDER --out FOLDER [--limit 540] [--pocket "study:paper:data:seeds ..."]`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.gpu.session import Session, conduct
from benchmarks.gpu.setting import Setting


def main() -> int:
    """Run the session, or one part of it in this process; the exit code is 1 if a part failed."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--data", help="folder that holds lsp/ and lspet_crops/")
    parser.add_argument("--out", type=Path, help="folder for figures.json, log.txt and records.tar.gz")
    parser.add_argument("--limit", type=float, default=540.0, help="seconds, all in all")
    parser.add_argument("--work", type=Path, help="folder for weights, checkpoints and crops; beside --out by default")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--pocket",
        default="",
        help="miniatures to train on the processor meanwhile: study:paper:data:seeds, where seeds are 3 or 0-2 or 1,4",
    )
    parser.add_argument("--cores", type=int, default=12, help="miniatures at a time")
    parser.add_argument("--only", default="", help="parts to run, such as checks,speeds; all of them by default")
    parser.add_argument("--rehearse", action="store_true", help="every part with tiny data, to see that it works")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        from benchmarks.gpu import parts

        return parts.run(given.part, Setting.from_text(given.setting))
    if given.out is None or (given.data is None and not given.rehearse):
        parser.error("--data and --out are needed")
    if given.device.startswith("cuda"):
        fault = _no_cuda()
        if fault:
            print(f"hpe-bench: {fault}", file=sys.stderr)
            return 2
    out = given.out.absolute()
    work = (given.work or out.with_name(out.name + "-work")).absolute()
    data = None if given.data is None else str(Path(given.data).absolute())
    only = tuple(filter(None, given.only.split(",")))
    setting = Setting(data, str(work), given.device, given.pocket, given.cores, given.rehearse, only)
    return conduct(Session(setting, out, work, given.limit, began))


def _no_cuda() -> str:
    """Why there is no CUDA device; empty if there is one. Asked of another process, so that this one stays small."""
    import subprocess

    probe = [sys.executable, "-c", "import torch; raise SystemExit(not torch.cuda.is_available())"]
    if subprocess.run(probe, check=False).returncode:
        return "this torch sees no CUDA device; run it where there is one, or rehearse with --device cpu --rehearse"
    return ""


if __name__ == "__main__":
    sys.exit(main())
