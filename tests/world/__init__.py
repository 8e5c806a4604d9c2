"""The world tests run in: a clock that moves on command, time limits, and the services found by `setup/`."""
