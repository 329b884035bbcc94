"""The command `tokenmill explore`."""

from pathlib import Path
from typing import Annotated

import typer


def add_explore_command(app: typer.Typer) -> None:
    """Hang `explore` on the command line."""
    app.command("explore")(explore)


def explore(
    out: Annotated[Path, typer.Argument(help="The run folder.", metavar="OUT", show_default=False)],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8710,
    token: Annotated[
        str | None, typer.Option(help="What a browser must show; made up where one is needed and none given.")
    ] = None,
) -> None:
    """Look at a run in a browser: what is in it, what was dropped and why, and all that is known of one page."""
    import secrets

    from pipeline.contract.errors import UserError
    from pipeline.explore.access import is_loopback
    from pipeline.explore.server import Explorer

    if token is not None and not (
        16 <= len(token) <= 200 and token.isascii() and token.replace("-", "").replace("_", "").isalnum()
    ):
        raise UserError("--token", "must be 16 to 200 letters, digits, - or _", hint="leave it out to have one made")
    needed = token or (None if is_loopback(host) else secrets.token_urlsafe(24))
    with Explorer(out, host=host, port=port, token=needed) as server:
        shown = f"[{host}]" if ":" in host else host
        query = f"?token={needed}" if needed else ""
        try:
            typer.echo(f"{out}: http://{shown}:{server.server_port}/{query}  (Ctrl-C ends it)")
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped")
