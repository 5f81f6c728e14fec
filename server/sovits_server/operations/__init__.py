"""What an operator needs: metrics, logs, health, traces."""
