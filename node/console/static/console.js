// What the pages do beyond links and forms: theme, ticking a page, the chart, saying that the node is silent.
"use strict";
(() => {
  const root = document.documentElement;
  const THEMES = ["automatic", "light", "dark"];
  const button = document.getElementById("theme");
  const theme = () => root.dataset.theme || "automatic";
  const label = () => { button.textContent = `Theme: ${theme()}`; };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    if (next === "automatic") { delete root.dataset.theme; localStorage.removeItem("theme"); }
    else { root.dataset.theme = next; localStorage.setItem("theme", next); }
    label();
    document.dispatchEvent(new Event("theme"));
  });
  label();

  const all = document.getElementById("all");
  if (all) {
    all.addEventListener("change", () => {
      document.querySelectorAll("input[name=ids]").forEach((box) => { box.checked = all.checked; });
    });
  }
  // A deed that needs its reason says so where it is typed; the server asks for it in any case.
  document.querySelectorAll("button[data-needs]").forEach((one) => {
    const field = one.form.elements[one.dataset.needs];
    one.addEventListener("click", (event) => {
      if (field.value.trim()) return;
      event.preventDefault();
      field.setCustomValidity("A reason is needed for this.");
      field.reportValidity();
    });
    field.addEventListener("input", () => field.setCustomValidity(""));
  });

  const silent = document.getElementById("silent");
  const heard = (yes) => { silent.hidden = yes; };
  document.body.addEventListener("htmx:sendError", () => heard(false));
  document.body.addEventListener("htmx:responseError", () => heard(false));
  document.body.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.successful !== false) heard(true); });

  const place = document.getElementById("chart");
  if (!place) return;
  const LINES = [["accepted", "--blue"], ["delivered", "--good"], ["deferred", "--warn"], ["bounced", "--bad"]];
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  let plot = null;
  let last = null;
  const draw = () => {
    if (!last) return;
    const data = [last.at_s, ...LINES.map(([name]) => last[name])];
    if (plot) { plot.setData(data); return; }
    const axis = { stroke: () => colour("--ink"), grid: { stroke: () => colour("--line") } };
    plot = new uPlot({
      width: place.clientWidth, height: 220,
      series: [{}, ...LINES.map(([name, tint]) => ({ label: name, stroke: () => colour(tint), width: 2, points: { show: false },
        value: (_, value) => value == null ? "" : `${value.toFixed(1)}/s` }))],
      axes: [axis, { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => `${tick}/s`) }],
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high || 0)] } },
    }, data, place);
  };
  const ask = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(place.dataset.from, { headers: { "HX-Request": "true" } });
      if (answer.status !== 200) return;
      last = await answer.json();
      draw();
    } catch { heard(false); }
  };
  document.addEventListener("theme", () => { if (plot) { plot.destroy(); plot = null; draw(); } });
  addEventListener("resize", () => { if (plot) plot.setSize({ width: place.clientWidth, height: 220 }); });
  ask();
  setInterval(ask, 2000);
})();
