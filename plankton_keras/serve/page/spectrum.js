// A size spectrum on logarithmic axes, as SVG.

import { amount, h, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 260, 46, 330, 12, 216];
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const superscript = (power) => String(power).replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPTS[digit]);

function axis(low, high, [start, end]) {
  const at = (value) => start + (Math.log(value / low) / Math.log(high / low)) * (end - start);
  const powers = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) powers.push(power);
  // Few decades have ticks at 2 and 5 too, many only some.
  const digits = powers.length < 4 ? [1, 2, 5] : [1];
  const step = Math.ceil(powers.length / 7);
  const ticks = powers.filter((_, index) => index % step === 0).flatMap((power) => digits.map((digit) => digit * 10 ** power));
  return { at, ticks: ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001) };
}

/** Volumes as the diameters of spheres, which is how sizes are told elsewhere on the page. */
function asDiameters(found) {
  if (found?.unit !== "mm3") return found;
  const diameter = (volume) => Math.cbrt((6 * volume) / Math.PI);
  return { unit: "mm (ESD)", bins: found.bins.map((bin) => ({ ...bin, low: diameter(bin.low), high: diameter(bin.high) })) };
}

/** The drawing and a table of the same numbers; a line of words where there is nothing to draw. */
export function spectrum(given, kind) {
  const found = asDiameters(given);
  const bins = (found?.bins ?? []).filter((bin) => bin[kind] > 0 && bin.low > 0);
  if (!bins.length) return [h("p", { class: "soft" }, "No spectrum: no living object has a known size in mm.")];
  const words = kind === "count" ? "living objects" : "biovolume in mm³";
  const values = bins.map((bin) => bin[kind]);
  const across = axis(bins[0].low, bins.at(-1).high, [LEFT, RIGHT]);
  // A class of the fewest has a bar too.
  const up = axis(0.5 * Math.min(...values), 1.2 * Math.max(...values), [BOTTOM, TOP]);
  const marks = [
    svg("path", { class: "grid", d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}` }),
    ...across.ticks.flatMap((tick) => [
      svg("path", { class: "grid", d: `M${across.at(tick)} ${TOP}V${BOTTOM + 4}` }),
      svg("text", { x: across.at(tick), y: BOTTOM + 17, "text-anchor": "middle" }, label(tick)),
    ]),
    ...up.ticks.flatMap((tick) => [
      svg("path", { class: "grid", d: `M${LEFT - 4} ${up.at(tick)}H${RIGHT}` }),
      svg("text", { x: LEFT - 7, y: up.at(tick) + 4, "text-anchor": "end" }, label(tick)),
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

function label(tick) {
  const power = Math.round(Math.log10(tick));
  return Math.abs(power) < 4 ? String(Number(tick.toPrecision(1))) : `10${superscript(power)}`;
}
