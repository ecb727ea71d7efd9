"""
Replies in German: the English text, and what is said instead.

C{{}} stands for what differs from reply to reply; there are as many on both sides, in the
same order.  Clauses of errors have no capital letter and no full stop, as in
L{filehub.errors}.
"""

from __future__ import annotations

from typing import Final

REPLIES: Final = {
    "ABOR successful.": "ABOR ausgeführt.",
    "A time, YYYYMMDDHHMMSS, and a path are needed.": (
        "Nötig sind eine Zeit, JJJJMMTThhmmss, und ein Pfad."
    ),
    "ALLO takes a size.": "ALLO braucht eine Größe.",
    "Account required.": "Ein Konto (ACCT) wird verlangt.",
    "After EPSV ALL only EPSV is accepted.": "Nach EPSV ALL ist nur noch EPSV erlaubt.",
    "An argument is needed.": "Hier fehlt eine Angabe.",
    "Back to the whole file.": "Wieder die ganze Datei.",
    "Begin the TLS handshake.": "TLS kann beginnen.",
    "COMB takes a path and those of its parts.": "COMB braucht einen Pfad und die der Teile.",
    "Closing the connection.": "Die Verbindung wird getrennt.",
    "Closing the connection: {}.": "Die Verbindung wird getrennt: {}.",
    "Combined.": "Zusammengefügt.",
    "Combined; not all parts could be removed.": (
        "Zusammengefügt; nicht alle Teile ließen sich entfernen."
    ),
    "Command not implemented.": "Diesen Befehl gibt es hier nicht.",
    "Commands are in the clear already.": "Befehle sind bereits unverschlüsselt.",
    "Commands are in the clear from now on.": "Befehle sind von nun an unverschlüsselt.",
    "Commands are in the clear: connect again for this.": (
        "Befehle sind unverschlüsselt: dafür bitte neu verbinden."
    ),
    "Commands:": "Befehle:",
    "Copied.": "Kopiert.",
    "Data connection closed.": "Datenverbindung geschlossen.",
    "Data connections are not protected.": "Datenverbindungen sind nicht geschützt.",
    "Data connections are protected.": "Datenverbindungen sind geschützt.",
    "Data connections have to be protected here.": (
        "Datenverbindungen müssen hier geschützt sein."
    ),
    "Data connections have to be protected: say PROT P.": (
        "Datenverbindungen müssen geschützt sein: PROT P senden."
    ),
    "Directory changed to {}": "Verzeichnis gewechselt zu {}",
    "Directory made.": "Verzeichnis angelegt.",
    "Directory removed, with all that was in it.": "Verzeichnis samt Inhalt entfernt.",
    "Directory removed.": "Verzeichnis entfernt.",
    "EPSV takes 1, 2 or ALL.": "EPSV braucht 1, 2 oder ALL.",
    "End": "Ende",
    "End of status.": "Ende der Auskunft.",
    "Facts about {}:": "Angaben zu {}:",
    "Features:": "Erweiterungen:",
    "File deleted.": "Datei gelöscht.",
    "Goodbye.": "Auf Wiedersehen.",
    "HELP command tells more.": "Mehr mit HELP und einem Befehl.",
    "Here come the facts.": "Es folgen die Angaben.",
    "Here comes the listing.": "Es folgt das Verzeichnis.",
    "Idle for too long.": "Zu lange untätig.",
    "Idle time is {} seconds now.": "Die Wartezeit ist nun {} Sekunden.",
    "Idle time is {} seconds, {} at the most.": "Die Wartezeit ist {} Sekunden, höchstens {}.",
    "Idle time may be {} to {} seconds.": "Die Wartezeit darf {} bis {} Sekunden sein.",
    "Internal error.": "Interner Fehler.",
    "Known are AUTH TLS and AUTH SSL.": "Bekannt sind AUTH TLS und AUTH SSL.",
    "Language is {}.": "Die Sprache ist {}.",
    "Line too long.": "Die Zeile ist zu lang.",
    "Link made.": "Verweis angelegt.",
    "Log in with USER and PASS.": "Bitte mit USER und PASS anmelden.",
    "Logged in by certificate.": "Mit Zertifikat angemeldet.",
    "Logged in.": "Angemeldet.",
    "Login incorrect.": "Anmeldung fehlgeschlagen.",
    "Login is temporarily unavailable, try again later.": (
        "Anmelden ist vorübergehend nicht möglich, später noch einmal versuchen."
    ),
    "Login took too long.": "Die Anmeldung hat zu lange gedauert.",
    "MFF takes facts, each with = and ;, a space and a path.": (
        "MFF braucht Angaben, jede mit = und ;, ein Leerzeichen und einen Pfad."
    ),
    "MMD5 takes a few paths with commas between them.": (
        "MMD5 braucht einige Pfade mit Kommas dazwischen."
    ),
    "MODE Z LEVEL set to {}.": "MODE Z LEVEL ist {}.",
    "Mode Z is not supported.": "MODE Z wird nicht unterstützt.",
    "Mode changed.": "Zugriffsrechte geändert.",
    "Mode is not known.": "Diese Übertragungsart ist unbekannt.",
    "Mode set to {}.": "Übertragungsart ist {}.",
    "NUL is not allowed.": "NUL ist nicht erlaubt.",
    "Network protocol not supported, use ({})": "Netzprotokoll nicht unterstützt, möglich: ({})",
    "No account is needed.": "Ein Konto (ACCT) wird nicht gebraucht.",
    "OK.": "In Ordnung.",
    "Only EPSV will be accepted.": "Nur noch EPSV ist erlaubt.",
    "Only MODE Z has options.": "Nur MODE Z hat Optionen.",
    "Only your own address may be used.": "Nur die eigene Adresse ist erlaubt.",
    "Opening {} mode data connection ({} bytes).": (
        "Datenverbindung in {} wird geöffnet ({} bytes)."
    ),
    "Opening {} mode data connection.": "Datenverbindung in {} wird geöffnet.",
    "PASV is for IPv4 only; use EPSV.": "PASV ist nur für IPv4; bitte EPSV verwenden.",
    "PBSZ takes a number.": "PBSZ braucht eine Zahl.",
    "PRET takes a command that transfers.": "PRET braucht einen Befehl, der überträgt.",
    "Password required.": "Das Kennwort wird verlangt.",
    "Ports below 1024 may not be used.": "Ports unter 1024 sind nicht erlaubt.",
    "RANG is for downloads and checksums.": "RANG ist für Abrufe und Prüfsummen.",
    "RANG takes the first and the last byte.": "RANG braucht das erste und das letzte Byte.",
    "REST needs TYPE I and STRU F, or MODE B or C.": (
        "REST braucht TYPE I und STRU F, oder MODE B oder C."
    ),
    "Ready for RNTO.": "Bereit für RNTO.",
    "Ready for SITE CPTO.": "Bereit für SITE CPTO.",
    "Ready for a new user.": "Bereit für eine neue Anmeldung.",
    "Ready to receive in {} mode.": "Empfangsbereit in {}.",
    "Renamed.": "Umbenannt.",
    "Restarting at {}. End byte range at {}.": "Weiter ab {}. Ende des Bereichs bei {}.",
    "Room at {}:": "Platz bei {}:",
    "SSCN takes ON or OFF.": "SSCN braucht ON oder OFF.",
    "SITE COPY takes two paths.": "SITE COPY braucht zwei Pfade.",
    "SITE commands:": "SITE-Befehle:",
    "SIZE is not allowed in {} mode; use TYPE I and STRU F.": (
        "SIZE ist in {} nicht erlaubt; bitte TYPE I und STRU F verwenden."
    ),
    "STRU P needs TYPE I or TYPE L.": "STRU P braucht TYPE I oder TYPE L.",
    "Say AUTH TLS and PROT P first.": "Zuerst AUTH TLS und PROT P senden.",
    "Say AUTH TLS first.": "Zuerst AUTH TLS senden.",
    "Say HOST before you log in.": "HOST muss vor der Anmeldung kommen.",
    "Say RNFR first.": "Zuerst RNFR senden.",
    "Say SITE CPFR first.": "Zuerst SITE CPFR senden.",
    "Say USER and PASS first.": "Zuerst USER und PASS senden.",
    "Say USER first.": "Zuerst USER senden.",
    "Status:": "Auskunft:",
    "Structure is not known.": "Diese Struktur ist unbekannt.",
    "Structure set to {}.": "Struktur ist {}.",
    "TLS has begun already.": "TLS hat bereits begonnen.",
    "TLS is required here: say AUTH TLS first.": "TLS wird hier verlangt: zuerst AUTH TLS senden.",
    "TYPE L 32 needs STRU P.": "TYPE L 32 braucht STRU P.",
    "That SITE command changes nothing here.": "Dieser SITE-Befehl bewirkt hier nichts.",
    "That SITE command is not enabled.": "Dieser SITE-Befehl ist nicht freigegeben.",
    "That SITE command is not known.": "Dieser SITE-Befehl ist unbekannt.",
    "That command is not known.": "Dieser Befehl ist unbekannt.",
    "That is no address.": "Das ist keine Adresse.",
    "That is no host name.": "Das ist kein Hostname.",
    "That is no language tag.": "Das ist kein Sprachkürzel.",
    "That is no offset.": "Das ist keine Position.",
    "That is no type.": "Das ist kein Typ.",
    "That is not in the character set of this session.": (
        "Das gibt es im Zeichensatz dieser Sitzung nicht."
    ),
    "That language is not spoken here.": "Diese Sprache wird hier nicht gesprochen.",
    "That much has no place here at all.": "So viel hat hier überhaupt keinen Platz.",
    "The TLS handshake took too long.": "Der Aufbau von TLS hat zu lange gedauert.",
    "The control connection stays encrypted.": "Die Steuerverbindung bleibt verschlüsselt.",
    "The end lies before the start.": "Das Ende liegt vor dem Anfang.",
    "The fact {} cannot be set here.": "Die Angabe {} lässt sich hier nicht setzen.",
    "The formats are N, T and C.": "Es gibt die Formate N, T und C.",
    "The host is another one than that of the TLS handshake.": (
        "Das ist ein anderer Host als bei der TLS-Aushandlung."
    ),
    "The levels are C and P.": "Die Stufen sind C und P.",
    "The logical bytes are TYPE L 8 and, for STRU P, TYPE L 32.": (
        "Es gibt TYPE L 8 und, mit STRU P, TYPE L 32."
    ),
    "The name is too long.": "Der Name ist zu lang.",
    "The next transfer starts at {}.": "Die nächste Übertragung beginnt bei {}.",
    "The time of creation cannot be set here.": (
        "Die Zeit der Entstehung lässt sich hier nicht setzen."
    ),
    "There is no such host here.": "Diesen Host gibt es hier nicht.",
    "The umask is {}.": "Die Umask ist {}.",
    "There is not that much room left.": "So viel Platz ist nicht mehr frei.",
    "This command takes no argument.": "Dieser Befehl hat keine Angaben.",
    "Times changed.": "Zeiten geändert.",
    "Too many failed logins.": "Zu viele fehlgeschlagene Anmeldungen.",
    "Transfer complete.": "Übertragung abgeschlossen.",
    "Transfer complete; suspect blocks: {}": "Übertragung abgeschlossen; verdächtige Blöcke: {}",
    "Transfer complete; unique name: {}": "Übertragung abgeschlossen; eindeutiger Name: {}",
    "Type set to {}.": "Typ ist {}.",
    "UNIX.mode is three or four octal digits.": "UNIX.mode sind drei oder vier Oktalziffern.",
    "UTF-8 cannot be turned off.": "UTF-8 lässt sich nicht abschalten.",
    "UTF-8 is always on.": "UTF-8 gilt immer.",
    "UTF-8 is off.": "UTF-8 ist aus.",
    "UTF-8 is on.": "UTF-8 ist an.",
    "Unknown algorithm, the current one stays.": (
        "Unbekanntes Verfahren, das bisherige gilt weiter."
    ),
    "Unknown command.": "Unbekannter Befehl.",
    "Use PASV or EPSV, or PORT or EPRT, first.": "Zuerst PASV oder EPSV, PORT oder EPRT senden.",
    "{} command successful.": "{} ausgeführt.",
    "{} created.": "{} angelegt.",
    "{} exists.": "{} gibt es schon.",
    "{} has no options.": "{} hat keine Optionen.",
    "{} is current.": "{} ist das aktuelle Verzeichnis.",
    "{} is not known.": "{} ist unbekannt.",
    "{} set to {}.": "{} ist {}.",
    "{} {} is not known; the levels are 1 to 9.": "{} {} ist unbekannt; die Stufen sind 1 bis 9.",
    "{} {} is not supported.": "{} {} wird nicht unterstützt.",
}

