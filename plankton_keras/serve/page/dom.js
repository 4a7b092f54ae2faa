// Elements and the forms of numbers. All text goes in as text: names of files and classes are never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Makes an element: `h("button", {type: "button", onclick: go}, "Go")`. */
export const h = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

/** The same in SVG. */
export const svg = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

export const button = (text, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, text);

/** A square in the colour of a class. */
export function swatch(colour) {
  const element = h("i", { class: "swatch", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}

/** Says something to screen readers, without moving the focus. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

export const count = (value) => value.toLocaleString("en");
export const many = (value, noun, plural = `${noun}s`) => `${count(value)} ${value === 1 ? noun : plural}`;
export const percent = (share) => `${Math.round(100 * share)} %`;
export const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

/** Four digits that count, or all digits of a whole number. */
export function amount(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return count(Math.round(value));
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(2).replace("-", "−");
  return String(Number(value.toPrecision(4)));
}

export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let index = 0;
  for (; value >= 1000 && index < units.length - 1; index++) value /= 1000;
  return `${index && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[index]}`;
}

export function seconds(value) {
  if (value < 90) return `${Math.round(value)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
}

const SPHERE = (area) => 2 * Math.sqrt(area / Math.PI);

/** The diameter of an object, in mm where they are known, else in pixels. */
export const diameter = (object) => object.esd_mm ?? SPHERE(object.area_px);
export const diameterText = (object) =>
  object.esd_mm === null || object.esd_mm === undefined ? `${Math.round(SPHERE(object.area_px))} px` : `${object.esd_mm.toPrecision(3)} mm`;
