"""Pure functions from data to `plotly.graph_objects.Figure`; nothing here knows Streamlit."""
