"""The house rules as code: what tests/test_architecture.py asks of every module (design: rooms, arrows, bans).

Each rule is a function of one parsed `Source` and yields `Fault`s. A fault names the file and line, what is wrong, why the rule exists and what
to do instead, because the reader is somebody who has just been stopped by it. Nothing here imports the product: files are read and parsed only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 450

# The lines of the house, lowest first. A room imports only from lines below its own, or from itself.
LINES: tuple[frozenset[str], ...] = (
    frozenset({"mail", "interfaces", "errors", "settings"}),
    frozenset({"sections", "breaker", "dnssockets"}),
    frozenset({"smtp", "mailauth", "classifier", "dns", "offload", "config", "logs", "resources", "host", "wire", "passwords"}),
    frozenset({"store", "spool"}),
    frozenset({"rules", "signatures", "suppressing"}),
    frozenset({"inbound", "outbound", "actions"}),
    frozenset({"web", "api", "jobs"}),
    frozenset({"wiring"}),
    frozenset({"building", "returnpaths"}),
    frozenset({"app"}),
    frozenset({"tap", "cli"}),
)
FOUNDATION = frozenset({"mail", "interfaces", "errors", "logs", "resources"})
MAIL_MAY = frozenset({"jetmail", "__future__", "idna"})  # idna: tables of Unicode that the standard library has in a version of 2003
# Rooms that may import less than the lines below them allow.
NARROWER: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "mail": frozenset({"errors"}),
    "interfaces": frozenset({"mail", "errors"}),
    "smtp": frozenset({"mail", "interfaces", "errors", "settings"}),
    "mailauth": frozenset({"mail", "interfaces", "errors", "settings"}),
    "classifier": frozenset({"mail", "interfaces", "errors", "settings"}),
    "store": FOUNDATION | {"offload"},
    "spool": FOUNDATION | {"offload"},
    "rules": FOUNDATION | {"mailauth", "classifier"},
    "web": FOUNDATION | {"actions", "api", "config"},
    "api": FOUNDATION | {"actions", "web", "config"},
    "jobs": FOUNDATION | {"actions", "store", "config", "classifier"},
}
WHY_ARROW: dict[str, str] = {
    "web": "pages and API are faces of the same use cases, and permissions live in actions/ only; call (or write) an action instead",
    "api": "pages and API are faces of the same use cases, and permissions live in actions/ only; call (or write) an action instead",
    "inbound": "receiving and sending must be able to fail apart; let app.py hand over a callable (see interfaces.IQueueDoor) instead",
    "outbound": "receiving and sending must be able to fail apart; let app.py hand over a callable instead",
    "actions": "a use case works on the store; what the running process must hear comes as a callable from app.py instead",
    "rules": "a rule only reads (facts, policy); put what it needs into the facts, or behind an interface such as IResolver, instead",
    "smtp": "the grammar is bytes in, events and bytes out; let the shell in inbound/ or outbound/ do it instead",
    "mail": "values know nobody; move the value down into mail/, or the behaviour up, instead",
    "store": "the store is ground and knows no policy; pass plain values in instead",
    "spool": "the spool is ground and knows no policy; pass plain values in instead",
}
MUTATORS = frozenset({"append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert", "remove", "discard"})
LOOSE_END = re.compile(r"#.*\b(TO" r"DO|FIX" r"ME)\b(?!.*#\d)")
CONTAINERS = frozenset(
    {"list", "dict", "set", "defaultdict", "OrderedDict", "deque", "Counter", "WeakValueDictionary", "WeakKeyDictionary", "WeakSet"}
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule, told so that the reader can mend it."""

    path: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}\n      why: {self.why}"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: 'import a.b' is Import('a.b', ''), 'from a import b' is Import('a', 'b')."""

    module: str
    name: str
    line: int
    depth: int

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module

    def within(self, package: str) -> bool:
        """True when it imports `package` or something inside it."""
        return any(path == package or path.startswith(package + ".") for path in (self.module, self.dotted))


