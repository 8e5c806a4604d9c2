"""The benchmark: payments a second of the gateway, beside a straightforward script that does the same job."""
