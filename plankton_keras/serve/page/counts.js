// Counts of the classes, which also say what is shown; the size spectrum; the files.

import { json, jobPath } from "./api.js";
import { amount, button, bytes, count, h, many, swatch } from "./dom.js";
import { attempt, fault, tell } from "./notices.js";
import { spectrum } from "./spectrum.js";

const LATER = 400;

/** The classes with their numbers; each can be hidden in the viewer. */
export class CountPanel {
  constructor(scan) {
    this.scan = scan;
    this.summary = null;
    this.all = h("input", { type: "checkbox", checked: true, onchange: () => scan.toggleClasses(this.names, this.all.checked) });
    this.total = h("b", {});
    this.flags = h("div", {});
    this.table = h("tbody", {});
    this.unit = h("th", { scope: "col", class: "right" });
    const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("label", { class: "check" }, this.all, "All classes")), h("th", { scope: "col", class: "right" }, "objects"), this.unit));
    this.element = h("div", {}, this.flags, h("p", {}, this.total), h("table", { class: "counts" }, h("caption", { class: "hidden" }, "Objects of each class, shown or hidden"), head, this.table));
    scan.addEventListener("objects", () => this.show());
    scan.addEventListener("shown", () => this.show());
    this.show();
  }

  setSummary(summary) {
    this.summary = summary;
    this.flags.replaceChildren(...(summary.flags ?? []).map((text) => h("p", { class: "warning" }, text)));
    this.show();
  }

  show() {
    const { scan } = this;
    const counts = scan.counts().filter(([name, number]) => number || scan.commonest.includes(name));
    const known = new Map((this.summary?.counts ?? []).map((each) => [each.taxon, each]));
    const volumes = [...known.values()].some((each) => each.biovolume_mm3 !== null && each.biovolume_mm3 !== undefined);
    this.names = counts.map(([name]) => name);
    const living = counts.filter(([name]) => scan.livingOf(name)).reduce((sum, [, number]) => sum + number, 0);
    const corrected = [...scan.objects.values()].filter((object) => object.corrected).length;
    this.total.textContent = `${many(scan.objects.size, "object")}, ${count(living)} living, ${count(corrected)} corrected`;
    this.unit.textContent = volumes ? "mm³" : "";
    this.all.checked = this.names.every((name) => !scan.hidden.has(name));
    this.all.indeterminate = !this.all.checked && this.names.some((name) => !scan.hidden.has(name));
    // The focused box is found again after the rows are made anew.
    const focused = this.table.contains(document.activeElement) ? document.activeElement.name : null;
    this.table.replaceChildren(...counts.map(([name, number]) => this.row(name, number, volumes ? known.get(name)?.biovolume_mm3 : null)));
    if (focused) [...this.table.querySelectorAll("input")].find((box) => box.name === focused)?.focus();
  }

  row(name, number, volume) {
    const { scan } = this;
    const box = h("input", { type: "checkbox", name, checked: !scan.hidden.has(name), onchange: () => scan.toggleClasses([name], box.checked) });
    const key = scan.commonest.indexOf(name);
    const label = h("label", { class: "check" }, box, swatch(scan.colourOf(name)), h("span", { class: scan.livingOf(name) ? "" : "soft" }, name), key >= 0 && h("kbd", { "aria-hidden": "true" }, String(key + 1)));
    return h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, count(number)), h("td", {}, volume === null || volume === undefined ? "" : amount(volume)));
  }
}

/** Asks for the summary soon after the last correction, and hands it on. */
export function summaries(scan, ...panels) {
  let [timer, shown] = [null, -1];
  const take = (summary) => {
    // One that was asked for earlier may come later.
    if (scan.closed || summary.revision < shown) return;
    shown = summary.revision;
    panels.forEach((panel) => panel.setSummary(summary));
  };
  const load = () => json("GET", jobPath(scan.id, "summary")).then(take).catch(fault);
  scan.addEventListener("objects", () => {
    clearTimeout(timer);
    timer = setTimeout(() => scan.closed || load(), LATER);
  });
}

export class SpectrumPanel {
  constructor() {
    this.kind = "count";
    const kind = (value, text) => button(text, () => this.choose(value), { "aria-pressed": String(value === this.kind), "data-kind": value });
    this.choice = h("div", { class: "segments", role: "group", "aria-label": "What the spectrum shows" }, kind("count", "Objects"), kind("biovolume", "Biovolume"));
    this.body = h("div", {}, h("p", { class: "soft" }, "The spectrum appears with the objects."));
    this.element = h("div", {}, this.choice, this.body);
  }

  choose(kind) {
    this.kind = kind;
    for (const each of this.choice.children) each.setAttribute("aria-pressed", String(each.dataset.kind === kind));
    if (this.summary) this.setSummary(this.summary);
  }

  setSummary(summary) {
    this.summary = summary;
    this.body.replaceChildren(...spectrum(summary.spectrum, this.kind));
  }
}

export class FilePanel {
  constructor(scan) {
    this.scan = scan;
    this.export = button("Export corrected objects", () => this.make(), { class: "main" });
    this.list = h("ul", { class: "plainlist files" });
    this.element = h(
      "div",
      {},
      this.export,
      h("p", { class: "soft" }, "Writes the EcoTaxa package, the table, and mask and scan as training data, as the objects are now; corrected ones are “validated”."),
      h("h3", {}, "Files"),
      this.list,
    );
    this.load();
    scan.addEventListener("job", () => this.load());
  }

  load() {
    this.export.disabled = this.scan.job.state !== "done";
    if (this.export.disabled) return this.show([]);
    return attempt(async () => this.show((await json("GET", jobPath(this.scan.id, "files"))).files));
  }

  show(files) {
    const link = ({ name, bytes: size, what }) =>
      h("li", {}, h("a", { href: jobPath(this.scan.id, "files", name), download: name }, name), h("span", { class: "soft" }, `${what ? `${what}, ` : ""}${bytes(size)}`));
    this.list.replaceChildren(...(files.length ? files.map(link) : [h("li", { class: "soft" }, "No file yet.")]));
  }

  async make() {
    this.export.disabled = true;
    this.export.textContent = "Exporting…";
    await attempt(async () => {
      // Of the objects as they are shown: corrections that are on their way come first.
      await this.scan.turn;
      const { too_large: without } = await json("POST", jobPath(this.scan.id, "export"));
      tell(`The export is ready.${without.length ? ` Larger than EcoTaxa takes, and in no package for it: ${without.join(", ")}.` : ""}`);
    });
    this.export.textContent = "Export corrected objects";
    this.load();
  }
}
