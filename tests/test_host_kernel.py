"""The host kernel's stacks on top of QEMU's, beside them and alone; a guest's own oops; profiles. Stand-ins, cut to
what a rule reads.
"""

import json

import pytest

from qemu_gdb.capture import kernel_part, text
from qemu_gdb.explain import explain, explain_all, kernel
from qemu_gdb.explain.stack import Stack
from qemu_gdb.model import Frame, Thread
from qemu_gdb.render import json as render_json

FUTEX = """\
    finish_task_switch.isra.0
    __schedule
    schedule
    futex_wait_queue
    futex_wait
    do_futex
    __x64_sys_futex
    do_syscall_64
    entry_SYSCALL_64_after_hwframe
"""
VCPU = """\
    __lll_lock_wait
    pthread_mutex_lock
    qemu_mutex_lock_impl
    bql_lock_impl
    kvm_cpu_exec
    kvm_vcpu_thread_fn
    qemu_thread_start
    start_thread
    __clone3
"""
MAIN = """\
    __schedule
    schedule
    do_sys_poll
    __x64_sys_ppoll
    do_syscall_64
    entry_SYSCALL_64_after_hwframe
    ppoll
    qemu_poll_ns
    fdmon_poll_wait
    aio_poll
    bdrv_drain_all_begin
    bdrv_drain_all
    do_vm_stop
    qmp_stop
    do_qmp_dispatch_bh
    aio_bh_poll
    main_loop_wait
    qemu_main_loop
    main
"""
OFFCPU = f"""\
Tracing off-CPU time (us) of PID 71 by user + kernel stack... Hit Ctrl-C to end.
{FUTEX}{VCPU}    -                CPU 0/KVM (74)
        4998123

{MAIN}    -                qemu-system-x86 (71)
        4998001
"""
NFS = """\
[<0>] rpc_wait_bit_killable+0x1e/0xa0 [sunrpc]
[<0>] nfs_wait_on_request+0x4b/0x60 [nfs]
[<0>] nfs_file_fsync+0x6f/0x1f0 [nfs]
[<0>] do_fsync+0x3b/0x80
[<0>] __x64_sys_fdatasync+0x13/0x20
[<0>] do_syscall_64+0x84/0x180
"""
FLUSH = """\
Thread 2 (LWP 79 "worker"):
#0  fdatasync () from /lib64/libc.so.6
#1  qemu_fdatasync (fd=13) at ../util/cutils.c:205
#2  handle_aiocb_flush (opaque=0x7ffe) at ../block/file-posix.c:1323
#3  worker_thread (opaque=0x55b7) at ../util/thread-pool.c:111
#4  start_thread () from /lib64/libc.so.6

Thread 1 (LWP 71 "kvm"):
#0  ppoll () from /lib64/libc.so.6
#1  fdmon_poll_wait (ctx=0x55b7) at ../util/fdmon-poll.c:79
#2  aio_poll (ctx=0x55b7, blocking=true) at ../util/aio-posix.c:670
#3  bdrv_flush (bs=0x55b8) at block/block-gen.c:832
#4  bdrv_flush_all () at ../block/io.c:2319
#5  do_vm_stop (state=RUN_STATE_PAUSED, send_stop=true) at ../system/cpus.c:306
#6  qmp_marshal_stop () at qapi/qapi-commands-misc.c:210
#7  main_loop_wait (nonblocking=0) at ../util/main-loop.c:589
#8  main () at ../system/main.c:48
"""
HUNG = """\
[ 12.567890] INFO: task qemu-system-x86:71 blocked for more than 122 seconds.
[ 12.567900]       Not tainted 6.8.12 #1
[ 12.567910] task:qemu-system-x86 state:D stack:0     pid:71    tgid:71    ppid:1      flags:0x00004002
[ 12.567920] Call Trace:
[ 12.567922]  <TASK>
[ 12.567925]  __schedule+0x401/0x15e0
[ 12.567930]  schedule+0x33/0x110
[ 12.567934]  vhost_dev_flush+0x5d/0xa0 [vhost]
[ 12.567935]  ? __pfx_autoremove_wake_function+0x10/0x10
[ 12.567940]  vhost_net_ioctl+0x2a1/0x880 [vhost_net]
[ 12.567960]  __x64_sys_ioctl+0xa0/0xf0
[ 12.567964]  do_syscall_64+0x82/0x190
[ 12.567972]  </TASK>
"""


