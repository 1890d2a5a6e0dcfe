"""The report of refused lines: line, column, code; never the value. Readable by its owner alone."""

import csv
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from vault.errors import Fault, InvalidValue
from vault.importing.reading import Refusal


class Report:
    """A CSV file that grows with the import. A context manager; `counts` says how often each code occurred."""

    def __init__(self, path: Path) -> None:
        """Create the file (0600). Raises InvalidValue `report.exists` or `report.unwritable`: nothing was read then."""
        self.path = path
        self.counts: Counter[str] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="")
        except OSError as error:
            code = "report.exists" if isinstance(error, FileExistsError) else "report.unwritable"
            raise InvalidValue(faults=[Fault("/report", code)]) from None
        self._rows = csv.writer(self._file)
        self._rows.writerow(("line", "column", "code"))

    def add(self, refusals: Iterable[Refusal]) -> None:
        """Write down refused lines, in the order of the file."""
        for refusal in refusals:
            self.counts[refusal.code] += 1
            self._rows.writerow((refusal.line, refusal.column or "", refusal.code))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
