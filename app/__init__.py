"""The dashboard: Streamlit pages over the runs of the engine. It computes nothing itself."""
