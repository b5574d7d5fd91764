"""Kafka as a cluster runs it: who may do what, users, certificates, a node with TLS and SCRAM."""
