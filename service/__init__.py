"""The REST API: ``service.app`` is the application, ``python -m service.stack`` runs it with Redis and workers."""
