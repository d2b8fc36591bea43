// What the pages do: sort, filter, choose, draw, change theme. No framework, and nothing is fetched. Text from records is only ever
// compared or shown as text: nothing here writes HTML.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const page = document.documentElement;

// ---- theme -------------------------------------------------------------------------------------------------------------------------
const system = matchMedia("(prefers-color-scheme: dark)");
const theme = () => page.dataset.theme || (system.matches ? "dark" : "light");

function setUpTheme() {
  for (const button of all("[data-theme-switch]")) {
    button.hidden = false;
    const name = () => {
      const other = theme() === "dark" ? "light" : "dark";
      button.querySelector("[data-theme-name]").textContent = other === "dark" ? "Dark" : "Light";
      button.setAttribute("aria-label", `Change to the ${other} theme`);
    };
    name();
    button.addEventListener("click", () => {
      page.dataset.theme = theme() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("lossbench-theme", page.dataset.theme);
      } catch (error) {
        console.debug("the theme is kept for this page alone", error);
      }
      name();
      redraw();
    });
    system.addEventListener("change", () => { name(); redraw(); });
  }
}

// ---- tables ------------------------------------------------------------------------------------------------------------------------
function keyOf(row, column) {
  const key = row.cells[column].dataset.key;
  return key === undefined || key === "" ? null : key;
}

function compare(a, b) {
  const numbers = [Number(a), Number(b)];
  return numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1];
}

function sortBy(table, heading, direction) {
  const headings = [...heading.parentElement.cells];
  const column = headings.indexOf(heading);
  const sign = direction === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => ({ row, place, key: keyOf(row, column) }));
  rows.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
    return sign * compare(a.key, b.key) || a.place - b.place;
  });
  body.append(...rows.map((each) => each.row));
  for (const each of headings) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction);
}

function setUpSorting() {
  for (const table of all("table[data-sortable]")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const now = heading.getAttribute("aria-sort");
        const first = heading.dataset.descending === "yes" ? "descending" : "ascending";
        sortBy(table, heading, now === null ? first : now === "ascending" ? "descending" : "ascending");
      });
    }
  }
}

function setUpFilters() {
  const form = document.querySelector("[data-filters]");
  const table = document.querySelector("[data-leaderboard]");
  if (!form || !table) return;
  const field = (name) => form.querySelector(`[data-filter="${name}"]`);
  const headings = [...table.tHead.rows[0].cells];
  const groups = headings.map((heading) => heading.dataset.group || "");
  const apply = () => {
    const name = field("name").value.trim().toLowerCase();
    const family = field("family").value;
    const problem = field("problem").value;
    const shown = groups.map((group) => group === "" || group === (problem || "all"));
    const seeds = groups.findLastIndex((group) => problem !== "" && group === problem);
    headings.forEach((heading, column) => { heading.hidden = !shown[column]; });
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      const taken = problem === "" || Number(row.cells[seeds].dataset.key || 0) > 0;
      row.hidden = !(taken && row.dataset.name.toLowerCase().includes(name) && (family === "" || row.dataset.family === family));
      count += row.hidden ? 0 : 1;
      shown.forEach((visible, column) => { row.cells[column].hidden = !visible; });
    }
    form.querySelector("[data-count]").textContent = `${count} of ${table.tBodies[0].rows.length} rows`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  field("problem").addEventListener("change", () => {
    const group = field("problem").value || "all";
    const first = headings.find((heading) => heading.dataset.group === group);
    if (first) sortBy(table, first, "ascending");
  });
  apply();
}

// ---- figures -----------------------------------------------------------------------------------------------------------------------
const COLOURS = new Set(["color", "fillcolor", "bgcolor", "bordercolor", "gridcolor", "zerolinecolor", "linecolor"]);
const OPAQUE = new Set(["x", "y", "text", "customdata", "meta", "name", "ticktext", "tickvals"]);
const drawn = new Set();
const chosen = new Set();

