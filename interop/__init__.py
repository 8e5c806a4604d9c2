"""Other people's programs judge ours: `make interop`. Nothing here is part of the gateway."""
