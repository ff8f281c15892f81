"""Runs: what has been run, what is running?"""

import streamlit as st

st.title("Runs", anchor=False)
