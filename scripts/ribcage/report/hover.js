// What a curve says where it is pointed at, touched or walked along; joined to page.js.
(() => {
  const trails = new WeakMap(); // of each chart: its lines, read when first asked for
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  let tip = null;
  let at = null; // the chart, line and stop that the tip tells of

  const rounded = (value) => String(Number(value.toPrecision(4)));
  const list = (text) => (text ? text.split(" ").map((one) => (one === "inf" ? Infinity : Number(one))) : []);

  /** Take an element's title out of it: the tip says it, and two would lie over each other. */
  function titleOf(element) {
    const title = element.querySelector("title");
    const text = title?.textContent ?? "";
    title?.remove();
    return text;
  }

  /** What is known of a point of a curve, from its place, threshold and prevalence p. */
  function termsOf(curve, x, y, threshold, p, films) {
    if (curve === "reliability") {
      return [["mean probability", rounded(x)], ["share with the label", rounded(y)], ["films", films]];
    }
    const called = threshold !== Infinity;
    let [sensitivity, alarms, ppv] = [y, x, (y * p) / (y * p + x * (1 - p))];
    if (curve === "pr") [sensitivity, alarms, ppv] = [x, (x * p * (1 - y)) / (y * (1 - p)), y];
    const terms = threshold === undefined ? [] : [["threshold", called ? rounded(threshold) : "above all: nothing is called"]];
    const rates = [["sensitivity", sensitivity], ["specificity", called ? 1 - alarms : 1], ["PPV", called ? ppv : NaN]];
    return [...terms, ...rates.filter(([, v]) => Number.isFinite(v)).map(([n, v]) => [n, rounded(v)])];
  }

  /** A line's stops from left to right: its points, and the fitted thresholds that are marked on it. */
  function lineOf(path, marks, place) {
    const { curve, prevalence, experiment } = path.dataset;
    const [x, y, t, n] = ["x", "y", "t", "n"].map((name) => list(path.dataset[name]));
    const name = titleOf(path);
    const p = prevalence ? Number(prevalence) : NaN;
    const stops = x.map((value, i) => ({
      name, place: place(value, y[i]), order: t.length ? -t[i] : value,
      terms: termsOf(curve, value, y[i], t[i], p, n[i]),
    }));
    for (const mark of marks.filter((one) => one.dataset.experiment === experiment)) {
      const told = [["threshold", "threshold"], ["sensitivity", "sensitivity"], ["specificity", "specificity"], ["PPV", "ppv"]];
      stops.push({
        name: titleOf(mark), place: [Number(mark.getAttribute("cx")), Number(mark.getAttribute("cy"))],
        order: -Number(mark.dataset.threshold), near: 5,
        terms: told.map(([said, key]) => [said, mark.dataset[key]]).filter(([, value]) => value !== undefined),
      });
    }
    return { path, stops: stops.sort((a, b) => (a.order === b.order ? 0 : a.order - b.order)) };
  }

  function linesOf(chart) {
    if (!trails.has(chart)) {
      const [left, top, right, bottom] = list(chart.dataset.frame);
      const [x0, x1, y0, y1] = list(chart.dataset.axes);
      const place = (x, y) => [
        left + ((x - x0) / (x1 - x0)) * (right - left),
        bottom - ((Math.min(Math.max(y, y0), y1) - y0) / (y1 - y0)) * (bottom - top),
      ];
      const marks = all("circle.point", chart);
      for (const band of all(".band", chart)) titleOf(band);
      const lines = all("path[data-curve]", chart).map((path) => lineOf(path, marks, place));
      for (const line of lines) line.stops = line.stops.filter((stop) => stop.place[0] <= right + 1);
      trails.set(chart, lines);
    }
    return trails.get(chart).filter((line) => getComputedStyle(line.path).display !== "none" && line.stops.length);
  }

  /** Tell of a stop: a ring around it, and its numbers beside it. */
  function tell(chart, line, stop) {
    at = { chart, line, stop };
    ring.setAttribute("class", "here");
    ring.setAttribute("r", 5);
    ring.setAttribute("cx", stop.place[0]);
    ring.setAttribute("cy", stop.place[1]);
    chart.append(ring);
    const terms = make("dl");
    for (const [name, value] of stop.terms) terms.append(make("dt", "", name), make("dd", "", value));
    tip.replaceChildren(make("b", "", stop.name), terms);
    follow();
  }

  /** Keep the tip beside its stop and inside the window, as long as the stop is. */
  function follow() {
    if (!at) return;
    const { x, y } = new DOMPoint(...at.stop.place).matrixTransform(at.chart.getScreenCTM());
    tip.classList.toggle("away", y < 0 || y > innerHeight);
    const { width, height } = tip.getBoundingClientRect();
    const left = x + 14 + width > document.documentElement.clientWidth ? x - 14 - width : x + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - height - 4))}px`;
  }

  function hide() {
    ring.remove();
    tip.classList.add("away");
    tip.replaceChildren();
    at = null;
  }

  /** The stop nearest to the pointer; the marks of fitted thresholds draw it from a little further. */
  function point(chart, event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let best = { far: Infinity };
    for (const line of linesOf(chart)) {
      for (const stop of line.stops) {
        const far = Math.hypot(stop.place[0] - x, stop.place[1] - y) - (stop.near ?? 0);
        if (far < best.far) best = { far, line, stop };
      }
    }
    if (best.stop && best.stop !== at?.stop) tell(chart, best.line, best.stop);
  }

  /** Left and right along the line, up and down to another, Home and End to its ends. */
  function walk(chart, event) {
    if (event.key === "Escape") return hide();
    const lines = linesOf(chart);
    if (!lines.length || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    chart.scrollIntoView({ block: "nearest", behavior: "instant" });
    const here = at?.chart === chart ? at : { line: lines.at(-1), stop: lines.at(-1).stops[0] };
    const { stops } = here.line;
    const along = { ArrowLeft: stops.indexOf(here.stop) - 1, ArrowRight: stops.indexOf(here.stop) + 1, Home: 0, End: stops.length - 1 }[event.key];
    if (along !== undefined) return tell(chart, here.line, stops[Math.min(Math.max(along, 0), stops.length - 1)]);
    const other = lines.at((lines.indexOf(here.line) + (event.key === "ArrowUp" ? 1 : -1)) % lines.length);
    const far = (stop) => Math.abs(stop.place[0] - here.stop.place[0]);
    tell(chart, other, other.stops.reduce((near, stop) => (far(stop) < far(near) ? stop : near)));
  }

  function start() {
    tip = document.querySelector(".tip") ?? document.body.appendChild(make("div", "tip away"));
    tip.setAttribute("role", "status");
    for (const chart of all("svg.chart[data-frame]")) {
      chart.setAttribute("tabindex", 0);
      chart.addEventListener("pointermove", (event) => point(chart, event));
      chart.addEventListener("pointerdown", (event) => point(chart, event));
      chart.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
      chart.addEventListener("keydown", (event) => walk(chart, event));
      chart.addEventListener("focus", () => {
        const line = chart.matches(":focus-visible") && linesOf(chart).at(-1);
        if (line) tell(chart, line, line.stops[0]);
      });
      chart.addEventListener("blur", hide);
    }
    // A touched tip stays until something else is touched.
    addEventListener("pointerdown", (event) => { if (at && !at.chart.contains(event.target)) hide(); });
    addEventListener("scroll", follow, { passive: true, capture: true });
    addEventListener("resize", follow);
    // Another choice of experiments may take the curve away; on paper nothing is pointed at.
    document.addEventListener("change", hide);
    addEventListener("beforeprint", hide);
  }

  whenRead(start);
})();
