"""Results as one self-contained HTML page, which asks for nothing from any network."""

from edgekit.html_report.page import write_report

__all__ = ["write_report"]
