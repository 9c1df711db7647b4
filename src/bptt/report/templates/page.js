"use strict";
// Without this script the page shows the same: every sample in a row, and curves without a readout.

function readout(plot) {
  const data = JSON.parse(plot.querySelector("script").textContent);
  const cursor = plot.querySelector(".cursor"), box = plot.querySelector(".readout");
  let at = data.hi;
  // Where a value lies along the axis, from 0 to 1, and back.
  const place = (value) => data.log ? Math.log(value / data.lo) / Math.log(data.hi / data.lo) : (value - data.lo) / (data.hi - data.lo);
  const value = (share) => data.log ? data.lo * (data.hi / data.lo) ** share : data.lo + share * (data.hi - data.lo);

  function nearest(points) {
    let lo = 0, hi = points.length - 1;
    while (hi - lo > 1) {
      const middle = (lo + hi) >> 1;
      if (points[middle][0] < at) lo = middle; else hi = middle;
    }
    return at - points[lo][0] < points[hi][0] - at ? points[lo] : points[hi];
  }

  function show() {
    // Curves over something else than the step share no points, and may end before the others.
    const apart = data.at !== "step #", slack = 0.02;
    const reached = data.lines.filter((line) =>
      !apart || place(at) <= place(line.points.at(-1)[0]) + slack && place(at) >= place(line.points[0][0]) - slack);
    const rows = reached.map((line) => ({ line, point: nearest(line.points) })).filter((row) => row.point[1] !== null);
    if (!rows.length) return hide();
    const step = apart ? at : rows[0].point[0], share = place(step);
    const head = document.createElement("b");
    head.textContent = data.at.replace("#", (data.hi >= 100 || !apart ? Math.round(step) : Number(step.toFixed(1))).toLocaleString("en"));
    box.replaceChildren(head, ...rows.map(({ line, point }) => {
      const row = document.createElement("span");
      row.className = line.kind;
      const where = line.kind === "valid" && point[0] !== step ? " (step " + point[0].toLocaleString("en") + ")" : "";
      row.textContent = data.lines.length > 1 ? point[1] + " " + line.name + where : point[1];
      return row;
    }));
    cursor.style.left = 100 * share + "%";
    box.style.left = share < 0.5 ? "calc(" + 100 * share + "% + 10px)" : "auto";
    box.style.right = share < 0.5 ? "auto" : "calc(" + (100 - 100 * share) + "% + 10px)";
    cursor.hidden = box.hidden = false;
  }

  function hide() { cursor.hidden = box.hidden = true; }

  function point(event) {
    const frame = plot.getBoundingClientRect();
    at = value(Math.min(Math.max((event.clientX - frame.left) / frame.width, 0), 1));
    show();
  }

  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -0.01, ArrowRight: 0.01, Home: -1, End: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    at = value(Math.min(Math.max(place(at) + move, 0), 1));
    show();
  });
}

function slide(samples) {
  const cards = [...samples.querySelectorAll("article")], slider = samples.querySelector(".slider");
  if (cards.length < 2) return;
  const range = slider.querySelector("input"), [earlier, later] = slider.querySelectorAll("button");
  function show(index) {
    range.value = index;
    range.setAttribute("aria-valuetext", cards[range.value].querySelector("h3").textContent);
    cards.forEach((card, number) => card.classList.toggle("past", number !== Number(range.value)));
    earlier.disabled = range.value === range.min;
    later.disabled = range.value === range.max;
  }
  range.addEventListener("input", () => show(range.value));
  earlier.addEventListener("click", () => show(Number(range.value) - 1));
  later.addEventListener("click", () => show(Number(range.value) + 1));
  slider.hidden = false;
  show(cards.length - 1);
}

document.querySelectorAll(".plot").forEach(readout);
document.querySelectorAll(".samples").forEach(slide);
