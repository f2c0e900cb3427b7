"""All that a person sees: commands, tables, figures, the report. Computes nothing."""

from spikequant.views.tables import Column, Table, csv_text, markdown, text_table

__all__ = ["Column", "Table", "csv_text", "markdown", "text_table"]
