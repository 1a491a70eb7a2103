"""Block and other background jobs."""

from __future__ import annotations

from typing import List, Optional

import gdb

from ..model import Job
from .access import Process, field, optional

_BLOCK_JOBS = ("mirror", "commit", "stream", "backup")  # whose Job is the first member of a BlockJob


def read(process: Process) -> List[Job]:
    """All jobs (``jobs``, job.c; struct Job, include/qemu/job.h, 5.2 to 10.2)."""
    head = process.variable("jobs")
    if head is None:
        return []
    result = []
    for job in process.qlist(head, "job_list", "jobs", 1024):
        with process.guard("a job"):
            driver = job["driver"]
            kind = process.enum_name("JobType_lookup", int(driver["job_type"])) or "job"
            entry = Job(process.string(job["id"], 64), kind)  # an internal job has no id
            entry.status = process.enum_name("JobStatus_lookup", int(job["status"]))
            entry.coroutine = int(job["co"])
            for name in ("paused", "busy", "cancelled"):
                setattr(entry, name, optional(lambda: bool(int(job[name]))))  # noqa: B023
            progress = optional(lambda: (int(field(job, "progress")["current"]),  # noqa: B023
                                         int(field(job, "progress")["total"])))  # noqa: B023
            if progress:
                entry.progress = f"{progress[0]} of {progress[1]} bytes"
            if kind in _BLOCK_JOBS:
                entry.io_status = _io_status(process, job)
            mirror = _mirror(process, job)
            if mirror is not None:
                entry.in_flight = optional(lambda: int(mirror["in_flight"]))  # noqa: B023
                policy = optional(lambda: int(mirror["on_target_error"]))  # noqa: B023
                entry.on_target_error = None if policy is None else process.enum_name("BlockdevOnError_lookup", policy)
            result.append(entry)
    return result


def mirrors(process: Process) -> List[gdb.Value]:
    """The MirrorBlockJobs (block/mirror.c) among the jobs."""
    head = process.variable("jobs")
    found = [] if head is None else process.qlist(head, "job_list", "jobs", 1024)
    states = (_mirror(process, job) for job in found)
    return [state for state in states if state is not None]


def _mirror(process: Process, job: gdb.Value) -> Optional[gdb.Value]:
    """A job's MirrorBlockJob; None for a job of another kind (an active commit is a mirror too)."""
    type_ = process.type("MirrorBlockJob", "mirror_start", "mirror_job_driver")
    if type_ is None or optional(lambda: process.function_at(job["driver"]["run"])) != "mirror_run":
        return None
    return process.at(int(job), type_)


def _io_status(process: Process, job: gdb.Value) -> Optional[str]:
    """What the last error did to a block job (BlockJob.iostatus, include/block/blockjob.h, 5.2 to 10.2)."""
    type_ = process.type("BlockJob", "block_job_create", "block_job_error_action")
    status = None if type_ is None else optional(lambda: int(process.at(int(job), type_)["iostatus"]))
    return None if status is None else process.enum_name("BlockDeviceIoStatus_lookup", status)