def only(words):
    (snapshot,) = text.parse(words)
    return snapshot


def names(frames):
    return [frame.name for frame in frames]


def test_kernel_frames_above_a_threads_own_change_nothing_of_the_answer():
    explained = explain(only(OFFCPU))
    assert explained.findings[0].title == 'The monitor command "stop" waits for disk I/O that does not complete'
    assert [(t.thread.lwp, t.role, t.state, t.summary) for t in explained.threads] == [
        (74, "vcpu-kvm", "waiting-bql", "waits for the BQL"),
        (71, "main-loop", "waiting-drain-or-nested-poll", 'drains every block node ← stops the VM ← QMP "stop"')]
    assert [f.level for f in explained.threads[0].thread.frames] == list(range(9))


def test_json_has_the_kernels_frames_apart():
    plain = json.loads(render_json.render([explain(only(OFFCPU))]))["threads"][1]
    assert plain["frames"][0]["function"] == "ppoll"
    assert [f["function"] for f in plain["kernel_frames"]][-1] == "entry_SYSCALL_64_after_hwframe"


@pytest.mark.parametrize("between", ["\n", "    --\n", ", \n"])
def test_what_a_tool_puts_between_the_two_parts_does_not_part_the_thread(between):
    (thread,) = only(f"@[\n{FUTEX}{between}{VCPU}, 74, CPU 0/KVM]: 12\n").threads
    assert (thread.lwp, thread.name) == (74, "CPU 0/KVM")
    assert len(thread.frames) == 9 and names(thread.kernel)[-1] == "entry_SYSCALL_64_after_hwframe"


def test_other_words_part_a_kernel_stack_from_the_next_list():
    threads = [t for s in text.parse(f"{FUTEX}\nanother thread:\n\n{VCPU}") for t in s.threads]
    assert [len(t.frames) for t in threads] == [9, 9]


def test_a_maps_key_above_the_stack_names_the_thread():
    (thread,) = only(f"@offcpu[CPU 0/KVM, 74]: \n{FUTEX}{VCPU}, 29873100\n").threads
    assert (thread.lwp, thread.name) == (74, "CPU 0/KVM")


def test_a_thread_of_which_several_stacks_are_counted_is_one_process():
    (snapshot,) = text.parse(f"{FUTEX}{VCPU}    - CPU 0/KVM (74)\n   3\n\n{MAIN}    - CPU 0/KVM (74)\n   5\n")
    assert [t.lwp for t in snapshot.threads] == [74, None]


def test_a_nameless_innermost_frame_is_the_call_that_the_kernel_names():
    (thread,) = only(f"@[\n{MAIN.replace('    ppoll', '    0x7f5ec51f1256')}]: 12\n").threads
    assert names(thread.frames)[:2] == ["ppoll", "qemu_poll_ns"]


def test_the_kernels_stack_of_a_task_says_what_its_call_waits_for():
    explained = explain(only(f"==> /proc/71/task/79/stack <==\n{NFS}\n{FLUSH}"))
    found = explained.findings[0]
    assert found.title.endswith("waits until the flush is done: thread 2 waits for NFS")
    assert "waits for NFS (nfs_file_fsync waits in rpc_wait_bit_killable [sunrpc])" in found.explanation
    assert found.next_steps[0].startswith("does the NFS server answer?")
    assert "in the host kernel: NFS, nfs_file_fsync waits in" in explained.threads[0].summary


def test_a_task_of_which_only_the_kernels_stack_is_shown_stays_in_its_process():
    halted = "[<0>] kvm_vcpu_block+0x4f/0xe0 [kvm]\n[<0>] kvm_vcpu_ioctl+0x297/0x7f0 [kvm]\n" \
             "[<0>] __x64_sys_ioctl+0xa3/0xf0\n"
    explained = explain(only(f"==> /proc/71/task/79/stack <==\n{NFS}==> /proc/71/task/75/stack <==\n{halted}\n{FLUSH}"))
    halted_one = next(t for t in explained.threads if t.thread.lwp == 75)
    assert (halted_one.state, halted_one.summary) == ("running-guest", "in KVM_RUN: the guest's CPU is halted")


