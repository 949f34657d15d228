"""Imports run one way (DESIGN, section 2), read from the source itself. Each check is first shown to catch an offender."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 450

STANDARD = frozenset(sys.stdlib_module_names)


@dataclass(frozen=True)
class Rule:
    """Dotted names a unit may import, each with all that is below it. ``ours`` is relative to ``booking``.

    ``others`` None means any package that is not forbidden. The standard library is open to everyone.
    """

    ours: frozenset[str]
    others: frozenset[str] | None = None
    never: frozenset[str] = frozenset()


def rule(ours: str = "", others: str | None = None, never: str = "") -> Rule:
    return Rule(
        frozenset(ours.split()),
        None if others is None else frozenset(others.split()),
        frozenset(never.split()),
    )


SETTINGS = "django.conf.settings"
FLOW_DJANGO = f"{SETTINGS} django.db django.utils.timezone django.contrib.sessions.models"
# Views and commands reach the EHR through flows alone; the one name of ehr.py they may know is for the log line.
OUTER = rule("flows scheduling models messaging health metrics tracing ehr.correlation_id", never="httpx")

RULES: dict[str, Rule] = {
    "scheduling": rule(others=""),
    "fhir": rule("scheduling", "httpx jwt"),
    "models": rule("scheduling", "django"),
    "ehr": rule("fhir scheduling observed", f"{SETTINGS} django.core.cache"),
    "ehr_seen": rule(others="django.core.cache"),
    "observed": rule("ehr_seen metrics scheduling tracing", ""),
    "metrics": rule(others="prometheus_client"),
    "tracing": rule(others="opentelemetry"),
    "crash_points": rule(others=""),
    "health": rule("crash_points ehr_seen models scheduling", "django celery kombu portal.cache"),
    "board": rule("scheduling ehr", f"{SETTINGS} redis portal.redis_pool"),
    "notice_rate": rule(others=f"{SETTINGS} django.core.cache"),
    "video": rule(others=SETTINGS),
    "audit": rule("models scheduling", "django"),
    "messaging": rule("scheduling models", "django httpx icalendar"),
    "flows": rule(
        "scheduling models audit crash_points ehr board messaging notice_rate video",
        f"{FLOW_DJANGO} celery kombu",
    ),
    "web": OUTER,
    "admin": OUTER,
    "jobs": OUTER,
    "management": OUTER,
    "desk": OUTER,
    "apps": rule("checks job_trace models outcomes tracing", "django"),
    "job_trace": rule("ehr.correlation_id tracing", "celery"),
    "outcomes": rule("metrics models scheduling", "django"),
    "checks": rule("ehr scheduling", "django"),
    "migrations": rule("models scheduling", "django"),
    "sandbox": rule(never="django httpx celery portal"),
}
# Where "anything goes wrong" is a true answer. Everything else names what it catches.
CATCHES_ANYTHING = {
    # zoneinfo raises several kinds for a bad name.
    "booking/models/directory.py",
    # Rolls back and raises again.
    "booking/sandbox/store.py",
}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported_names(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Absolute dotted names of everything a module imports, inside functions and TYPE_CHECKING too.

    A whole part of ours (``from booking import ehr``) counts as the names that are then used of it.
    """
    parts = module.split(".")
    names: list[str] = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            for alias in node.names:
                name = ".".join([*base, alias.name])
                used = _attributes_of(alias.asname or alias.name, tree) if base == ["booking"] else []
                names += [f"{name}.{attribute}" for attribute in used] or [name]
        elif isinstance(node, ast.Call) and _is_import_by_name(node) and node.args:
            given = node.args[0]
            names.append(str(given.value) if isinstance(given, ast.Constant) else "<computed>")
    return names


def _attributes_of(local: str, tree: ast.Module) -> list[str]:
    uses = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return sorted({use.attr for use in uses if isinstance(use.value, ast.Name) and use.value.id == local})


def _is_import_by_name(call: ast.Call) -> bool:
    said = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return said in {"import_module", "__import__", "import_string"}


