// Curves that can be zoomed and asked for names. The picture that the page came with is replaced by them.
"use strict";
(() => {
  const root = getComputedStyle(document.documentElement);
  const colour = (name) => root.getPropertyValue(name).trim();
  const number = (value) => value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toString().replaceAll("-", "−");
  const zoomed = (address, from, to) => {
    const url = new URL(address, location.href);
    for (const [name, value] of [["from", from], ["to", to]]) {
      if (value === undefined || value === "") url.searchParams.delete(name); else url.searchParams.set(name, value);
    }
    return url;
  };

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.address = figure.dataset.curves;
      this.log = figure.dataset.log === "1";
      this.range = [figure.dataset.from || undefined, figure.dataset.to || undefined];
      this.place = document.createElement("div");
      this.place.className = "drawn";
      this.tip = document.createElement("p");
      this.tip.className = "tip soft";
      this.tip.setAttribute("aria-live", "off");
      this.tools = document.createElement("p");
      this.tools.className = "tools";
      this.button("All of it", () => this.zoom(undefined, undefined));
      this.load();
    }

    button(words, act) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.addEventListener("click", act);
      this.tools.append(button);
    }

    async load() {
      const number = this.asked = (this.asked ?? 0) + 1;
      let curves;
      try {
        const answer = await fetch(zoomed(this.address, ...this.range));
        if (!answer.ok) return;
        curves = await answer.json();
      } catch { return; }
      if (number !== this.asked || curves.series.length === 0) return;
      this.draw(curves);
    }

    draw(curves) {
      const data = [curves.x, ...curves.series.map((series) => series.y)];
      const key = JSON.stringify([curves.title, curves.over, this.log, this.range, curves.series.map((series) => [series.name, series.colour])]);
      this.curves = curves;
      if (this.plot && this.key === key) { this.plot.setData(data); this.note(); return; }
      if (!this.plot) {
        this.figure.querySelector("svg")?.remove();
        this.figure.prepend(this.tools, this.place, this.tip);
        this.figure.classList.add("scripted");
        new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.place);
      }
      this.plot?.destroy();
      this.key = key;
      const ink = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
      const title = curves.title || this.figure.dataset.title;
      const width = curves.series.length > 30 ? 1 : 1.75;
      this.plot = new uPlot({
        ...this.size(),
        legend: { show: false },
        focus: { alpha: 0.25 },
        cursor: { focus: { prox: 24 }, drag: { x: true, y: false, setScale: false } },
        scales: {
          x: { time: false, range: this.range[0] || this.range[1] ? (plot, low, high) => [Number(this.range[0] ?? low), Number(this.range[1] ?? high)] : undefined },
          y: this.log ? { distr: 3 } : {},
        },
        axes: [{ ...ink, label: curves.over, ...(curves.over === "epoch" ? { incrs: [1, 2, 5].flatMap((step) => [1, 10, 100, 1e3, 1e4].map((power) => step * power)).sort((a, b) => a - b) } : {}) }, { ...ink, label: title, size: 64, values: (plot, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) }],
        series: [{}, ...curves.series.map((series) => ({
          label: series.name, stroke: colour(`--c${series.colour}`), width, spanGaps: true, points: { show: curves.x.length < 3 },
        }))],
        hooks: {
          setSelect: [(plot) => {
            if (plot.select.width < 4) return;
            const at = (place) => plot.posToVal(place, "x").toPrecision(5);
            this.zoom(at(plot.select.left), at(plot.select.left + plot.select.width));
          }],
          setCursor: [() => this.name()],
          setSeries: [(plot, at) => { this.focused = at; this.name(); }],
        },
      }, data, this.place);
      this.place.addEventListener("dblclick", () => this.zoom(undefined, undefined));
      this.note();
    }

    size() {
      const width = Math.max(240, this.place.clientWidth);
      return { width, height: Math.round(Math.max(220, Math.min(420, width * 0.5))) };
    }

    note() {
      const { left_out: left, series } = this.curves;
      this.rest = left > 0 ? `${series.length} curves of least error; ${left} more are left out. ` : "";
      this.name();
    }

    name() {
      const at = this.plot?.cursor.idx, series = this.focused ? this.curves.series[this.focused - 1] : null;
      const place = at !== null && at !== undefined ? this.curves.x[at] : null;
      const value = series && place !== null ? series.y[at] : null;
      this.tip.textContent = series
        ? `${series.name}${series.of > 1 ? ` (mean of ${series.of})` : ""}${place === null ? "" : `: ${number(value)} at ${this.curves.over} ${number(place)}`}`
        : `${this.rest ?? ""}Point at a curve for its name; drag to zoom, double-click for all of it.`;
    }

    zoom(from, to) {
      this.range = [from, to];
      if (this.figure.dataset.from !== undefined) history.replaceState(history.state, "", zoomed(location.href, from, to));
      this.link();
      this.load();
    }

    choose(query) {
      const path = this.address.split("?")[0];
      this.address = `${path}?${query}`;
      if (query.has("log")) this.log = query.get("log") === "1";
      this.range = [undefined, undefined];
      this.link();
      this.load();
    }

    // The files are those of the curves that are shown.
    link() {
      const address = (kind) => zoomed(this.address.replace("curves.json", `curves.${kind}`), ...this.range).href;
      this.figure.querySelectorAll("figcaption [data-as]").forEach((link) => { link.href = address(link.dataset.as); });
      this.figure.querySelectorAll("figcaption [data-png]").forEach((button) => { button.dataset.png = address("svg"); });
    }
  }

  const charts = [...document.querySelectorAll("figure[data-curves]")].map((figure) => new Chart(figure));
  document.body.addEventListener("live", () => charts.forEach((chart) => chart.load()));
  document.body.addEventListener("choice", (event) => charts.forEach((chart) => chart.choose(event.detail)));
  // Colours are those of the page's scheme.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => { chart.key = ""; chart.load(); }));
})();
