"""What watches the relay from outside: Prometheus rules, Grafana dashboards, a collector's configuration."""
