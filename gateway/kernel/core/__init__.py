"""The decisions about payments, as pure functions: state machine, policy checks, bank hours."""
