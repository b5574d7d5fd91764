"""The whole line on one machine: Kafka and every process, started and stopped together."""
