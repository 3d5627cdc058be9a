"""The measuring: ``worker.audit`` audits one model, ``python -m worker`` takes audits from the queue."""
