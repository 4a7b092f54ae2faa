// A size spectrum on logarithmic axes, as SVG.

import { amount, h, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 260, 46, 330, 12, 216];
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const superscript = (power) => String(power).replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPTS[digit]);

function axis(values, [start, end]) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(Math.ceil(Math.log10(Math.max(...values))), first + 1);
  const at = (value) => start + ((Math.log10(value) - first) / (last - first)) * (end - start);
  const step = Math.ceil((last - first + 1) / 7);
  const ticks = [];
  for (let power = first; power <= last; power += step) ticks.push(power);
  return { at, ticks, low: 10 ** first };
}

/** The drawing and a table of the same numbers; a line of words where there is nothing to draw. */
export function spectrum(found, kind) {
  const bins = (found?.bins ?? []).filter((bin) => bin[kind] > 0 && bin.low > 0);
  if (!bins.length) return [h("p", { class: "soft" }, "No spectrum: there is no object of known size.")];
  const words = kind === "count" ? "objects" : "biovolume in mm³";
  const across = axis(bins.flatMap((bin) => [bin.low, bin.high]), [LEFT, RIGHT]);
  // A class of one object has a bar too.
  const up = axis([...bins.map((bin) => bin[kind]), Math.min(...bins.map((bin) => bin[kind])) * 0.6], [BOTTOM, TOP]);
  const marks = [
    ...across.ticks.flatMap((power) => [
      svg("path", { class: "grid", d: `M${across.at(10 ** power)} ${TOP}V${BOTTOM}` }),
      svg("text", { x: across.at(10 ** power), y: BOTTOM + 16, "text-anchor": "middle" }, label(power)),
    ]),
    ...up.ticks.flatMap((power) => [
      svg("path", { class: "grid", d: `M${LEFT} ${up.at(10 ** power)}H${RIGHT}` }),
      svg("text", { x: LEFT - 6, y: up.at(10 ** power) + 4, "text-anchor": "end" }, label(power)),
    ]),
  ];
  const bars = bins.map((bin) => {
    const [left, right, top] = [across.at(bin.low), across.at(bin.high), up.at(bin[kind])];
    const title = svg("title", {}, `${amount(bin.low)} to ${amount(bin.high)} ${found.unit}: ${amount(bin[kind])} ${words}`);
    return svg("rect", { class: "column", x: left + 0.5, y: top, width: Math.max(1, right - left - 1), height: BOTTOM - top }, title);
  });
  const names = [
    svg("text", { x: (LEFT + RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, `size in ${found.unit}`),
    svg("text", { x: -(TOP + BOTTOM) / 2, y: 10, "text-anchor": "middle", transform: "rotate(-90)" }, words),
  ];
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Size spectrum: ${words} by size in ${found.unit}` }, marks, bars, names);
  const rows = bins.map((bin) => h("tr", {}, h("th", { scope: "row" }, `${amount(bin.low)} to ${amount(bin.high)}`), h("td", {}, amount(bin.count)), h("td", {}, amount(bin.biovolume))));
  const head = h("tr", {}, h("th", { scope: "col" }, `size in ${found.unit}`), h("th", { scope: "col", class: "right" }, "objects"), h("th", { scope: "col", class: "right" }, "mm³"));
  return [h("figure", { class: "plot" }, picture), h("details", {}, h("summary", {}, "The classes in numbers"), h("table", { class: "counts" }, h("thead", {}, head), h("tbody", {}, rows)))];
}

const label = (power) => (power >= -3 && power <= 3 ? String(Number((10 ** power).toPrecision(1))) : `10${superscript(power)}`);
