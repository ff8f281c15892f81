// Draws a Plotly figure with Plotly.react, so that zoom, pan and hidden legend groups outlive every change
// of the data, and reports clicks. plotly.js comes from the installed Python package: nothing from outside.

const load = (url) => (window.circuitExplorerPlotly ??= new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = url;
  script.onload = () => resolve(window.Plotly);
  script.onerror = () => {
    window.circuitExplorerPlotly = undefined;
    reject(new Error("The drawing library could not be loaded from this server. Reload the page."));
  };
  document.head.append(script);
}));

// Where the user looks in each view, kept for the whole visit: it survives changes of page.
const places = (window.circuitExplorerPlaces ??= {});

const icons = {
  reset: { width: 24, height: 24, path: "M12 4V1L7 6l5 5V7a5 5 0 1 1-5 5H5a7 7 0 1 0 7-8z" },
  full: { width: 24, height: 24, path: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z" },
};

function prepare(figure, place) {
  // What the user chose goes into the figure before it is drawn; hover texts of edges are written out.
  for (const trace of figure.data) {
    if (place.hidden.has(trace.legendgroup)) trace.visible = trace.showlegend === false ? false : "legendonly";
    const edges = trace.meta?.edges;
    if (!edges) continue;
    const per = trace.meta.points;
    trace.text = trace.meta.hover.flatMap((text, i) =>
      Array(per).fill(place.hidden.has(trace.meta.kinds[i]) ? "" : text));
    trace.customdata = edges.flatMap((name) => Array(per).fill(name));
    trace.hovertemplate = "%{text}<extra></extra>";
  }
  if (place.ranges && place.frame === figure.layout.uirevision) {
    figure.layout.xaxis.range = place.ranges.x;
    figure.layout.yaxis.range = place.ranges.y;
  } else {
    place.ranges = undefined;
    place.frame = figure.layout.uirevision;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector(".plotly-view");
  const place = (places[data.view] ??= { hidden: new Set(), ranges: undefined, frame: undefined });
  const figure = JSON.parse(data.figure);
  const home = { x: [...(figure.layout.xaxis?.range ?? [])], y: [...(figure.layout.yaxis?.range ?? [])] };
  const first = !host.wired;
  host.style.height = `${Math.round(Math.max(data.height, Math.min(host.offsetWidth * data.ratio, innerHeight * 0.72)))}px`;
  host.setAttribute("aria-label", data.alt);
  host.latest = { setTriggerValue, home, data };

  const reset = () => {
    place.ranges = undefined;
    const { x, y } = host.latest.home;
    if (x.length) window.Plotly.relayout(host, { "xaxis.range": [...x], "yaxis.range": [...y] });
  };
  const draw = async () => {
    let Plotly;
    try {
      Plotly = await load(data.plotly);
    } catch (error) {
      host.textContent = error.message;
      return;
    }
    if (host.latest.data !== data) return; // a newer figure came while the library was loading
    prepare(figure, place);
    await Plotly.react(host, figure.data, figure.layout, {
      displaylogo: false,
      doubleClick: false,
      scrollZoom: data.zoom,
      displayModeBar: data.bar ? "hover" : false,
      toImageButtonOptions: { format: "svg", filename: data.view },
      modeBarButtons: data.bar
        ? [[
            "toImage", "pan2d", ...(data.box ? ["select2d"] : []), "zoomIn2d", "zoomOut2d",
            { name: "reset", title: "Reset the view (double-click)", icon: icons.reset, click: reset },
            { name: "fullscreen", title: "Fullscreen", icon: icons.full,
              click: () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen()) },
          ]]
        : undefined,
    });
    if (first && !host.wired) wire(Plotly);
  };

  const wire = (Plotly) => {
    host.wired = true;
    const send = (event) => host.latest.setTriggerValue("event", event);
    host.on("plotly_click", ({ points, event }) => {
      const id = points[0]?.customdata;
      if (id !== undefined) send({ kind: "click", id, add: Boolean(event?.shiftKey) });
    });
    host.on("plotly_selected", (box) => {
      const ids = [...new Set((box?.points ?? []).filter((p) => p.data.name === "nodes").map((p) => p.customdata))];
      if (ids.length) send({ kind: "box", ids });
    });
    host.on("plotly_doubleclick", reset);
    host.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => key.startsWith("xaxis.range") || key.startsWith("yaxis.range"))) return;
      const { xaxis, yaxis } = host.layout;
      const here = { x: [...xaxis.range], y: [...yaxis.range] };
      place.ranges = JSON.stringify(here) === JSON.stringify(host.latest.home) ? undefined : here;
    });
    host.on("plotly_legendclick", ({ curveNumber, data: traces }) => {
      const group = traces[curveNumber].legendgroup;
      if (!group) return true;
      place.hidden.has(group) ? place.hidden.delete(group) : place.hidden.add(group);
      const visible = traces.map((t) =>
        place.hidden.has(t.legendgroup) ? (t.showlegend === false ? false : "legendonly") : true);
      Plotly.restyle(host, { visible });
      return false;
    });
    host.on("plotly_legenddoubleclick", () => false);
    host.on("plotly_hover", () => host.classList.add("pointed"));
    host.on("plotly_unhover", () => host.classList.remove("pointed"));
    host.onEscape = (event) => {
      const typing = event.target.closest?.("input, textarea, [role=dialog], [role=listbox]");
      if (event.key === "Escape" && host.latest.data.clearable && !typing) send({ kind: "clear" });
    };
    document.addEventListener("keydown", host.onEscape);
    host.watcher = new ResizeObserver(() => host.isConnected && host.offsetWidth && Plotly.Plots.resize(host));
    host.watcher.observe(host);
  };

  draw();
  return () => setTimeout(() => {
    if (host.isConnected || !host.wired) return; // also called before an update: then the plot stays
    document.removeEventListener("keydown", host.onEscape);
    host.watcher.disconnect();
    window.Plotly.purge(host);
  });
}
