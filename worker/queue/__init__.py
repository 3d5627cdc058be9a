"""Take audits from the queue, and answer the service's questions; the only folder that knows RQ and Redis.

``worker`` takes jobs, ``job`` is one audit, ``audit_state`` its state in Redis, ``report_store`` where its report goes.
``model_depths`` and ``checkpoint_versions`` answer the service's questions, in processes of their own, which
``side_processes`` starts and watches.
"""
