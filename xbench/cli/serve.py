"""`xbench serve`: the store in a browser, on this machine alone."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from typer import Option

from xbench.errors import UsageError

PORT = 8377

EXAMPLES = """\b
Examples:
  xbench serve
  xbench serve --store all-runs --port 0      # any port that is free

\b
Open the address that is printed; Ctrl-C ends it. Pages are those of
`xbench report`, drawn when they are asked for. Nothing can be changed through
it, and nothing leaves this machine: it listens on 127.0.0.1 alone. Whoever is
logged in on this machine can read it. From another one:
  ssh -L 8377:127.0.0.1:8377 that-machine
"""

Store = Annotated[Path, Option(metavar="FOLDER", help="Where the run folders are.")]
Port = Annotated[
    int, Option(metavar="N", min=0, max=65535, help="Of the address; 0 is any that is free.")
]


def serve(store: Store = Path("xbench-runs"), port: Port = PORT) -> None:
    """Show the store in a browser on this machine, read-only."""
    if missing := [name for name in ("altair", "vl_convert", "jinja2") if not find_spec(name)]:
        fix = "Install them with: pip install 'xbench[report]'"
        raise UsageError(f"pages need {', '.join(missing)}, not here", fix)
    from xbench.serving.server import ADDRESS
    from xbench.serving.server import serve as start

    server = start(store, port)
    print(f"http://{ADDRESS}:{server.server_port}/  shows {store}; Ctrl-C ends it.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
