"""The version of zooaudit: of its service, its workers and its client."""

__version__ = "0.2.0"
