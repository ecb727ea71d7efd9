"""
The layers that C{filehub/__init__.py} describes, enforced.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import filehub

PACKAGE = Path(filehub.__file__).parent

VOCABULARY = {
    "errors",
    "paths",
    "permissions",
    "attributes",
    "credentials",
    "events",
    "deadlines",
    "interfaces",
    "handles",
    "naming",
    "usage",
    "periods",
    "logins",
    "promises",
    "views",
    "networks",
    "uncounted",
}

#: A layer may import itself and those in its set.
MAY_IMPORT = {
    "vocabulary": {"vocabulary"},
    "vfs": {"vocabulary"},
    "accounts": {"vocabulary", "vfs"},
    "transfer": {"vocabulary"},
    "protocols": {"vocabulary", "transfer"},
    "top": {"vocabulary", "vfs", "accounts", "transfer", "protocols"},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE).with_suffix("")
        parts = [part for part in relative.parts if part != "__init__"]
        yield ".".join(parts), ast.parse(path.read_text(), str(path))


def layerOf(name: str) -> str:
    first = name.split(".")[0]
    if first in VOCABULARY:
        return "vocabulary"
    if first in ("vfs", "accounts", "transfer", "protocols"):
        return first
    return "top"


def importsOf(tree: ast.Module) -> Iterator[str]:
    """Names of the FileHub modules that this one imports, without C{filehub.}."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                yield "relative imports are not used here"
            elif node.module == "filehub":
                yield from (alias.name for alias in node.names)
            elif node.module and node.module.startswith("filehub."):
                yield node.module.removeprefix("filehub.")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("filehub."):
                    yield alias.name.removeprefix("filehub.")


class ArchitectureTests(SynchronousTestCase):
    def test_layersImportUpwardsOnly(self) -> None:
        """No module imports from a layer below its own."""
        wrong = [
            f"{name} imports {imported}"
            for name, tree in modules()
            for imported in importsOf(tree)
            if name
            and not imported.startswith("__")
            and layerOf(imported) != layerOf(name)
            and layerOf(imported) not in MAY_IMPORT[layerOf(name)]
        ]
        self.assertEqual(wrong, [])

    def test_protocolsDoNotKnowOneAnother(self) -> None:
        """A protocol package imports no other protocol package."""
        wrong = []
        for name, tree in modules():
            parts = name.split(".")
            if parts[0] != "protocols" or len(parts) < 2:
                continue
            for imported in importsOf(tree):
                other = imported.split(".")
                if other[0] == "protocols" and len(other) > 1 and other[1] != parts[1]:
                    wrong.append(f"{name} imports {imported}")
        self.assertEqual(wrong, [])

    def test_wireModulesAreFreeOfTwisted(self) -> None:
        """C{wire.py} turns bytes into values and imports no Twisted."""
        wrong = []
        for name, tree in modules():
            if not name.endswith(".wire"):
                continue
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                wrong += [f"{name}: {each}" for each in names if each.startswith("twisted")]
        self.assertEqual(wrong, [])

    def test_noGlobalReactor(self) -> None:
        """The reactor is passed in; only function bodies of the top layer may import it."""
        wrong = []
        for name, tree in modules():
            places = tree.body if layerOf(name) == "top" else list(ast.walk(tree))
            for node in places:
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                    if any(alias.name == "reactor" for alias in node.names):
                        wrong.append(name)
        self.assertEqual(wrong, [])

    def test_logFormatsAreLiterals(self) -> None:
        """Text from the network never becomes a log format (it would be evaluated)."""
        wrong = []
        for name, tree in modules():
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr
                    in ("debug", "info", "warn", "error", "critical", "failure", "failuresHandled")
                    and re.search(r"log$", ast.unparse(node.func.value), re.IGNORECASE)
                    and node.args
                    and not (
                        isinstance(node.args[0], ast.Constant)
                        and isinstance(node.args[0].value, str)
                    )
                ):
                    wrong.append(f"{name}:{node.lineno}")
        self.assertEqual(wrong, [])

    def test_modulesStayShort(self) -> None:
        """A module past 500 lines holds two ideas."""
        wrong = {
            str(path.relative_to(PACKAGE)): count
            for path in PACKAGE.rglob("*.py")
            if (count := len(path.read_text().splitlines())) > 500
        }
        self.assertEqual(wrong, {})

    def test_publicNamesAreDocumented(self) -> None:
        """Every public module and class says what it is."""
        wrong = []
        for name, tree in modules():
            if not ast.get_docstring(tree):
                wrong.append(name)
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    if not ast.get_docstring(node) and len(node.body) > 1:
                        wrong.append(f"{name}.{node.name}")
        self.assertEqual(wrong, [])
