"""What operators see: metrics, health, readiness, and the service manager's watchdog."""
