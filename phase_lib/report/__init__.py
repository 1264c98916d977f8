"""Summary, tables, maps, figures, the HTML report and the closing page."""