/** ``@3`` or ``@ink/0.2``: a colour of the theme and its opacity. */
function colour(token, styles) {
  const [name, opacity] = token.slice(1).split("/");
  const hex = styles.getPropertyValue(/^\d$/.test(name) ? `--c${name}` : `--${name}`).trim();
  if (opacity === undefined) return hex;
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${opacity})`;
}

function tinted(value, styles, key = "") {
  if (typeof value === "string") return COLOURS.has(key) && value.startsWith("@") ? colour(value, styles) : value;
  if (Array.isArray(value)) return value.map((each) => tinted(each, styles, key));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, OPAQUE.has(name) ? each : tinted(each, styles, name)]));
}

/** Breaks a title of an axis at its commas so that it fits. */
function wrapped(text, room) {
  const lines = [];
  for (const part of text.split(", ")) {
    const last = lines.length - 1;
    if (last >= 0 && lines[last].length + part.length + 2 <= room) lines[last] += `, ${part}`;
    else lines.push(part);
  }
  return lines.join(",<br>");
}

function axis(given, styles, narrow, room) {
  const own = tinted(given || {}, styles);
  const title = own.title ? { ...own.title, text: wrapped(own.title.text, room), standoff: 8 } : undefined;
  return {
    gridcolor: colour("@grid", styles), zerolinecolor: colour("@muted/0.6", styles), linecolor: colour("@line", styles),
    automargin: true, zeroline: false, nticks: narrow ? 6 : 9, ...own, title, fixedrange: narrow || own.fixedrange === true,
  };
}

/** Leaves out ticks that would touch, those nearest to zero last. Ticks of rows, which are as many as there are names, stay. */
function thinned(own, pixels, gap) {
  if (!own.tickvals || !own.ticktext || own.fixedrange === true) return own;
  const [low, high] = own.range || [Math.min(...own.tickvals), Math.max(...own.tickvals)];
  const near = (gap * (high - low)) / Math.max(pixels, 1);
  const kept = [];
  const order = own.tickvals.map((at, place) => place).sort((a, b) => Math.abs(own.tickvals[a]) - Math.abs(own.tickvals[b]));
  for (const place of order) {
    const at = own.tickvals[place];
    if (at >= low - near && at <= high + near && kept.every((other) => Math.abs(own.tickvals[other] - at) >= near)) kept.push(place);
  }
  return { ...own, tickvals: kept.map((place) => own.tickvals[place]), ticktext: kept.map((place) => own.ticktext[place]) };
}

function draw(plot) {
  const figure = plot.figure;
  const styles = getComputedStyle(page);
  const width = plot.clientWidth;
  const narrow = width < 480;
  const fold = plot.unfolded ? null : figure.fold;
  const legend = figure.layout.showlegend !== false && !plot.hasAttribute("data-chosen");
  const data = tinted(figure.data, styles).map((trace) => {
    const whose = trace.meta === undefined ? undefined : trace.meta.entrant;
    const seen = !plot.hasAttribute("data-chosen") || whose === undefined || chosen.has(whose);
    if (!seen) return { ...trace, visible: false };
    return trace.fill && chosen.size > 4 ? { ...trace, opacity: 0.5 } : trace;
  });
  const layout = {
    ...tinted(figure.layout, styles),
    height: (fold || figure).height,
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12, color: colour("@ink", styles) },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 12, r: 14, t: 10, b: 12 },
    xaxis: axis(figure.layout.xaxis, styles, narrow, width / 8.5),
    yaxis: axis(figure.layout.yaxis, styles, narrow, (fold || figure).height / 8.5),
    showlegend: legend,
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: { bgcolor: colour("@raised", styles), bordercolor: colour("@line", styles), font: { color: colour("@ink", styles) }, align: "left" },
    hovermode: "closest",
    dragmode: narrow ? false : "zoom",
  };
  const options = { displaylogo: false, responsive: true, displayModeBar: false, scrollZoom: false, showTips: false };
  if (fold) {
    layout.xaxis.range = fold.x;
    layout.yaxis.range = fold.rows;
  }
  const inner = width - (narrow ? 110 : 150);
  layout.xaxis = { ...thinned({ ...layout.xaxis, fixedrange: false }, inner, 46), fixedrange: layout.xaxis.fixedrange };
  if (figure.layout.yaxis && !figure.layout.yaxis.fixedrange) {
    layout.yaxis = { ...thinned({ ...layout.yaxis, fixedrange: false }, figure.height - 90, 22), fixedrange: layout.yaxis.fixedrange };
  }
  Plotly.react(plot, data, layout, options);
  drawn.add(plot);
}

function redraw() {
  for (const plot of drawn) draw(plot);
}

function setUpFigures() {
  const plots = all("[data-figure]");
  if (!plots.length) return;
  if (!("Plotly" in window)) {
    for (const plot of plots) plot.textContent = "assets/plotly.min.js is missing, so there is no figure; its numbers are in the tables.";
    return;
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      near.unobserve(entry.target);
      entry.target.figure = JSON.parse(document.getElementById(entry.target.dataset.figure).textContent);
      draw(entry.target);
    }
  }, { rootMargin: "400px" });
  for (const plot of plots) near.observe(plot);
  for (const button of all("[data-unfold]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const plot = button.parentElement.querySelector("[data-figure]");
      plot.unfolded = true;
      if (drawn.has(plot)) draw(plot);
      button.remove();
    });
  }
  addEventListener("beforeprint", () => { for (const plot of drawn) Plotly.Plots.resize(plot); });
}

function setUpChoosers() {
  for (const chooser of all("[data-chooser]")) {
    const chips = all("[data-entrant]", chooser);
    const first = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true"));
    const show = () => {
      chosen.clear();
      for (const chip of chips) if (chip.getAttribute("aria-pressed") === "true") chosen.add(Number(chip.dataset.entrant));
      for (const plot of drawn) if (plot.hasAttribute("data-chosen")) draw(plot);
    };
    for (const button of all("button", chooser)) button.disabled = false;
    chooser.addEventListener("click", (event) => {
      const chip = event.target.closest("[data-entrant]");
      const choice = event.target.closest("[data-choose]");
      if (chip) chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") === "true" ? "false" : "true");
      for (const each of choice ? chips : []) {
        const on = choice.dataset.choose === "all" || (choice.dataset.choose === "first" && first.has(each));
        each.setAttribute("aria-pressed", String(on));
      }
      if (chip || choice) show();
    });
    show();
  }
}

// ---- commands ----------------------------------------------------------------------------------------------------------------------
function setUpCopying() {
  for (const button of all("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "copied";
      } catch (error) {
        console.debug("no clipboard here: the command is marked instead", error);
        getSelection().selectAllChildren(text);
        button.textContent = "marked";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }
}

setUpTheme();
setUpSorting();
setUpFilters();
setUpChoosers();
setUpCopying();
addEventListener("load", setUpFigures);
