"""Take audits from the queue, and answer the service's questions; the only folder that knows RQ and Redis.

``worker`` takes jobs, with ``patience`` for Redis; ``job`` is one audit. Whatever is written about an audit is written
in the name of an ``attempt``: its ``audit_state``, and its ``ending``. ``lost_jobs`` are those of dead workers. Reports
go to the ``report_store``. ``model_depths`` and ``checkpoint_versions`` answer questions, in ``side_processes``.
"""
