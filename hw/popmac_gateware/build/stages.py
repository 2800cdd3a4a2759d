"""Steps of a build that are not taken again while nothing has changed."""

import hashlib
import json
import time
from pathlib import Path


__all__ = ["Stage"]


class Stage:
    """One step: files in, files out, and a record of what it was made from.

    Parameters
    ----------
    name : str
    folder : :class:`pathlib.Path`
        Where inputs, outputs and the record are.
    inputs, outputs : sequence of str
        Names of files in ``folder``.
    parameters : str
        Everything else that the outputs depend on.

    Attributes
    ----------
    seconds, memory : float, int
        What it took when it was last run: time, and peak memory in bytes.
    skipped : bool
        It was not run this time.
    """

    def __init__(self, name, folder, *, inputs, outputs, parameters):
        self.name       = name
        self.folder     = Path(folder)
        self.inputs     = tuple(inputs)
        self.outputs    = tuple(outputs)
        self.parameters = parameters
        self.seconds    = self.memory = 0
        self.skipped    = False

    def _digest(self):
        digest = hashlib.sha256(self.parameters.encode() + b"\0")
        for name in self.inputs:
            with (self.folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def run(self, action):
        """Call ``action`` unless outputs of the same inputs and parameters are there.

        ``action`` returns the peak memory that it took, or nothing.
        """
        digest = self._digest()
        record = self.folder / f"{self.name}.stage.json"
        try:
            past = json.loads(record.read_text())
        except (FileNotFoundError, ValueError):
            past = {}
        if past.get("digest") == digest and all((self.folder / name).exists()
                                                for name in self.outputs):
            self.seconds, self.memory, self.skipped = past["seconds"], past["memory"], True
            return
        record.unlink(missing_ok=True)
        begin        = time.monotonic()
        self.memory  = action() or 0
        self.seconds = time.monotonic() - begin
        record.write_text(json.dumps({"digest": digest, "seconds": self.seconds,
                                      "memory": self.memory}))
