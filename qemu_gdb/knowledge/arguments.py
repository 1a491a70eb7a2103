"""The functions whose arguments rules read, for the capture in gdb, which reads the arguments of no other frame."""

from __future__ import annotations

from typing import FrozenSet

from .holders import ARGUMENTS
from .ports import HANDLERS
from .stages import TABLE

# Read by rules that are no stage rows (waits, findings, culprits).
OTHERS: FrozenSet[str] = frozenset(
    """
    pthread_mutex_lock pthread_cond_wait pthread_cond_timedwait lll_lock_wait __lll_lock_wait futex_wait
    futex_abstimed_wait_common
    __futex_abstimed_wait_common __futex_abstimed_wait_common64 __futex_abstimed_wait_cancelable64
    pthread_cond_wait_common pthread_join pthread_clockjoin_ex sem_wait qemu_mutex_lock_impl qemu_cond_wait_impl
    qemu_cond_timedwait_impl qemu_thread_join qemu_event_wait qemu_futex_wait qemu_sem_wait aio_context_acquire
    qemu_mutex_lock_iothread_impl bql_lock_impl raise abort __assert_fail __assert_fail_base hw_error
    error_setg_internal error_handle g_log g_logv g_assertion_message_expr
    poll ppoll read write recvmsg sendmsg readv writev recv send connect accept accept4 ioctl
    """.split()
)

WANTED_ARGUMENTS: FrozenSet[str] = (
    OTHERS | ARGUMENTS | frozenset(HANDLERS) | frozenset(name for row in TABLE.rows for name in row.wanted())
)
