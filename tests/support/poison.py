"""A stage for tests: pages that ask for it hang, crash, exhaust memory or raise."""

import dataclasses
import os
import signal
import time
from pathlib import Path

from pipeline.document import Document, Drop


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Poison:
    """Does what the page's HTML says after `poison:`."""

    def __call__(self, doc: Document) -> Document | Drop:
        if "poison:spin" in doc.html:
            while True:
                pass
        if "poison:sleep" in doc.html:
            time.sleep(3600)
        if "poison:segfault" in doc.html:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "poison:memory" in doc.html:
            hoard = []
            while True:
                hoard.append(bytearray(1 << 26))
        if "poison:unless " in doc.html and not Path(doc.html.partition("poison:unless ")[2].split()[0]).exists():
            raise FileNotFoundError("not repaired yet")
        if "poison:raise" in doc.html:
            raise ZeroDivisionError("a page said no")
        return doc
