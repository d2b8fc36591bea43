"""Validates a submission: its file is read here, everything else happens in a sandbox, and nothing that comes out of it is believed unread.

Beside the checks of the contract there are those of this module; each has a name, and a finding of that name.
"""

from __future__ import annotations

import base64
import secrets
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from time import perf_counter

import msgspec

from benchmark.errors import UsageError
from benchmark.sandbox import Ended, Limits, audit, run
from benchmark.views.text import printable
from methods import contract, registry
from methods.contract import Finding
from methods.errors import MethodError

LARGEST = 1 << 18
"""Bytes of a method's file; the longest of ours has a twentieth of it."""
LONGEST = 400
"""Characters of a finding's message."""
DEFAULT = Limits(seconds=120.0, memory=4_000_000_000, processes=0, file_size=1 << 24, disk=1 << 28)

BEFORE = {"file": "a file of Python with one card, written out", "import": "it can be imported"}
AFTER = {
    "globals": "default dtype, threads and random states of the program stay as they are",
    "report": "the checks are those of the contract, each made once, and nobody has replaced them",
    "output": "prints no secret of the environment",
    "files": "opens no file but its own and the packages', and writes none",
    "network": "opens no connection",
    "programs": "starts and signals no process",
    "pickle": "unpickles nothing",
    "time": "ends in the time given",
    "memory": "stays within the memory given",
    "ended": "ends by returning",
}
"""Checks beside the contract's: what each is about."""

SECRETS = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "NPM_TOKEN",
    "PYPI_TOKEN", "TWINE_PASSWORD", "PGPASSWORD", "DATABASE_URL", "API_KEY", "SECRET_KEY", "PASSWORD",
)  # fmt: skip
"""Variables that get a value made up for the run, and looked for afterwards; the true ones are never in there."""
NO_MEMORY = ("MemoryError", "can't allocate memory", "Cannot allocate memory", "bad_alloc", "out of memory")
REFUSED = ("PermissionError", "BlockingIOError", "[Errno 1]", "[Errno 13]")


@dataclass(frozen=True)
class Validation:
    """What became of it.

    Attributes:
        path: of the file; empty for what is installed.
        digest: hash of what the file does, as records have it; empty where it could not be read.
        findings: in the order of :func:`check_names`.
        passed: nothing speaks against it that :func:`objections` finds.
    """

    name: str
    path: str
    digest: str
    findings: tuple[Finding, ...]
    passed: bool


def summaries() -> dict[str, str]:
    """Every check by its name, in their order, and what it is about. Imports torch, as the contract's checks do."""
    return BEFORE | {check.name: check.summary for check in contract.checks()} | AFTER


def optional(skip: Collection[str] = ()) -> set[str]:
    """Checks that may be left out: these, and those that cannot be made on every method or machine."""
    return {check.name for check in contract.checks() if check.unless is not None} | {*skip}


def objections(findings: Sequence[Finding], skip: Collection[str] = ()) -> Iterator[str]:
    """Why findings are no pass, a line each: every check is there, in order, once, and none has failed or was left out without leave.

    Args:
        skip: checks that may be left out beside those of :func:`optional`.
    """
    names = list(summaries())
    leave = optional(skip)
    made = [finding.check for finding in findings]
    if lacking := [name for name in names if name not in made]:
        yield f"lacks {', '.join(lacking)}"
    elif made != names:
        odd = next(name for name, other in zip_longest(made, names) if name != other)
        yield f"has check {odd!r} where it has no place"
    for finding in findings:
        if finding.status == "failed":
            yield f"{finding.check} failed: {finding.message}"
        elif finding.status == "skipped" and finding.check not in leave:
            yield f"{finding.check} was not made: {finding.message}"


