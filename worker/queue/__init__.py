"""The audits that come through the queue, and the helpers beside them; the only folder that knows RQ and Redis.

``worker`` takes jobs, ``job`` is one audit, ``audit_state`` its notes in Redis, ``report_store`` where its report goes.
``model_depths`` and ``checkpoint_versions`` answer the service's questions, in processes of their own.
"""
