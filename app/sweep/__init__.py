"""Methods side by side, on the page Compare."""
