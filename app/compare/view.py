"""The page Compare, which shows runs of several kinds side by side."""

from app.views import Page

PAGE = Page("compare", "Compare", ":material/compare:", order=20)
