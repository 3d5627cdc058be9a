"""The queue of audits as the service sees it: the only package of the service that knows RQ.

An RQ job is the one record of an audit's state, and the audit's id is the job's id. Beside the jobs stand a hash for
each audit (see ``contract.state_key``) and one index of all audits by the time at which they were accepted.
"""

from service.queue.audit_queue import AuditQueue, connect
from service.queue.job_reading import STOP_LIMIT_S, AuditRow
from service.queue.waiting_line import WaitingLine
from service.queue.workers import QueueLoad, Workers

__all__ = ["STOP_LIMIT_S", "AuditQueue", "AuditRow", "QueueLoad", "WaitingLine", "Workers", "connect"]
