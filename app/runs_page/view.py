"""The page Runs, where runs of all kinds are listed."""

from app.views import Page

PAGE = Page("runs_page", "Runs", ":material/folder_open:", order=100, path="runs")
