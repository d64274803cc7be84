"""How long a user waits for the editor: from the command to a graph that can be moved, with a cold and a warm browser.

python -m glidewire.benchmarks.first_editor [--chromium /usr/bin/chromium]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .measuring import seconds

READY = "window.app?.graph?.nodes?.length > 0 && document.querySelector('[data-testid=queue-button]')"


def main() -> None:
    """The command."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    chosen = parser.parse_args()
    table = Table("from", "to", "seconds", "of importing torch")
    torch = seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))

    def row(start: str, end: str, taken: float) -> None:
        table.add_row(start, end, f"{taken:.1f}", f"{taken / torch:.1f}")

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "glidewire", "serve", "--port", "0", "--no-cache", "--user", folder]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(folder))
        try:
            assert process.stderr
            said = ""
            while not (found := re.search(r"serves at (http://\S+)", said)):
                line = process.stderr.readline()
                assert line, said
                said += line
            row("the command", "the server answers", time.perf_counter() - begun)
            browser = playwright.chromium.launch(executable_path=chosen.chromium, args=["--no-sandbox"])
            context = browser.new_context()
            for state in ("an empty browser", "a browser that was here before"):
                page = context.new_page()
                begun = time.perf_counter()
                page.goto(found[1])
                page.wait_for_function(READY, timeout=300_000)
                row(state, "the first workflow can be edited", time.perf_counter() - begun)
                page.close()
            browser.close()
        finally:
            process.terminate()
            process.wait()
    Console().print(table)


if __name__ == "__main__":
    main()
