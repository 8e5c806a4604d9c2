"""The environment of the tests: a clock that moves on command, time limits, and the services found by `setup/`."""
