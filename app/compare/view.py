"""The page Compare, where runs of several kinds stand side by side."""

from app.views import Page

PAGE = Page("compare", "Compare", ":material/compare:", order=20)
