"""
What operators are told about their mistakes with TLS, and what their keys become.
"""

from __future__ import annotations

from filehub.accounts.certrules import parseCertificateRule
from tests.config.test_loading import LISTEN, LoadingCase


class TLSKeyTests(LoadingCase):
    """C{[tls]}, and C{certificate} and C{tls} of accounts."""

    def test_certificates(self) -> None:
        """One rule or several; each is read when the file is."""
        first, second = "CN=Ada Lovelace", "email:ada@example.org"
        for text, expected in (
            (f'"{first}"', [first]),
            (f'["{first}", "{second}"]', [first, second]),
            ("[]", []),
        ):
            loaded = self.load(f'{LISTEN}[[user]]\nname = "ada"\ncertificate = {text}\n')
            self.assertEqual(
                loaded.values.user[0].certificate, tuple(map(parseCertificateRule, expected))
            )

    def test_badCertificates(self) -> None:
        """What is none of the ways to know a certificate is refused with those ways."""
        for text in ('"Ada"', '["CN=a", "x"]', "5", "[5]"):
            (line,) = self.complaints(f'{LISTEN}[[user]]\nname = "ada"\ncertificate = {text}\n')
            self.assertIn("user[1].certificate", line)
            self.assertIn("expected", line)

    def test_authorities(self) -> None:
        """Client certificates need an authority, and its file has to be there."""
        (line,) = self.complaints(f'{LISTEN}[tls]\nclient_certificates = "required"\n')
        self.assertIn("tls.client_ca: found nothing, expected the file of an authority", line)
        for key in ("client_ca", "crl"):
            (line,) = self.complaints(f'{LISTEN}[tls]\n{key} = "/none/such"\n')
            self.assertIn(f"tls.{key}: found '/none/such', expected an existing file", line)

    def test_bootingOverTLS(self) -> None:
        """An account for encrypted connections is of no use to TFTP clients."""
        for accounts in (
            '[[user]]\nname = "boot"\ntls = true\n',
            '[[group]]\nname = "g"\ntls = true\n[[user]]\nname = "boot"\ngroups = ["g"]\n',
        ):
            (line,) = self.complaints(
                f'{LISTEN}{accounts}[[network]]\naddress = "10.0.0.0/8"\naccount = "boot"\n'
                'protocols = ["tftp"]\n'
            )
            self.assertIn("found 'boot', which is for encrypted connections", line)