#: What follows a path, or stands alone with a capital letter.
CLAUSES: Final = {
    "TLS failed on the control connection": "TLS ist auf der Steuerverbindung gescheitert",
    "TLS handshake failed on the data connection": "TLS ist auf der Datenverbindung gescheitert",
    "TLS handshake not completed": "TLS kam nicht zustande",
    "a quota is kept there": "dort gilt ein Kontingent",
    "a web server has no listings": "ein Webserver hat keine Verzeichnisse",
    "already exists": "gibt es schon",
    "busy, try again later": "gerade belegt, später noch einmal versuchen",
    "cannot accept data connection: {}": "Datenverbindung kann nicht angenommen werden: {}",
    "cannot be moved to another file system": (
        "lässt sich nicht in ein anderes Dateisystem verschieben"
    ),
    "cannot listen for the data connection: {}": ("Datenverbindung kann nicht erwartet werden: {}"),
    "cannot open data connection": "Datenverbindung kann nicht geöffnet werden",
    "cannot open data connection: {}": "Datenverbindung kann nicht geöffnet werden: {}",
    "connection ended before all data was received": ("Verbindung vor dem Ende der Daten getrennt"),
    "connection ended before the end of the compressed data": (
        "Verbindung vor dem Ende der verdichteten Daten getrennt"
    ),
    "connection ended before the end of the file": "Verbindung vor dem Ende der Datei getrennt",
    "connection ended before the last page": "Verbindung vor der letzten Seite getrennt",
    "connection ended without TLS close_notify": "Verbindung ohne TLS close_notify beendet",
    "connection lost": "Verbindung verloren",
    "connection lost: {}": "Verbindung verloren: {}",
    "control characters are not allowed in names": "Steuerzeichen in Namen sind nicht erlaubt",
    "control characters in a new name": "Steuerzeichen in einem neuen Namen",
    "control connection lost": "Steuerverbindung verloren",
    "data connection not accepted in time": "Datenverbindung nicht rechtzeitig angenommen",
    "data connection not properly protected": "Datenverbindung nicht richtig geschützt",
    "directory not empty": "Verzeichnis nicht leer",
    "file changed while it was sent": "Datei wurde beim Senden geändert",
    "file too large": "Datei zu groß",
    "files have no holes here": "Dateien haben hier keine Löcher",
    "internal error": "interner Fehler",
    "invalid link": "ungültiger Verweis",
    "invalid name": "ungültiger Name",
    "is a directory": "ist ein Verzeichnis",
    "limit exceeded": "Grenze überschritten",
    "name is not encodable": "Name lässt sich nicht kodieren",
    "name too long": "Name zu lang",
    "network protocol not supported here": "Netzprotokoll wird hier nicht unterstützt",
    "no data connection within the allowed time": "keine Datenverbindung in der erlaubten Zeit",
    "no data connection: use PASV, EPSV, PORT or EPRT first": (
        "keine Datenverbindung: zuerst PASV, EPSV, PORT oder EPRT senden"
    ),
    "no progress within the allowed time": "kein Fortschritt in der erlaubten Zeit",
    "no space left": "kein Platz mehr",
    "no such file or directory": "keine solche Datei und kein solches Verzeichnis",
    "no such mount": "nichts dieses Namens eingehängt",
    "no unique name found": "kein freier Name gefunden",
    "not a directory": "kein Verzeichnis",
    "not a regular file": "keine gewöhnliche Datei",
    "not an IP address": "keine IP-Adresse",
    "not logged in": "nicht angemeldet",
    "not welcome": "nicht willkommen",
    "only your own address may be used": "nur die eigene Adresse ist erlaubt",
    "operation not supported here": "hier nicht möglich",
    "page type unknown": "unbekannte Art von Seite",
    "path too deep": "Pfad zu tief",
    "permission denied": "Zugriff verweigert",
    "privileged ports may not be used": "privilegierte Ports sind nicht erlaubt",
    "quota exceeded": "Kontingent überschritten",
    "read-only file system": "Dateisystem nur zum Lesen",
    "reserved name": "reservierter Name",
    "restart position beyond the end of the file": "Position hinter dem Ende der Datei",
    "shutting down": "wird beendet",
    "storage unavailable, try again later": (
        "Speicher nicht verfügbar, später noch einmal versuchen"
    ),
    "storages are mounted there": "dort sind Speicher eingehängt",
    "that is no descriptor page": "das ist keine Deskriptorseite",
    "that is no page header": "das ist kein Kopf einer Seite",
    "download quota exceeded, it begins again at {}": (
        "Kontingent zum Herunterladen überschritten, ein neues beginnt am {}"
    ),
    "upload quota exceeded, it begins again at {}": (
        "Kontingent zum Hochladen überschritten, ein neues beginnt am {}"
    ),
    "that is no restart marker": "das ist keine Marke zum Fortsetzen",
    "the compressed data is damaged": "die verdichteten Daten sind beschädigt",
    "the control connection's TLS session must be resumed": (
        "die TLS-Sitzung der Steuerverbindung muss fortgesetzt werden"
    ),
    "the control connection's client certificate is needed": (
        "das Zertifikat der Steuerverbindung wird gebraucht"
    ),
    "the data does not follow its format": "die Daten folgen nicht ihrem Format",
    "the file became shorter while it was sent": "die Datei wurde beim Senden kürzer",
    "the file cannot be made": "die Datei lässt sich nicht herstellen",
    "the file has changed meanwhile": "die Datei wurde inzwischen geändert",
    "the file is closed": "die Datei ist geschlossen",
    "the file is longer than its descriptor says": "die Datei ist länger, als ihr Deskriptor sagt",
    "the last page has to be empty": "die letzte Seite muss leer sein",
    "the pages are not in order": "die Seiten sind nicht in der Reihenfolge",
    "the session ends": "die Sitzung endet",
    "the template is too long": "die Vorlage ist zu lang",
    "the web server answers {}": "der Webserver antwortet {}",
    "the web server sends another range": "der Webserver schickt einen anderen Bereich",
    "there are bytes after the end of the file": "hinter dem Ende der Datei folgt noch etwas",
    "there is no descriptor {}": "es gibt keinen Deskriptor {}",
    "there is no record mark {}": "es gibt keine Satzmarke {}",
    "there are no permission bits here": "hier gibt es keine Zugriffsrechte",
    "time out of range": "Zeit außerhalb des Möglichen",
    "too large for pages of {}-bit bytes": "zu groß für Seiten aus {}-Bit-Bytes",
    "too long for a web server without ranges": "zu lang für einen Webserver ohne Bereiche",
    "too many entries for one command": "zu viele Einträge für einen Befehl",
    "too many logins at once, try again later": (
        "zu viele Anmeldungen auf einmal, später noch einmal versuchen"
    ),
    "too many symbolic links": "zu viele symbolische Verweise",
    "too many wildcards": "zu viele Platzhalter",
    "transfer aborted": "Übertragung abgebrochen",
    "transfer failed": "Übertragung fehlgeschlagen",
    "unknown algorithm": "unbekanntes Verfahren",
    "uploads cannot be continued here": "Übertragungen lassen sich hier nicht fortsetzen",
}
