"""A filter on system calls: no network, no copies of a process, no way out of its group, no look into others; any user may set it.

It is a program of four instructions that the kernel runs at each call: load a word, compare, compare bits, return. The numbers of calls
differ between architectures; two are known. What no limit would count is not there either: memory that outlives a process (System V's) or
that no process maps (``memfd``).
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from ctypes import create_string_buffer

from benchmark.sandbox import kernel

LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # places in struct seccomp_data; the low half of an argument
CLONE_VFORK, CLONE_THREAD, CLONE_NEWUSER, AF_UNIX = 0x4000, 0x10000, 0x10000000, 1
UNKNOWN = 451
"""From here on there is nothing, as on an older kernel: calls that are newer than this list, some of which do by another number what it
forbids; and, far above, x86-64's other interface to the old ones. The C library has another way for each."""

MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""The kernel's name of an architecture, and its column below."""

CALLS = {
    "socket": (41, 198), "clone": (56, 220), "fork": (57, -1), "vfork": (58, -1), "clone3": (435, 435),
    "execve": (59, 221), "execveat": (322, 281), "setsid": (112, 157), "setpgid": (109, 154), "prlimit64": (302, 261), "capset": (126, 91),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425), "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "move_mount": (429, 429), "open_tree": (428, 428),
    "fsopen": (430, 430), "fspick": (433, 433), "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "prctl": (157, 167), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, -1),
    "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54), "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
}  # fmt: skip
PROGRAMS = ("vfork", "execve", "execveat")
OF_GROUPS = ("setsid", "setpgid")
"""``subprocess`` treats a refusal as a failure, and who is killed as a group must stay in it."""
OF_INODES = (
    "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "futimesat", "utimensat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
)  # fmt: skip
"""Landlock lets them pass on every file, and whoever copies one inside the scratch folder calls them as well."""
OF_SCHEDULING = ("setpriority", "ioprio_set", "sched_setparam", "sched_setscheduler", "sched_setattr", "sched_setaffinity")
"""A user may slow down all that is theirs; OpenMP places its own threads."""
PRETENDED = (*OF_GROUPS, *OF_INODES, *OF_SCHEDULING)
"""They say that it was done, and do nothing."""
SPECIAL = ("socket", "clone", "clone3", "prlimit64", "capset", "prctl", *PROGRAMS, *PRETENDED)


def number(name: str) -> int:
    """Of a system call on this machine; -1 where it has none, or the machine is not known."""
    machine = MACHINES.get(platform.machine())
    return CALLS[name][machine[1]] if machine else -1


def program(*, processes: bool, local_sockets: bool) -> bytes:
    """The filter for this machine.

    Raises:
        OSError: its architecture is not known.
    """
    if platform.machine() not in MACHINES or not kernel.LINUX:
        raise OSError(errno.ENOSYS, f"system calls of {platform.machine()} are not known here")
    refuse = ERRNO | errno.EPERM
    code = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, MACHINES[platform.machine()][0]), (RETURN, 0, 0, refuse), (LOAD, 0, 0, NUMBER)]
    code += [(AT_LEAST, 0, 1, UNKNOWN), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    for name in CALLS:
        if name not in SPECIAL or (name in PROGRAMS and not processes):
            code += _on(name, (RETURN, 0, 0, refuse))
    for name in PRETENDED:
        code += _on(name, (RETURN, 0, 0, ERRNO))
    # What clone3 is asked for cannot be read here; where it is not there, the C library calls clone.
    code += _on("clone3", (RETURN, 0, 0, ERRNO | errno.ENOSYS))
    look = (LOAD, 0, 0, FIRST_ARGUMENT)
    code += _on("clone", look, (ANY_BIT, 0, 1, CLONE_NEWUSER), (RETURN, 0, 0, refuse), *_no_copies(processes), (RETURN, 0, 0, ALLOW))
    guarded = [(EQUAL, 0, 1, option) for option in (kernel.PR_SET_PDEATHSIG, kernel.PR_SET_DUMPABLE)]  # it dies with its guard, which looks
    code += _on("prctl", look, *(step for test in guarded for step in (test, (RETURN, 0, 0, refuse))), (RETURN, 0, 0, ALLOW))
    code += _on("prlimit64", look, (EQUAL, 1, 0, 0), (RETURN, 0, 0, refuse), (RETURN, 0, 0, ALLOW))  # 0: of this process itself
    allowed = [(EQUAL, 0, 1, AF_UNIX), (RETURN, 0, 0, ALLOW)] if local_sockets else []
    code += _on("socket", look, *allowed, (RETURN, 0, 0, ERRNO | errno.EACCES))
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *each) for each in code)


Instruction = tuple[int, int, int, int]


def _no_copies(processes: bool) -> list[Instruction]:
    """Threads, and programs where they are allowed, which are started with the parent waiting. A process that could make copies of itself
    would be a thousand before a guard on a busy machine has counted them."""
    return [(ANY_BIT, 1, 0, CLONE_THREAD | (CLONE_VFORK if processes else 0)), (RETURN, 0, 0, ERRNO | errno.EPERM)]


def _on(name: str, *then: Instruction) -> list[Instruction]:
    """What to do at one call; ``then`` must end by returning. The number of the call is loaded before and after."""
    value = number(name)
    return [] if value < 0 else [(EQUAL, 0, len(then), value), *then]


def restrict(*, processes: bool, local_sockets: bool) -> None:
    """Sets the filter for this thread and all that it starts, for good. Only to be called after the privileges were dropped.

    Raises:
        OSError: the architecture is not known, or the kernel refuses.
    """
    code = program(processes=processes, local_sockets=local_sockets)
    instructions = create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, create_string_buffer(header, len(header)))
