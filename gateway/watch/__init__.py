"""The operators' view: metrics, health, readiness, and the service manager's watchdog."""
