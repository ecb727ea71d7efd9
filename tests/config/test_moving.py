"""
C{docs/accounts.rst}: what it tells those who come from another server.
"""

from __future__ import annotations

import io
import re
import textwrap
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from filehub.accounts.hashes import verifyHash
from filehub.config.schema import User
from filehub.permissions import formatPermissions

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "accounts.rst"


class MovingTests(SynchronousTestCase):
    """From pyftpdlib."""

    def test_pyftpdlib(self) -> None:
        """The program there prints users with their passwords, homes and letters."""
        if not DOCUMENT.exists():
            raise SkipTest("the documents are not here: not a copy of the source")
        served = Path(self.mktemp()).absolute()
        (served / "ada" / "read").mkdir(parents=True)
        authorizer = DummyAuthorizer()
        authorizer.add_user("ada", "lovelace", str(served / "ada"), perm="elradfmwMT")
        authorizer.override_perm("ada", str(served / "ada" / "read"), "elr", recursive=True)
        authorizer.add_anonymous(str(served))
        found = re.search(r"\n    from os\.path.*?\n(?=\S)", DOCUMENT.read_text("utf-8"), re.DOTALL)
        assert found is not None
        program = textwrap.dedent(found[0]).replace("/srv/files", str(served), 1)
        with redirect_stdout(io.StringIO()) as printed:
            exec(program, {"authorizer": authorizer})  # noqa: S102
        tables = tomllib.loads(printed.getvalue())["user"]
        ada, anonymous = (User.model_validate(each) for each in tables)
        self.assertTrue(verifyHash(ada.password or "", b"lovelace"))
        self.assertEqual(str(ada.home), "/ada")
        rules = {str(rule.path): formatPermissions(rule.allow) for rule in ada.rule}
        self.assertEqual(rules, {"/ada": "elradfmwMT", "/ada/read": "elr"})
        self.assertEqual((anonymous.password, str(anonymous.home)), (None, "/"))
