"""Actions on the selected runs: open, compare, rename, export, delete."""

import streamlit as st

from app.compare.view import PAGE as COMPARE
from app.errors import show_error
from app.parts.exports import export_buttons
from app.runs import Shelf, open_run, own_title, run_title, store
from app.runs_page.detail import child_title, measured_of
from app.state import text_of
from app.text import plain
from app.views import views
from engine.errors import CircuitExplorerError, RequestError
from engine.runs.archive import pack
from engine.runs.folder import AnyRun
from engine.runs.notes import LONGEST_TITLE, Notes, change_notes
from engine.runs.store import BrokenRun


def actions(runs: list[AnyRun], shelf: Shelf) -> None:
    """Draw the buttons for the selected runs; buttons that do not apply to them are disabled."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if not runs:
            st.caption(
                ":material/check_box: Select rows at their left edge "
                "to open, compare, rename, export or delete them."
            )
            return
        st.markdown(f"**{len(runs)} selected**", width="content")
        only = runs[0] if len(runs) == 1 else None
        _open(only, shelf)
        _compare([run for run in runs if run.run_id in shelf.runs])
        if st.button(
            "Rename", icon=":material/edit:", disabled=only is None, key="runs-rename", help="Give it a title"
        ):
            assert only is not None
            _rename(only)
        _export(only)
        own = [run for run in runs if not run.shipped]
        why = None if own else "Shipped runs come with the program and stay"
        if st.button("Delete", icon=":material/delete:", disabled=not own, key="runs-delete", help=why):
            _delete(runs, shelf)
        st.button("Clear", icon=":material/close:", type="tertiary", key="runs-clear", on_click=_select_none)


def _select_none() -> None:
    st.session_state["runs-selected"] = []


def _open(run: AnyRun | None, shelf: Shelf) -> None:
    """Draw the button that opens the page of a run."""
    address = None if run is None else views.get(run.request.kind).address(run, shelf)
    if st.button(
        "Open",
        icon=":material/hub:",
        type="primary",
        disabled=address is None,
        key="runs-open",
        help="One run at a time can be opened, where what it is about is here"
        if address is None
        else f"Show {address.what} on the {address.page.title} page",
    ):
        assert address is not None
        st.switch_page(address.page.script, query_params=address.query)


def _compare(runs: list[AnyRun]) -> None:
    if st.button(
        "Compare",
        icon=":material/compare:",
        disabled=len(runs) < 2,
        key="runs-compare",
        help="Show their circuits side by side" if len(runs) > 1 else "Select two or more runs with circuits",
    ):
        st.switch_page(COMPARE.script, query_params={"runs": text_of(run.run_id for run in runs)})


@st.dialog("Rename", icon=":material/edit:")
def _rename(run: AnyRun) -> None:
    st.text(run.run_id)
    title = st.text_input(
        "Title",
        own_title(run) or "",
        max_chars=LONGEST_TITLE,
        placeholder="What this run is to you",
        key="runs-title",
        help="It is shown wherever runs are chosen. Without one, the run says what it is itself.",
    )
    if st.button("Save", type="primary", key="runs-save-title", shortcut="ctrl+enter"):
        try:
            change_notes(store(), run, lambda notes: Notes(title, notes.pins))
        except RequestError as error:
            show_error(str(error))
            return
        st.rerun()


def _export(run: AnyRun | None) -> None:
    with st.popover("Export", icon=":material/download:", disabled=run is None, key="runs-export"):
        if run is None:
            return
        st.download_button(
            "Whole run (zip)",
            lambda: pack(store(), run),
            f"{run.run_id}.zip",
            "application/zip",
            help="The run's folder and your notes on it. It can be imported here and elsewhere.",
            icon=":material/folder_zip:",
            on_click="ignore",
            key="runs-zip",
            width="stretch",
        )
        if run.circuit is not None:
            try:
                opened = open_run(run.run_id)
                export_buttons(opened, opened.circuit(opened.size))
            except CircuitExplorerError as error:
                show_error(str(error))


@st.dialog("Delete runs", icon=":material/delete:", width="medium")
def _delete(runs: list[AnyRun], shelf: Shelf) -> None:
    own = [run for run in runs if not run.shipped]
    _listed(
        "This cannot be undone. To be deleted:",
        [f"{own_title(run) or run_title(run.request)}: {run.run_id}" for run in own],
    )
    if shipped := [run.run_id for run in runs if run.shipped]:
        _listed("These are shipped with the program and stay:", shipped)
    chosen = {run.run_id for run in own}
    children = {
        child.run_id: child
        for run in own
        for child in measured_of(run, shelf)
        if not child.shipped and child.run_id not in chosen
    }
    doomed = [run.run_id for run in own]
    if children:
        with_them = st.checkbox(
            f"Delete what was measured of them too ({len(children)})", True, key="runs-with-children"
        )
        _listed("", [f"{child_title(child)}: {child.run_id}" for child in children.values()])
        doomed += children if with_them else ()
    with st.container(horizontal=True):
        number = "1 run" if len(doomed) == 1 else f"{len(doomed)} runs"
        if st.button(f"Delete {number}", type="primary", icon=":material/delete:", key="runs-do-delete"):
            _remove(doomed)
        if st.button("Keep", key="runs-keep"):
            st.rerun()


def broken_runs(broken: list[BrokenRun]) -> None:
    """Draw the folders that cannot be opened, each with its fault; the user's own can be deleted."""
    for run in broken:
        own = run.folder.parent == store().user_dir
        with st.container(border=True):
            problem, button = st.columns([6, 1], vertical_alignment="center")
            problem.markdown(f":material/folder_off: {plain(run.problem)}")
            if own and button.button("Delete", icon=":material/delete:", key=f"broken-{run.folder.name}"):
                _delete_broken(run)


@st.dialog("Delete a folder", icon=":material/delete:", width="medium")
def _delete_broken(run: BrokenRun) -> None:
    _listed(
        "This folder and all that is left in it will be deleted. This cannot be undone.", [str(run.folder)]
    )
    with st.container(horizontal=True):
        if st.button("Delete the folder", type="primary", icon=":material/delete:", key="runs-do-delete"):
            _remove([run.folder.name])
        if st.button("Keep", key="runs-keep"):
            st.rerun()


def _remove(run_ids: list[str]) -> None:
    try:
        for run_id in run_ids:
            store().delete(run_id)
    except (CircuitExplorerError, OSError) as error:
        show_error(str(error))
        return
    _select_none()
    st.rerun()


def _listed(line: str, names: list[str]) -> None:
    if line:
        st.markdown(line)
    st.markdown("\n".join(f"- {plain(name)}" for name in names))
