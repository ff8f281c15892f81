// Draws a Plotly figure with Plotly.react, so that zoom, pan and hidden legend groups outlive every change
// of the data, and reports clicks. Views of one link look at the same place: where one goes, the others follow.
// plotly.js comes from the installed Python package: nothing from outside.

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

// What the user chose, kept for the whole visit, so that it survives changes of page: the axis ranges looked at
// (by link or view, and by the figure's coordinates), and the legend groups hidden in each view.
const places = (window.circuitExplorerPlaces ??= {});
const hiddenIn = (window.circuitExplorerHidden ??= {});

const groupOf = (data) => data.link ?? data.view;
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const ranges = ({ xaxis, yaxis }) => ({ x: [...(xaxis?.range ?? [])], y: [...(yaxis?.range ?? [])] });
const look = (view, { x, y }) => window.Plotly.relayout(view, { "xaxis.range": [...x], "yaxis.range": [...y] });

// The linked views on the page in their order on it, `host` among them.
const group = ({ latest }) => [...document.querySelectorAll(".plotly-view")]
  .filter((view) => view.wired && groupOf(view.latest.data) === groupOf(latest.data));

function moved(host) {
  if (host.led) return; // it follows another one
  const { place, home } = host.latest;
  const here = ranges(host._fullLayout);
  places[place] = same(here, home) ? undefined : here;
  for (const view of group(host)) {
    if (view === host || view.latest.place !== place || same(ranges(view._fullLayout), here)) continue;
    view.led = true;
    look(view, here).finally(() => { view.led = false; });
  }
}

const icons = {
  reset: { width: 24, height: 24, path: "M12 4V1L7 6l5 5V7a5 5 0 1 1-5 5H5a7 7 0 1 0 7-8z" },
  full: { width: 24, height: 24, path: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z" },
};

function prepare(figure, place, hidden) {
  // What the user chose goes into the figure before it is drawn; hover texts of edges are written out.
  for (const trace of figure.data) {
    if (hidden.has(trace.legendgroup)) trace.visible = trace.showlegend === false ? false : "legendonly";
    const edges = trace.meta?.edges;
    if (!edges) continue;
    const per = trace.meta.points;
    trace.text = trace.meta.hover.flatMap((text, i) =>
      Array(per).fill(hidden.has(trace.meta.kinds[i]) ? "" : text));
    trace.customdata = edges.flatMap((name) => Array(per).fill(name));
    trace.hovertemplate = "%{text}<extra></extra>";
  }
  if (places[place]) {
    figure.layout.xaxis.range = [...places[place].x];
    figure.layout.yaxis.range = [...places[place].y];
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector(".plotly-view");
  const hidden = (hiddenIn[data.view] ??= new Set());
  const figure = JSON.parse(data.figure);
  const place = `${groupOf(data)} ${figure.layout.uirevision}`; // other coordinates are another place
  const first = !host.wired;
  const wanted = Math.max(host.offsetWidth * data.ratio, data.height * data.growth);
  host.style.height = `${Math.round(Math.max(data.height, Math.min(wanted, innerHeight * 0.72)))}px`;
  host.setAttribute("aria-label", data.alt);
  host.latest = { setTriggerValue, home: ranges(figure.layout), place, data };

  const reset = () => {
    if (host.latest.home.x.length) look(host, host.latest.home);
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
    prepare(figure, place, hidden);
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
    // The alternative text says what is drawn, and a table lists it: the marks alone say nothing.
    host.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
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
    const isMove = (change) => Object.keys(change).some((key) => /^[xy]axis\.range/.test(key));
    host.on("plotly_relayout", (change) => isMove(change) && moved(host));
    host.on("plotly_relayouting", (change) => {
      if (!isMove(change)) return;
      // While the user drags or turns the wheel: no more often than the screen is painted.
      host.frame ??= requestAnimationFrame(() => {
        host.frame = undefined;
        if (host.isConnected) moved(host);
      });
    });
    host.on("plotly_legendclick", ({ curveNumber, data: traces }) => {
      const group = traces[curveNumber].legendgroup;
      if (!group) return true;
      hidden.has(group) ? hidden.delete(group) : hidden.add(group);
      const visible = traces.map((t) =>
        hidden.has(t.legendgroup) ? (t.showlegend === false ? false : "legendonly") : true);
      Plotly.restyle(host, { visible });
      return false;
    });
    host.on("plotly_legenddoubleclick", () => false);
    host.on("plotly_hover", () => host.classList.add("pointed"));
    host.on("plotly_unhover", () => host.classList.remove("pointed"));
    host.onEscape = (event) => {
      const typing = event.target.closest?.("input:not([type=range]), textarea, [role=dialog], [role=listbox]");
      const speaker = group(host).find((view) => view.latest.data.clearable); // one of them is enough
      if (event.key === "Escape" && speaker === host && !typing) send({ kind: "clear" });
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
