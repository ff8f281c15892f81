"""Components of our own: what Streamlit's own elements cannot do."""