SWAPPED = """\
$ sudo cat /proc/71/task/74/stack
[<0>] io_schedule+0x16/0x40
[<0>] __lock_page+0xff/0x140
[<0>] do_swap_page+0x5d8/0x940
[<0>] hva_to_pfn+0x12e/0x470 [kvm]

Thread 3 (LWP 74):
#0  ioctl () from /lib64/libc.so.6
#1  kvm_vcpu_ioctl (cpu=0x561a, type=44672) at ../accel/kvm/kvm-all.c:2093
#2  kvm_cpu_exec (cpu=0x561a) at ../accel/kvm/kvm-all.c:1930
#3  kvm_vcpu_thread_fn (arg=0x561a) at ../accel/kvm/kvm-accel-ops.c:50
#4  start_thread () from /lib64/libc.so.6

Thread 1 (LWP 71):
#0  pthread_cond_wait () from /lib64/libc.so.6
#1  qemu_cond_wait (cond=0x5610, mutex=0x5611) at ../util/qemu-thread-posix.c:161
#2  do_run_on_cpu (cpu=0x561a, func=0x5612) at ../cpus-common.c:153
#3  kvm_cpu_synchronize_state (cpu=0x561a) at ../accel/kvm/kvm-all.c:1856
#4  main_loop_wait (nonblocking=0) at ../util/main-loop.c:589
#5  main () at ../system/main.c:48
"""


def test_a_vcpu_that_the_kernel_keeps_is_not_in_the_guest():
    explained = explain(only(SWAPPED))
    found = explained.findings[0]
    assert found.title == "Thread 3 (vCPU, KVM) is kept in the host's kernel: it waits for a page from swap"
    assert (found.confidence, sorted(found.threads)) == ("likely", [1, 3])
    assert explained.threads[0].state == "blocked-syscall" and explained.runstate is None
    assert explained.program != "kvm"  # a kernel's module is no program


def test_a_hung_task_and_a_lone_stack_in_the_same_call_are_told_together():
    stack = ("#0  ioctl () from /lib64/libc.so.6\n#1  vhost_kernel_call (dev=0x5) at ../hw/virtio/vhost-backend.c:30\n"
             "#2  vhost_dev_stop (hdev=0x5) at ../hw/virtio/vhost.c:1\n#3  main_loop_wait () at ../util/main-loop.c:5\n"
             "#4  main () at ../system/main.c:48\n")
    (snapshot,) = text.parse(f"{HUNG}\n{stack}")
    assert names(snapshot.threads[0].kernel)[2] == "vhost_dev_flush"
    other = stack.replace("ioctl ()", "fdatasync ()")
    assert not any(t.kernel for s in text.parse(f"{HUNG}\n{other}") for t in s.threads)


def test_a_prompt_before_each_stack_parts_the_tasks():
    kernel = "[<0>] futex_wait_queue+0x61/0x90\n[<0>] do_syscall_64+0x1/0x170\n"
    stacks = "".join(f"# cat /proc/71/task/{tid}/stack\n{kernel}" for tid in (74, 71))
    assert [t.lwp for t in only(stacks).threads] == [74, 71]


def test_the_systems_entry_ends_a_kernels_stack():
    one = ("[<0>] futex_wait_queue+0x61/0x90\n[<0>] do_syscall_64+0x1/0x170\n"
           "[<0>] entry_SYSCALL_64_after_hwframe+0x1/0x2\n")
    other = one.replace("futex_wait_queue", "ep_poll")
    assert [len(t.frames) for t in only(one + other).threads] == [3, 3]


def test_the_tasks_of_a_hung_qemu_are_told_by_name_with_what_they_wait_for():
    explained = explain(only(HUNG))
    (thread,) = explained.threads
    assert (thread.thread.lwp, thread.thread.name, explained.is_qemu) == (71, "qemu-system-x86", False)
    assert "__pfx_autoremove_wake_function" not in names(thread.thread.frames)
    assert ("qemu-system-x86 (71) waits for vhost (vhost_net_ioctl waits in vhost_dev_flush [vhost])."
            in explained.notices[-1].text)


def test_the_kernels_own_threads_are_none_of_qemus():
    worker = HUNG.replace("INFO: task", "sysrq:").replace("qemu-system-x86", "kworker/u16:3")
    worker = worker.replace("ppid:1 ", "ppid:2 ").replace(":71 ", ":812")
    explained = explain(only(HUNG + worker))
    assert [t.thread.name for t in explained.threads] == ["qemu-system-x86"]
    assert any("the host kernel's own threads (kworker/u16:3)" in n.text for n in explained.notices)