def module_of(path: Path) -> tuple[str, bool]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if is_package else parts), is_package


def covers(allowed: Iterable[str], name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in allowed)


def offenses(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module imports and may not."""
    unit = module.split(".")[1]
    its = RULES[unit]
    found = []
    for name in imported_names(source, module, is_package=is_package):
        top = name.split(".")[0]
        if top == "booking":
            inner = name.removeprefix("booking").removeprefix(".")
            is_fine = covers({unit, *its.ours}, inner)
        elif top in STANDARD:
            is_fine = True
        else:
            is_fine = (its.others is None or covers(its.others, name)) and not covers(its.never, name)
        if not is_fine:
            found.append(name)
    return found


BOOKING_FILES = [
    path for path in python_files("booking") if path.parent.name != "booking" or path.stem != "__init__"
]


@pytest.mark.parametrize(
    ("module", "source", "offender"),
    [
        pytest.param("booking.scheduling.clock", "import django.utils.timezone", "django.utils.timezone", id="scheduling-django"),
        pytest.param("booking.scheduling.clock", "from dateutil import tz", "dateutil.tz", id="scheduling-any-package"),
        pytest.param("booking.scheduling.clock", "from ..models import Booking", "booking.models.Booking", id="scheduling-relative"),
        pytest.param("booking.fhir.client", "from django.conf import settings", "django.conf.settings", id="fhir-django"),
        pytest.param("booking.fhir.client", "def f():\n    from booking import models", "booking.models", id="fhir-inside-a-function"),
        pytest.param("booking.models.people", "from booking.flows import notify", "booking.flows.notify", id="models-flows"),
        pytest.param("booking.models.people", "from booking.fhir import open_gateway", "booking.fhir.open_gateway", id="models-fhir"),
        pytest.param("booking.ehr", "from .models import Booking", "booking.models.Booking", id="ehr-models"),
        pytest.param("booking.board", "from booking.flows import find_times", "booking.flows.find_times", id="board-flows"),
        pytest.param("booking.board", "from django.db import models", "django.db.models", id="board-database"),
        pytest.param("booking.messaging.texts", "from booking import ehr", "booking.ehr", id="messaging-ehr"),
        pytest.param("booking.flows.notify", "import httpx", "httpx", id="flows-httpx"),
        pytest.param("booking.flows.notify", "from django.http import HttpRequest", "django.http.HttpRequest", id="flows-request"),
        pytest.param("booking.flows.notify", "from ..fhir import outcomes", "booking.fhir.outcomes", id="flows-fhir"),
        pytest.param("booking.web.urls", "from booking.fhir import open_gateway", "booking.fhir.open_gateway", id="web-fhir"),
        pytest.param("booking.web.urls", "from booking import ehr", "booking.ehr", id="web-ehr"),
        pytest.param("booking.web.urls", "from booking import ehr\nehr.gateway()", "booking.ehr.gateway", id="web-gateway"),
        pytest.param("booking.admin.work", "import httpx", "httpx", id="admin-httpx"),
        pytest.param("booking.jobs", "from booking.ehr import gateway", "booking.ehr.gateway", id="jobs-gateway"),
        pytest.param("booking.management.commands.sync", "from booking import fhir", "booking.fhir", id="commands-fhir"),
        pytest.param("booking.sandbox.visits", "from booking.scheduling import clock", "booking.scheduling.clock", id="sandbox-ours"),
        pytest.param("booking.sandbox.visits", "from ..scheduling import clock", "booking.scheduling.clock", id="sandbox-relative"),
        pytest.param("booking.web.urls", "from booking.sandbox import seed", "booking.sandbox.seed", id="nobody-imports-sandbox"),
        pytest.param("booking.flows.notify", "import_module('booking.fhir')", "booking.fhir", id="by-name"),
        pytest.param("booking.flows.notify", "importlib.import_module(name)", "<computed>", id="by-computed-name"),
    ],
)  # fmt: skip
def test_an_import_against_the_rules_is_caught(module: str, source: str, offender: str) -> None:
    assert offenses(source, module) == [offender]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("booking.scheduling.clock", "from zoneinfo import ZoneInfo\nfrom .terms import Slot", id="scheduling"),
        pytest.param("booking.fhir.client", "import httpx\nfrom booking.scheduling import errors", id="fhir"),
        pytest.param("booking.web.middleware", "from booking.ehr import correlation_id", id="web-log-line"),
        pytest.param("booking.web.middleware", "from booking import ehr\nehr.correlation_id.get()", id="web-log-line-by-part"),
        pytest.param("booking.flows.notify", "from booking.messaging import channels", id="flows"),
    ],
)  # fmt: skip
def test_an_import_within_the_rules_passes(module: str, source: str) -> None:
    assert offenses(source, module) == []


@pytest.mark.parametrize("path", BOOKING_FILES, ids=named)
def test_imports_run_one_way(path: Path) -> None:
    module, is_package = module_of(path)
    assert offenses(path.read_text(), module, is_package=is_package) == []


def test_every_part_of_the_house_has_a_rule() -> None:
    units = {path.relative_to(ROOT / "booking").parts[0].removesuffix(".py") for path in BOOKING_FILES}
    assert units - set(RULES) == set()


def test_nobody_outside_imports_the_sandbox() -> None:
    guests = [
        named(path)
        for path in python_files("portal", "scripts")
        for name in imported_names(path.read_text(), *module_of(path)[:1], is_package=module_of(path)[1])
        if covers({"booking.sandbox"}, name)
    ]
    assert guests == []


def catch_alls(source: str) -> list[int]:
    """Lines with a bare ``except`` or one for ``Exception`` or ``BaseException``, alone or among others."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(
                kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
                for kind in kinds
            ):
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    "clause",
    ["except:", "except Exception:", "except BaseException as error:", "except (OSError, Exception):"],
)
def test_a_catch_all_is_caught(clause: str) -> None:
    assert catch_alls(f"try:\n    book()\n{clause}\n    pass\n") == [3]


