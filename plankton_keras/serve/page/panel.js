// The selected objects: vignette, class, probabilities, measures, and what can be done to them.

import { json, jobPath } from "./api.js";
import { amount, button, diameterText, h, many, percent, score, swatch } from "./dom.js";
import { fault } from "./notices.js";
import { grouped } from "./measures.js";
import { ClassInput } from "./naming.js";

const MOST_LIKELY = 5;
const MOST_VIGNETTES = 24;

export class ObjectPanel {
  /** `split` begins a split of the selected object, `remove` deletes the selected ones. */
  constructor(scan, { split, remove }) {
    this.scan = scan;
    this.naming = new ClassInput(scan, (taxon) => scan.rename(taxon));
    this.quick = h("div", { class: "chips", role: "group", "aria-label": "Commonest classes" });
    this.delete = button("Delete", remove, { class: "danger", "aria-keyshortcuts": "Delete" });
    this.merge = button("Merge", () => scan.merge(), { "aria-keyshortcuts": "M", title: "Merge the selected into one (M)" });
    this.split = button("Split", split, { "aria-keyshortcuts": "S", title: "Split by a line (S)" });
    this.hint = h("p", { class: "soft hint" });
    this.head = h("div", { class: "selected" });
    this.actions = h("div", { class: "actions" }, this.naming.element, this.quick, h("div", { class: "row" }, this.split, this.merge, this.delete));
    this.body = h("div", {});
    this.element = h("div", {}, this.head, this.actions, this.hint, this.body);
    scan.addEventListener("selection", () => this.show());
    scan.addEventListener("objects", () => this.chips());
    this.chips();
    this.show();
  }

  chips() {
    const chip = (taxon, index) =>
      button([swatch(this.scan.colourOf(taxon)), taxon, h("kbd", { "aria-hidden": "true" }, String(index + 1))], () => this.scan.rename(taxon), {
        class: "chip",
        "aria-keyshortcuts": String(index + 1),
      });
    this.quick.replaceChildren(...this.scan.commonest.map(chip));
  }

  show() {
    const objects = [...this.scan.selected].map((label) => this.scan.objects.get(label)).filter(Boolean);
    this.shown = objects.length === 1 ? objects[0].label : null;
    this.actions.hidden = !objects.length;
    this.split.disabled = objects.length !== 1;
    this.merge.disabled = objects.length < 2;
    this.hint.textContent = objects.length ? "" : "Select an object in the viewer or in the gallery to see and correct it.";
    this.body.replaceChildren();
    if (!objects.length) this.head.replaceChildren();
    else if (objects.length > 1) this.showMany(objects);
    else this.showOne(objects[0]);
  }

  showMany(objects) {
    const taxa = new Map();
    for (const { taxon } of objects) taxa.set(taxon, (taxa.get(taxon) ?? 0) + 1);
    const rows = [...taxa].map(([taxon, number]) => h("li", {}, swatch(this.scan.colourOf(taxon)), `${taxon} `, h("b", {}, String(number))));
    this.head.replaceChildren(h("h2", {}, many(objects.length, "object")), h("ul", { class: "plainlist" }, rows));
    const pictures = objects.slice(0, MOST_VIGNETTES).map((object) => h("img", { src: this.scan.picture(object.label), alt: `${object.taxon}, object ${object.label}` }));
    this.body.replaceChildren(h("div", { class: "several" }, pictures));
  }

  showOne(object) {
    const { label, taxon } = object;
    const facts = [`object ${label}`, diameterText(object), `score ${score(object.score)}`, object.multiple && "several animals?", object.corrected && "corrected"];
    this.head.replaceChildren(
      h("img", { class: "vignette", src: this.scan.picture(label), alt: `Vignette of object ${label}` }),
      h("h2", {}, swatch(this.scan.colourOf(taxon)), taxon),
      h("p", { class: "soft" }, facts.filter(Boolean).join(" · ")),
    );
    json("GET", jobPath(this.scan.id, "objects", label))
      .then((found) => this.shown === label && this.body.replaceChildren(...this.details(found)))
      // An undo on its way may have taken the object away: whether it is shown is known when all corrections have been answered.
      .catch((error) => this.scan.turn.then(() => this.shown === label && fault(error)));
  }

  details({ likeliest = [], measures = {} }) {
    const rows = likeliest.slice(0, MOST_LIKELY).map(({ name, probability }) => {
      const bar = h("span", { class: "share", "aria-hidden": "true" });
      bar.style.setProperty("--share", String(probability));
      return h("li", {}, button([swatch(this.scan.colourOf(name)), h("span", { class: "grow" }, name), bar, h("span", { class: "number" }, percent(probability))], () => this.scan.rename(name), { class: "candidate" }));
    });
    const tables = grouped(measures).map(([group, values], index) =>
      h(
        "details",
        { open: index === 0 },
        h("summary", {}, group),
        h("table", { class: "measures" }, h("tbody", {}, values.map(([name, value, unit]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, amount(value)), h("td", { class: "unit" }, unit))))),
      ),
    );
    return [rows.length ? h("section", {}, h("h3", {}, "Probabilities"), h("ul", { class: "plainlist" }, rows)) : null, h("section", {}, h("h3", {}, "Measures"), tables)].filter(Boolean);
  }
}
