"""The exit codes of `bankgw`, one meaning each for every command. They are documented and do not change."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
REFUSED = 3
IN_DOUBT = 4
UNAVAILABLE = 69
CONFIG = 78
OUTPUT = 141

NAMES = {
    OK: "ok",
    FAILED: "failed",
    USAGE: "usage",
    REFUSED: "refused",
    IN_DOUBT: "in_doubt",
    UNAVAILABLE: "unavailable",
    CONFIG: "config",
    OUTPUT: "output",
}
"""The name of a code in the JSON of an error."""
MEANING = {
    OK: "done; for `send`: settled, or answered",
    FAILED: "failed; for `send`: the order failed, was rejected, cancelled, returned …",
    USAGE: "the command line is wrong",
    REFUSED: "refused, or waits for an approval; nothing was changed",
    IN_DOUBT: "nobody knows yet: never send it again, ask",
    UNAVAILABLE: "the daemon, the broker or the database cannot be reached; for `status`: it is not ready; try again",
    CONFIG: "the settings are wrong: one line per mistake, with file, key and remedy",
    OUTPUT: "the output could not be written (`| head` has closed the pipe, or the disk is full); what the command "
    "asked for may be done all the same",
}