def validate(
    path_or_name: str, limits: Limits = DEFAULT, report: Callable[[Finding], None] = lambda finding: None, skip: Collection[str] = ()
) -> Validation:
    """Goes through all checks with a method file, a registered name or ``MODULE:OBJECT``.

    Args:
        report: told of each finding as it is made; those that only the end decides come last.
        skip: checks of the contract to leave out.

    Raises:
        UsageError: there is no such file or method, or no such check to skip.
        ExecutorError: no sandbox can be started.
    """
    course = _Course(list(summaries()), report, optional(skip))
    start = perf_counter()
    try:
        name, source, path, digest = found(path_or_name)
    except Unreadable as error:
        course.add(Finding("file", "failed", str(error), perf_counter() - start))
        course.close("the file cannot be read")
        return Validation(path_or_name, str(error.path), "", course.findings(), passed=False)
    course.add(Finding("file", "passed", "", perf_counter() - start))
    from benchmark.examination import Order
    from benchmark.executors.confined import place_of

    planted = {variable: secrets.token_urlsafe(24) for variable in SECRETS}
    readable = [place_of(source)] if source else []
    order = msgspec.msgpack.encode(Order(name, source, planted, tuple(skip)))
    ended = run("benchmark.examination:examine", order, limits, course.hear, readable=readable)
    course.judge(ended, planted, limits)
    findings = course.findings()
    passed = not any(objections(findings, skip))
    return Validation(name, str(path), digest, findings, passed)


class Unreadable(Exception):
    """A file that is no submission; the message is one line."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def found(path_or_name: str) -> tuple[str, str, Path | str, str]:
    """Name, what the registry must load elsewhere to know it (empty for what is installed), file, and digest. Nothing is run.

    Raises:
        UsageError: there is no such thing.
        Unreadable: there is a file, and it is no submission.
    """
    place = path_or_name.rpartition(":")[0] if ".py:" in path_or_name else path_or_name
    if not place.endswith(".py"):
        try:
            name = registry.load(path_or_name)[0] if ":" in path_or_name else path_or_name
            source = registry.find(name)
            digest = source.digest() if source else ""
        except MethodError as error:
            raise UsageError(str(error)) from error
        return name, source.origin if source else "", source.path if source and source.origin else "", digest
    path = Path(place).absolute()
    try:
        status = path.lstat()
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror}; expected a method file, a name (list methods) or MODULE:OBJECT") from error
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("is no file of its own (a link, a folder, a device); expected the file itself", path)
    if status.st_size > LARGEST:
        raise Unreadable(f"has {status.st_size:,} bytes; expected at most {LARGEST:,}", path)
    whole = str(path) + path_or_name.removeprefix(place)
    try:
        names = registry.load(whole)
        source = registry.find(names[0])
        digest = source.digest() if source else ""
    except MethodError as error:
        raise Unreadable(" ".join(f"{error}".split()), path) from error
    if len(names) != 1:
        raise Unreadable(f"registers {len(names)} methods ({', '.join(names)}); expected one a file", path)
    return names[0], whole, path, digest


class _Course:
    """The findings so far. What arrives from the sandbox must be the next check of the list, or the import's end."""

    def __init__(self, names: list[str], report: Callable[[Finding], None], leave: Collection[str]) -> None:
        self.names, self.report, self.leave = names, report, leave
        self.made: dict[str, Finding] = {}
        self.odd = ""
        self.foreign: list[str] = []

    def add(self, finding: Finding) -> None:
        finding = Finding(finding.check, finding.status, _bounded(finding.message), finding.seconds)
        self.made[finding.check] = finding
        self.report(finding)

    def hear(self, message: bytes) -> None:
        """A message of the sandbox."""
        try:
            finding = msgspec.msgpack.decode(message, type=Finding)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self.odd = self.odd or f"sent what is no finding ({error})"
            return
        self.foreign.append(finding.message)
        expected = self._expected(finding)
        if finding.check != expected:
            self.odd = self.odd or f"reported {_bounded(finding.check)!r} where {expected!r} was to come"
            return
        if finding.status == "skipped" and finding.check not in self.leave and not self._unbuilt():
            self.odd = self.odd or f"left {finding.check} out, which nobody had asked for"
        if finding.check not in AFTER:
            self.add(finding)
        else:
            self.made[finding.check] = Finding(finding.check, finding.status, _bounded(finding.message), finding.seconds)

    def _expected(self, finding: Finding) -> str | None:
        """What may come now: the next of the list; or at once the word that the program or the checks are changed, and the other one."""
        last = [name for name in ("globals", "report") if name not in self.made]
        if len(last) == 2 and not (finding.check in last and finding.status == "failed" and self.next() not in BEFORE):
            return self.next()
        return finding.check if finding.check in last else next(iter(last), None)

    def next(self) -> str | None:
        """The first check that has no finding."""
        return next((name for name in self.names if name not in self.made), None)

    def judge(self, ended: Ended, planted: Mapping[str, str], limits: Limits) -> None:
        """Adds what only the end shows, and puts down to it what follows from it."""
        at = self.next() or "the end"
        where = f"in check {at}" if at not in AFTER else "at the end"
        wrong: dict[str, str] = {}
        for trespass in reversed(ended.trespasses):
            wrong[_kind(trespass)] = trespass
        if ended.status == "timeout":
            wrong["time"] = f"{where}: {ended.message}"
        elif ended.status == "memory":
            wrong["memory"] = f"{where}: {ended.message}"
        elif ended.status != "ok":
            wrong["ended"] = f"{where}: {ended.message}"
        starved = [finding for finding in self.made.values() if finding.status == "failed" and _has(finding.message, NO_MEMORY)]
        if starved:
            wrong["memory"] = wrong.get("memory") or f"in check {starved[0].check}: {starved[0].message}"
        self._put_down("memory", starved)
        stopped = [f for f in self.made.values() if ended.trespasses and f.status == "failed" and _has(f.message, REFUSED)]
        self._put_down(_kind(ended.trespasses[0]) if ended.trespasses else "", stopped)
        if leaked := leaks([ended.output, ended.message, *self.foreign], planted):
            wrong["output"] = f"prints the value of {leaked}"
        if self.odd:
            wrong["report"] = self.odd
        elif ended.status == "ok" and self._failed("import") is None and "report" not in self.made:
            wrong["report"] = f"ended without a report of {at}"
        remarks = {"time": f"{ended.seconds:.1f} s of {limits.seconds:g} s", "files": "; ".join(ended.notes)}
        if ended.output.strip():
            remarks["output"] = f"prints {len(ended.output.splitlines())} lines"
        self.close("not reached", until="globals", but=wrong)
        for name in AFTER:
            made = self.made.get(name)
            if name in wrong:
                self.add(Finding(name, "failed", wrong[name], 0.0))
            elif made is not None:
                self.report(made)
            elif name in ("globals", "report"):
                self.add(Finding(name, "skipped", "not reached", 0.0))
            else:
                noted = remarks.get(name, "")
                self.add(Finding(name, "note" if noted and name != "time" else "passed", noted, ended.seconds if name == "time" else 0.0))

    def _failed(self, name: str) -> Finding | None:
        made = self.made.get(name)
        return made if made is not None and made.status != "passed" else None

    def _unbuilt(self) -> bool:
        """Whether the check failed that the others of the contract are of no use without: its first."""
        built = self.made.get(self.names[len(BEFORE)])
        return built is not None and built.status == "failed"

    def _put_down(self, cause: str, findings: Sequence[Finding]) -> None:
        """A check that could not be made for another's reason has not failed by itself."""
        for finding in findings:
            self.add(Finding(finding.check, "skipped", f"could not be made (see {cause}): {finding.message}", finding.seconds))

    def close(self, why: str, until: str = "", but: Collection[str] = ()) -> None:
        """Says of the rest, up to one check, that they were not made."""
        for name in self.names:
            if name == until:
                return
            if name not in self.made and name not in but:
                self.add(Finding(name, "skipped", why, 0.0))

    def findings(self) -> tuple[Finding, ...]:
        return tuple(self.made[name] for name in self.names if name in self.made)