OOPS = """\
[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000010
[   12.345690] CPU: 0 PID: 1 Comm: {comm} Not tainted 5.15.0 #1
[   12.345691] Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.0 04/01/2014
[   12.345693] RIP: 0010:nvme_queue_rq+0x3c/0x9a0 [nvme]
[   12.345700] Call Trace:
[   12.345701]  <TASK>
[   12.345702]  blk_mq_dispatch_rq_list+0x123/0x800
[   12.345704]  </TASK>

#0  ppoll () from /lib64/libc.so.6
#1  main_loop_wait (nonblocking=0) at ../util/main-loop.c:528
#2  qemu_main_loop () at ../softmmu/runstate.c:726
#3  main () at ../softmmu/main.c:50
"""


def test_a_guests_own_oops_is_no_process():
    explained = explain(only(OOPS.format(comm="swapper/0")))
    assert [n.text for n in explained.notices if n.kind == "notice.guest-kernel"] == [
        "The text also holds an oops of the guest's own kernel (nvme_queue_rq): that is the guest's, not QEMU's."]
    assert [t.role for t in explained.threads] == ["main-loop"]


def test_a_qemu_inside_a_guest_has_that_guests_kernel_below_it():
    snapshots = text.parse(OOPS.format(comm="CPU 0/KVM"))
    assert not any(n.kind == "notice.guest-kernel" for s in snapshots for n in s.notices)


PERF = """\
CPU 0/KVM 74 [003] 918273.112233:     250000 {event}:
        ffffffffc0a1b2c3 futex_wait+0x123 ([kernel.kallsyms])
        ffffffff8c200130 entry_SYSCALL_64_after_hwframe+0x76 ([kernel.kallsyms])
            7f83a1b2a3cd __lll_lock_wait+0x3d (/usr/lib64/libc.so.6)
            7f83a1b2a3ce pthread_mutex_lock+0x3d (/usr/lib64/libc.so.6)
            55d0c8a1b2c3 qemu_mutex_lock_impl+0x73 (/usr/bin/qemu-system-x86_64)
            55d0c8a1b2c4 bql_lock_impl+0x73 (/usr/bin/qemu-system-x86_64)
            55d0c8a1c4d5 kvm_cpu_exec+0x295 (/usr/bin/qemu-system-x86_64)
            55d0c8a1e5f6 kvm_vcpu_thread_fn+0x96 (/usr/bin/qemu-system-x86_64)

qemu-system-x86 71 [001] 918273.112410:     250000 {event}:
            55d0c8c61a2b aio_poll+0x4b (/usr/bin/qemu-system-x86_64)
            55d0c8c7f3a0 main_loop_wait+0x270 (/usr/bin/qemu-system-x86_64)
            55d0c87f0a33 qemu_main_loop+0x43 (/usr/bin/qemu-system-x86_64)
"""


def test_a_sample_of_a_processors_time_is_no_hang_and_no_rest():
    explained = explain(only(PERF.format(event="cycles:P")))
    assert {t.state for t in explained.threads} == {"executing"}
    assert [f.kind for f in explained.findings] == ["state.running"]
    assert explained.findings[0].title.startswith("A profile")


def test_a_sample_where_the_scheduler_switches_away_is_of_a_thread_that_waits():
    (explained,) = explain_all(text.parse(PERF.format(event="sched:sched_switch")))
    assert explained.threads[0].state == "waiting-bql"


def test_bccs_profile_is_one():
    explained = explain(only(f"Sampling at 49 Hertz of PID [71] by user stack... Hit Ctrl-C to end.\n^C\n{VCPU}"
                             "    -                CPU 0/KVM (74)\n        3\n"))
    assert [f.rule for f in explained.findings] == ["profile"]


@pytest.mark.parametrize("entry", ["__ia32_sys_ioctl", "__riscv_sys_ioctl", "__x64_sys_ioctl"])
def test_a_system_call_is_known_by_each_architectures_name(entry):
    frames = [Frame(i, function=n, kind="kernel") for i, n in enumerate(("schedule", "nfs4_file_llseek", entry))]
    assert (kernel.summary(Stack(Thread(frames=frames))) or "").startswith("host kernel, in ioctl()")
    assert kernel_part.system_call(frames) == "ioctl"
