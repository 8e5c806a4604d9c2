"""The benchmark: payments a second of the gateway, compared with a simple script that does the same job."""