@dataclass(frozen=True)
class Source:
    """One Python file: its path below the project's root ('jetmail/smtp/server.py'), text, tree and imports."""

    path: str
    text: str = field(repr=False)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def room(self) -> str:
        """'smtp' for jetmail/smtp/..., 'app' for jetmail/app.py, '' outside the product."""
        parts = self.path.split("/")
        return parts[1].removesuffix(".py") if parts[0] == "jetmail" and len(parts) > 1 and parts[1] != "__init__.py" else ""

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        found: list[Import] = []

        def walk(node: ast.AST, depth: int) -> None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Import):
                    found.extend(Import(alias.name, "", child.lineno, depth) for alias in child.names)
                elif isinstance(child, ast.ImportFrom):
                    base = child.module or ""
                    if child.level:
                        package = self.module.split(".") if self.path.endswith("__init__.py") else self.module.split(".")[:-1]
                        kept = package[: len(package) - child.level + 1]
                        base = ".".join([*kept, *([base] if base else [])])
                    found.extend(Import(base, alias.name, child.lineno, depth) for alias in child.names)
                inner = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                walk(child, depth + (1 if inner else 0))

        walk(self.tree, 0)
        return tuple(found)

    def fault(self, line: int, what: str, why: str) -> Fault:
        return Fault(self.path, line, what, why)


def product() -> list[Source]:
    """Every module of the product, and its twistd plugin."""
    files = [*sorted((ROOT / "jetmail").rglob("*.py")), *sorted((ROOT / "twisted" / "plugins").glob("*.py"))]
    return [Source(str(file.relative_to(ROOT)), file.read_text("utf-8")) for file in files if "__pycache__" not in file.parts]


