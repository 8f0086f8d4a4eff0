"""`edgekit report`: results as one page."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import PATH, json_option


@click.command("report")
@click.argument("results", type=PATH, nargs=-1, required=True, metavar="DIR|FILE.jsonl...")
@click.option("-o", "--output", type=PATH, default=Path("report.html"), show_default=True, metavar="FILE.html")
@json_option
def command(results: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Draw RESULTS (folders or .jsonl files of `edgekit profile`, `edgekit sweep` and `edgekit run --explain --output`)
    as one HTML page.

    The page is one file that asks for nothing from any network: tables of bundles, accuracy against latency against
    memory, memory and operators of each bundle, texts with their features, and the command that repeats each figure.
    """
    from edgekit.devices.results import read_results
    from edgekit.errors import UsageError
    from edgekit.files import check_writable
    from edgekit.html_report import write_report
    from edgekit.report import bytes_text, print_json

    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{output} is not the name of a page: let it end in .html.")
    check_writable(output)
    found = read_results(results, explained=True)
    write_report(found, output)
    size = output.stat().st_size
    bundles = {(result["bundle"]["name"], result["bundle"]["sha256"]) for result in found}
    if as_json:
        print_json({"report": str(output), "bytes": size, "bundles": len(bundles), "results": len(found)})
        return
    print(f"{output}: {len(bundles)} bundles, {len(found)} results, {bytes_text(size)}.")
    print(f"Next: open {output} in a browser; it needs no network.")
