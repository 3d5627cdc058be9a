"""Take audits from the queue, and answer the service's questions; the only folder that knows RQ and Redis.

``worker`` takes jobs, with ``patience`` for Redis; ``job`` is one audit, or ``helping`` with one. Whatever is written
about an audit is written in the name of an ``attempt``: its ``audit_state``, its ``audit_board``, and its ``ending``.
``sharing`` is how one worker sees an audit that several measure, ``taking`` what it may take of it, and ``member`` what
it tells the others. ``lost_jobs`` are those of dead workers. Reports go to the ``report_store``, shards to the
``shard_store`` in it. ``model_depths`` and ``checkpoint_versions`` answer questions, in ``side_processes``.
"""