def tests() -> list[Source]:
    """Every module of the tests."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    return [Source(str(file.relative_to(ROOT)), file.read_text("utf-8")) for file in files if "__pycache__" not in file.parts]


def line_of(room: str) -> int:
    for number, rooms in enumerate(LINES):
        if room in rooms:
            return number
    return -1


def arrows(source: Source) -> Iterator[Fault]:
    """A room imports only from lines below its own."""
    if not source.path.startswith("jetmail/") or source.path == "jetmail/__init__.py":
        return
    if line_of(source.room) < 0:
        yield source.fault(
            1, f"'{source.room}' is not a room of the house", "every module belongs to a room (LINES in tests/house.py draws them); move it into one"
        )
        return
    for item in source.imports:
        if not item.within("jetmail"):
            continue
        target = (item.dotted.split(".") + [""])[1]
        if target in ("", source.room):
            continue
        allowed = NARROWER.get(source.room)
        if line_of(target) < line_of(source.room) and (allowed is None or target in allowed):
            continue
        if allowed is not None and target in allowed:
            continue
        why = WHY_ARROW.get(source.room, "a room imports only from lines below its own; move the value down, or let app.py pass it in as an argument")
        yield source.fault(item.line, f"imports {item.dotted}: {source.room} -> {target} is not an arrow of the house", why)


def only_in(source: Source, packages: tuple[str, ...], allowed: tuple[str, ...], why: str) -> Iterator[Fault]:
    """Faults for imports of `packages` in files outside the `allowed` path prefixes."""
    if source.path.startswith(allowed):
        return
    for item in source.imports:
        for package in packages:
            if item.within(package):
                yield source.fault(item.line, f"imports {item.dotted}; {package} belongs to {', '.join(allowed) or 'no room at all'}", why)


def libraries(source: Source) -> Iterator[Fault]:
    """Each foreign library has its rooms."""
    yield from only_in(source, ("twisted.mail",), (), "its protocols lose or smuggle mail; use jetmail.smtp and its shells in inbound/ and outbound/")
    yield from only_in(
        source, ("asyncio", "multiprocessing", "anyio", "trio"), ("tests/",), "one process, one reactor; write `async def` and await Deferreds"
    )
    if not source.path.startswith("jetmail/"):
        return
    yield from only_in(
        source,
        ("sqlite3", "sqlite_utils"),
        ("jetmail/store/",),
        "only the store speaks SQL; write a function of a connection in store/directory or store/traffic and run it through IDatabase "
        "(the type of a connection is jetmail.store.database.Connection)",
    )
    yield from only_in(
        source,
        ("klein", "werkzeug"),
        ("jetmail/web/", "jetmail/api/"),
        "HTTP has two faces and no third; put the page into web/ or the resource into api/",
    )
    yield from only_in(
        source,
        ("jinja2",),
        ("jetmail/web/", "jetmail/api/", "jetmail/jobs/", "jetmail/outbound/bounce.py"),
        "templates are for pages and for mail written to people; elsewhere build values",
    )
    yield from only_in(
        source,
        ("threading", "_thread", "concurrent.futures", "twisted.internet.threads", "twisted.python.threadpool"),
        ("jetmail/offload.py", "jetmail/store/database.py", "jetmail/app.py", "jetmail/cli/", "jetmail/tap.py"),
        "only offload and store.database know threads; take an IExecutor or an IDatabase as an argument",
    )
    if source.room in ("mail", "smtp", "classifier"):
        for item in source.imports:
            if item.within("twisted"):
                yield source.fault(
                    item.line,
                    f"imports {item.dotted} inside {source.room}/",
                    "this room is pure: no reactor, no Deferred; the shell around it has those",
                )
    if source.room == "mail":
        for item in source.imports:
            top = item.module.split(".")[0]
            if top not in sys.stdlib_module_names and top not in MAIL_MAY:
                yield source.fault(item.line, f"imports {item.dotted} inside mail/", "mail/ is the standard library and values only")


def reactor(source: Source) -> Iterator[Fault]:
    """The global reactor is imported in one function of one module."""
    for item in source.imports:
        if item.dotted == "twisted.internet.reactor" or item.within("twisted.internet.reactor"):
            if source.path == "jetmail/tap.py" and item.depth:
                continue
            yield source.fault(
                item.line,
                "imports the global reactor",
                "importing it installs it, and nothing that uses it can run on a Clock; take `reactor` or `clock` as an argument "
                "(jetmail/tap.py imports it inside makeService, once)",
            )


CLOCK_ROOMS = ("jetmail/app.py", "jetmail/offload.py", "jetmail/cli/", "twisted/")  # cli/: a person's command has its own process and its own clock


def clock(source: Source) -> Iterator[Fault]:
    """Time and randomness are arguments."""
    if source.path.startswith(CLOCK_ROOMS):
        return
    why = (
        "a test must be able to set the clock and the dice; take `clock` (seconds()), `now`, or interfaces.IEntropy as an argument "
        "(app.py gives the real ones)"
    )
    for item in source.imports:
        if item.module in ("time", "random", "secrets"):
            yield source.fault(item.line, f"imports {item.dotted}", why)
        if item.module == "uuid" and item.name in ("uuid1", "uuid4", ""):
            yield source.fault(item.line, "imports uuid for random ids", why)
        if item.module == "os" and item.name in ("urandom", "getrandom"):
            yield source.fault(item.line, f"imports os.{item.name}", why)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "formatdate" and not node.args:
                yield source.fault(node.lineno, "formatdate() without a time reads the clock", why)
            continue
        owner, name = ast.unparse(node.func.value), node.func.attr
        if name in ("now", "utcnow", "today") and owner.split(".")[-1] in ("datetime", "date"):
            yield source.fault(node.lineno, f"calls {owner}.{name}()", why)
        if (owner, name) in (("os", "urandom"), ("os", "getrandom"), ("uuid", "uuid4"), ("uuid", "uuid1")):
            yield source.fault(node.lineno, f"calls {owner}.{name}()", why)


def packages(source: Source) -> Iterator[Fault]:
    """__init__.py holds a docstring and nothing else."""
    if not source.path.endswith("__init__.py"):
        return
    for node in source.tree.body:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            yield source.fault(
                node.lineno,
                "code in __init__.py",
                "it runs for whoever imports any neighbour and hides who needs whom; put it into a module named for what it is",
            )


def documented(source: Source) -> Iterator[Fault]:
    """A module opens with its page."""
    if ast.get_docstring(source.tree) is None:
        yield source.fault(
            1, "no module docstring", "a module opens with what it is, what it promises, what it raises and which RFC sections it obeys"
        )


def mutable(source: Source) -> Iterator[Fault]:
    """No state at module level."""
    why = (
        "module state outlives a service, is shared by every test and cannot be two appliances in one process; make it a field of an object "
        "that app.py builds (a constant table is UPPER_CASE and nobody changes it)"
    )
    constants: set[str] = set()
    for node in source.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = getattr(node, "value", None)
        made = isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)) or (
            isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in CONTAINERS
        )
        for target in targets:
            if not isinstance(target, ast.Name) or not made or target.id == "__all__":
                continue
            if target.id != target.id.upper():
                yield source.fault(node.lineno, f"'{target.id}' is a mutable container at module level", why)
            constants.add(target.id)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield source.fault(node.lineno, f"global {', '.join(node.names)}", why)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            if node.func.value.id in constants and node.func.attr in MUTATORS:
                yield source.fault(node.lineno, f"{node.func.value.id}.{node.func.attr}() changes a constant", why)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.Delete)):
            places = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [node.target]
            inside = [place.value.id for place in places if isinstance(place, ast.Subscript) and isinstance(place.value, ast.Name)]
            for name in inside:
                if name in constants and node not in source.tree.body:
                    yield source.fault(node.lineno, f"{name}[...] changes a constant", why)


def tidy(source: Source) -> Iterator[Fault]:
    """No wildcard imports, no endless files, no inlineCallbacks, no loose ends."""
    for item in source.imports:
        if item.name == "*":
            yield source.fault(item.line, f"from {item.module} import *", "nobody can tell where a name comes from; import names")
        if item.name in ("inlineCallbacks", "returnValue"):
            yield source.fault(
                item.line,
                f"imports {item.name}",
                "sequences are `async def`; Deferred.fromCoroutine turns one into a Deferred at a service's boundary",
            )
    lines = source.text.count("\n")
    if lines > LONGEST_FILE:
        yield source.fault(lines, f"{lines} lines", f"a file past {LONGEST_FILE} lines is two modules; split it where its docstring says 'and'")
    for number, line in enumerate(source.text.splitlines(), 1):
        if LOOSE_END.search(line):
            yield source.fault(number, "a loose end in a comment", "do it, or write an issue and name its number (#12) here")


PRODUCT_RULES = (arrows, libraries, reactor, clock, packages, documented, mutable, tidy)


# What is asked of the tests.

REAL_WORLD = ("tests/live/", "tests/crash/", "tests/bench/")  # real sockets, real processes, real time
MACHINE_PATHS = re.compile(r"(?<![\w.])/(work|root|home|Users|tmp/dev|tmp/bash_jobs)/[\w.]")
ASSERTING = re.compile(r"^(assert|fail|expect|check|verify|play|prove|must)|(ResultOf|raises|flushLoggedErrors)$", re.IGNORECASE)


def hermetic(source: Source) -> Iterator[Fault]:
    """Unit tests neither wait nor touch the global reactor nor real sockets."""
    if source.path.startswith(REAL_WORLD) or source.path in ("tests/conftest.py",):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep"):
            yield source.fault(
                node.lineno,
                "sleeps",
                "a sleeping test is slow when it works and flaky when it does not; use twisted.internet.task.Clock and advance it",
            )
    for item in source.imports:
        if item.dotted == "time.sleep":
            yield source.fault(item.line, "imports sleep", "use twisted.internet.task.Clock and advance it")
        if item.dotted == "twisted.internet.reactor":
            yield source.fault(
                item.line, "uses the global reactor", "use Clock, MemoryReactorClock and StringTransport; real sockets belong to tests/live"
            )
        if item.within("pytest_twisted"):
            yield source.fault(item.line, "uses pytest-twisted", "write trial-style SynchronousTestCase classes; pytest only runs them")


def _functions(tree: ast.Module) -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
    found: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.setdefault(node.name, []).append(node)
    return found


def telling(source: Source) -> Iterator[Fault]:
    """Every test says what behaviour it holds, and holds it."""
    if not source.path.rsplit("/", 1)[-1].startswith("test_"):
        return
    functions = _functions(source.tree)

    def asserts(node: ast.AST, seen: frozenset[str]) -> bool:
        for child in ast.walk(node):
            if isinstance(child, (ast.Assert, ast.Raise)):
                return True
            if isinstance(child, ast.Call):
                name = ast.unparse(child.func).split(".")[-1].lstrip("_")
                if ASSERTING.search(name):
                    return True
                called = ast.unparse(child.func).split(".")[-1]
                if called in functions and called not in seen and any(asserts(inner, seen | {called}) for inner in functions[called]):
                    return True
        return False

    for name, nodes in functions.items():
        if not name.startswith("test_") and name != "test":
            continue
        for node in nodes:
            if any("fixture" in ast.unparse(mark) for mark in node.decorator_list):
                continue
            if not ast.get_docstring(node):
                yield source.fault(
                    node.lineno, f"{name} has no docstring", "the behaviour in one sentence: it is what the reader of a failing run needs first"
                )
            if not asserts(node, frozenset({name})):
                yield source.fault(node.lineno, f"{name} asserts nothing", "a test that cannot fail proves nothing; state what must be true")


def anywhere(source: Source) -> Iterator[Fault]:
    """No path of one person's machine."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if MACHINE_PATHS.search(line):
            yield source.fault(
                number,
                "names a path of one machine",
                "the project runs wherever it is checked out; use a path relative to the file, or a temporary directory",
            )


TEST_RULES = (hermetic, telling, anywhere, documented, tidy)
