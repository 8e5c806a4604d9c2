"""Standard output that ends the command with exit code 141 when it cannot be written: `| head`, a full disk."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import NoReturn

from gateway.cli import exit_codes, output


class Output(io.TextIOWrapper):
    """Ends the process with codes.OUTPUT at the first write that fails, regardless of the command's own exit code.

    Any other exit code would state something about an order whose line the reader did not see.
    """

    def write(self, text: str, /) -> int:
        """Write as TextIOWrapper.write does; a failure ends the process."""
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)

    def flush(self) -> None:
        """Flush as TextIOWrapper.flush does; a failure ends the process."""
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> NoReturn:
        # The buffer's rest is dropped, because the interpreter flushes once more when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if error.errno != errno.EPIPE:
            why = error.strerror
            output.warn(
                (f"bankgw: the output cannot be written: {why}", f"bankgw：输出无法写入：{output.os_reason(error)}")
            )
        raise SystemExit(exit_codes.OUTPUT)


def guard() -> None:
    """Make standard output an `Output`. A character that the terminal cannot show is printed as its number."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        encoding, lines = out.encoding, out.line_buffering
        out.flush()
        sys.stdout = Output(out.detach(), encoding=encoding, errors="backslashreplace", line_buffering=lines)
