"""A predictor in a process of its own: what hangs or crashes there becomes a sentence here.

The child imports the file, declares what it found, and answers one call after another. It ends with its parent, and
when nobody holds the estimator any longer.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import weakref
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from hpe_bench.data.folders import file_sha256
from hpe_bench.errors import sentence
from hpe_bench.inference.own_code import callable_at
from hpe_bench.inference.predictors import Estimator, Predictor
from hpe_bench.processes import belong_to_parent

LOAD_SECONDS = 300.0  # to import a file and load its weights


def declared(where: str) -> Predictor:
    """The predictor that the function at `FILE.py:function` returns; ValueError saying what it does instead."""
    build = callable_at(where)
    try:
        found = build()
    except Exception as error:  # it is somebody's code and may raise anything
        raise ValueError(f"{where}: calling it failed: {sentence(error)}") from error
    if not isinstance(found, Predictor):
        raise ValueError(f"{where}: returned a {type(found).__name__}; it must return a hpe_bench.Predictor")
    return found


def identity(where: str, predictor: Predictor) -> str:
    """SHA-256 of who a predictor is: of its file of weights, of all where there are several, else of the code."""
    place = Path(where.rpartition(":")[0])
    paths = [Path(file) for file in predictor.files]
    paths = [path if path.is_absolute() else place.parent / path for path in paths]
    if missing := [path for path in paths if not path.is_file()]:
        raise ValueError(f"{where}: its file {missing[0]} is not there; `files` name what its weights are in")
    if not paths and place.is_file():
        paths = [place]
    digests = [file_sha256(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode() or where.encode()).hexdigest()


def opened(where: str, load_s: float | None = None) -> Estimator:
    """The predictor at `FILE.py:function`, running in a process of its own; ValueError where there is none."""
    if ":" not in where:
        raise ValueError(f"--predictor {where}: name the function, too: FILE.py:function")
    process = _Process(where, LOAD_SECONDS if load_s is None else load_s)
    predictor = replace(process.predictor, call=process.ask)
    name = Path(where.rpartition(":")[0]).stem + "-" + where.rpartition(":")[2]
    return Estimator(
        predictor, name.lower(), identity(where, predictor), f"predictor {Path(where).name}, {predictor.described}"
    )


class _Process:
    """The child, and the pipe to it."""

    def __init__(self, where: str, load_s: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.where, (self.pipe, theirs) = where, context.Pipe()
        self.child = context.Process(target=_serve, args=(theirs, where), daemon=True)
        self.child.start()
        theirs.close()
        self.finalizer = weakref.finalize(self, _end, self.child, self.pipe)
        self.predictor: Predictor = self._heard(load_s, "importing and building it")

    def ask(self, *arrays: np.ndarray) -> Any:
        """An answer; ValueError for an exception, a crash, or none within the predictor's limit."""
        try:
            self.pipe.send(arrays)
        except OSError:
            raise ValueError(f"its process has ended{self._exit()}") from None
        return self._heard(self.predictor.limit_s, "this call")

    def _heard(self, limit_s: float, what: str) -> Any:
        try:
            if not self.pipe.poll(limit_s):
                self.finalizer()
                raise ValueError(f"{self.where}: no answer within {limit_s:g} s, {what} seems to hang; it was ended")
            ok, found = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise ValueError(f"{self.where}: its process ended in {what}{self._exit()}") from None
        if not ok:
            raise ValueError(found)
        return found

    def _exit(self) -> str:
        self.child.join(1.0)
        code = self.child.exitcode
        return "" if code is None else f", exit code {code}"


def _end(child: BaseProcess, pipe: Connection) -> None:
    pipe.close()
    child.kill()
    child.join()


def _serve(pipe: Connection, where: str) -> None:
    """The child: declare, then answer until the pipe is closed."""
    belong_to_parent()
    try:
        predictor = declared(where)
        plain = replace(predictor, call=len, files=tuple(map(str, predictor.files)))  # functions do not travel
        pipe.send((True, plain))
    except Exception as error:  # it is somebody's code and may raise anything
        pipe.send((False, sentence(error)))
        return
    while True:
        try:
            arrays: Sequence[np.ndarray] = pipe.recv()
        except EOFError:
            return
        try:
            message = (True, _plain(predictor.call(*arrays)))
            pickle.dumps(message[1])
        except Exception as error:  # likewise
            message = (False, sentence(error))
        pipe.send(message)


def _plain(answer: Any) -> Any:
    """Tensors as arrays: they would travel through shared memory that may be small."""
    if isinstance(answer, (tuple, list)):
        return tuple(_plain(part) for part in answer)
    if hasattr(answer, "detach"):
        return answer.detach().cpu().numpy()
    return answer