def test_a_named_error_is_no_catch_all() -> None:
    assert catch_alls("try:\n    book()\nexcept (OSError, ValueError):\n    pass\n") == []


def test_catch_alls_stand_only_where_they_are_allowed() -> None:
    found = {
        named(path) for path in python_files("booking", "portal", "scripts") if catch_alls(path.read_text())
    }
    assert found - CATCHES_ANYTHING == set()


def request_transactions(source: str) -> list[int]:
    """Lines that name ATOMIC_REQUESTS, as a setting or as a key: it would keep a transaction open across HTTP."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Constant) and node.value == "ATOMIC_REQUESTS")
        or (isinstance(node, ast.Name) and node.id == "ATOMIC_REQUESTS")
        or (isinstance(node, ast.keyword) and node.arg == "ATOMIC_REQUESTS")
    ]


@pytest.mark.parametrize(
    "source", ['{"ATOMIC_REQUESTS": True}', "ATOMIC_REQUESTS = True", "dict(ATOMIC_REQUESTS=True)"]
)
def test_a_transaction_per_request_is_caught(source: str) -> None:
    assert request_transactions(source) == [1]


def test_no_transaction_is_open_for_a_whole_request() -> None:
    from django.conf import settings

    assert [named(p) for p in python_files("booking", "portal") if request_transactions(p.read_text())] == []
    assert settings.DATABASES["default"]["ATOMIC_REQUESTS"] is False


def too_long(lengths: dict[str, int]) -> list[str]:
    return [name for name, lines in lengths.items() if lines > MOST_LINES]


def test_no_file_is_too_long() -> None:
    assert too_long({"fits.py": MOST_LINES, "slips.py": MOST_LINES + 1}) == ["slips.py"]
    files = [*python_files("booking", "portal", "scripts"), ROOT / "manage.py"]
    lengths = {named(path): len(path.read_text().splitlines()) for path in files}
    assert too_long(lengths) == []