def _kind(trespass: str) -> str:
    """The check of a trespass: foreign text, like all that comes out."""
    return audit.KINDS.get(trespass.partition(" ")[0], "files")


def _has(message: str, words: Sequence[str]) -> bool:
    return any(word in message for word in words)


def _bounded(text: str) -> str:
    """One line that a terminal can show."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 4] + " ..."


def leaks(texts: Sequence[str], planted: Mapping[str, str]) -> str:
    """Names of the secrets that can be found in what was printed or reported, and how they were written; empty where there is none."""
    whole = "".join("".join(text.split()) for text in texts)
    shown = []
    for variable, value in planted.items():
        for how, forms in disguises(value).items():
            if any(form in whole for form in forms):
                shown.append(variable if how == "plain" else f"{variable} ({how})")
                break
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def disguises(value: str) -> dict[str, list[str]]:
    """How a secret may be written so that it can be read again. Base64 depends on where in a text it begins: three ways."""
    data = value.encode()
    moved = [base64.b64encode(b"x" * lead + data)[4 if lead else 0 : -4].decode() for lead in range(3)]
    safe = [form.replace("+", "-").replace("/", "_") for form in moved]
    return {"plain": [value], "reversed": [value[::-1]], "base64": [*moved, *safe], "hexadecimal": [data.hex()]}
