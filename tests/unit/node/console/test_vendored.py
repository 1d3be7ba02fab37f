"""What is vendored is what its makers published, and no page asks another host for anything."""

import hashlib
import re
from pathlib import Path

import node.console

HOME = Path(node.console.__file__).parent
VENDORED = {  # from the packages htmx.org 2.0.8 and uplot 1.6.32
    "htmx.min.js": "22283ef68cb7545914f0a88a1bdedc7256a703d1d580c1d255217d0a50d31313",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
OUTWARD = re.compile(r"""(?:src|href|action|hx-\w+|url\()\s*=?\s*["'(]?\s*(?:https?:)?//""", re.IGNORECASE)
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


def test_vendored_files_have_their_checksums():
    listed = dict(line.split()[::-1] for line in (HOME / "static" / "SHA256SUMS").read_text().splitlines())
    assert listed == VENDORED
    for name, digest in VENDORED.items():
        assert hashlib.sha256((HOME / "static" / name).read_bytes()).hexdigest() == digest


def test_no_template_or_own_file_names_another_host_or_runs_inline():
    own = [
        *HOME.glob("templates/*.html"),
        *(HOME / "static" / name for name in ("console.css", "console.js", "theme.js")),
    ]
    assert len(own) > 10
    for path in own:
        text = path.read_text()
        assert not OUTWARD.search(text), path.name
        assert not INLINE.search(text), path.name
        assert "|safe" not in text.replace(" ", ""), path.name
