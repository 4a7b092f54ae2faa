// The objects as vignettes, by class, sorted and filtered; made in parts as one scrolls, so that thousands are no burden.

import { button, count, diameterText, h, many, score, swatch } from "./dom.js";

const PART = 150;

export class Gallery {
  constructor(scan) {
    this.scan = scan;
    this.cards = new Map();
    this.most = PART;
    this.found = h("p", { class: "soft found", role: "status" });
    this.grid = h("div", { class: "grid" });
    this.more = h("div", { class: "more" });
    this.scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gallery of objects" }, this.grid, this.more);
    this.element = h("div", { class: "gallery" }, this.filters(), this.scroll);
    this.watch = new IntersectionObserver(([entry]) => entry.isIntersecting && this.grow(), { root: this.scroll, rootMargin: "600px" });
    this.watch.observe(this.more);
    this.scroll.addEventListener("click", (event) => this.clicked(event));
    scan.addEventListener("objects", () => this.show());
    scan.addEventListener("shown", () => this.show());
    scan.addEventListener("selection", () => this.mark());
  }

  close() {
    this.watch.disconnect();
  }

  filters() {
    const { scan } = this;
    const set = (values) => {
      this.most = PART;
      this.scroll.scrollTop = 0;
      scan.setFilter(values);
    };
    const number = (name) => (event) => set({ [name]: Number.isFinite(event.target.valueAsNumber) ? event.target.valueAsNumber : null });
    this.taxon = h("select", { onchange: () => set({ taxon: this.taxon.value }) }, h("option", { value: "" }, "all classes"));
    this.below = h("output", {}, "any");
    const below = h("input", {
      type: "range", min: 0.05, max: 1, step: 0.05, value: 1,
      oninput: () => {
        this.below.textContent = below.value === "1" ? "any" : Number(below.value).toFixed(2);
        set({ below: Number(below.value) });
      },
    });
    const sort = h("select", { onchange: () => set({ sort: sort.value }) },
      [["taxon", "class"], ["size", "size, largest first"], ["small", "size, smallest first"], ["score", "score, lowest first"]].map(([value, text]) => h("option", { value }, text)));
    const bound = (name, text) => h("input", { type: "number", min: 0, step: "any", inputmode: "decimal", placeholder: text, "aria-label": `Size ${text}`, oninput: number(name) });
    this.sizeUnit = h("span", {}, "");
    const fields = h("div", { class: "fields" },
      h("label", {}, "Sort by ", sort),
      h("label", {}, "Class ", this.taxon),
      h("label", {}, "Score below ", below, this.below),
      h("span", { class: "field" }, "Size ", bound("low", "from"), bound("high", "to"), this.sizeUnit),
      h("label", { class: "check" }, h("input", { type: "checkbox", onchange: (event) => set({ uncorrected: event.target.checked }) }), "only uncorrected"),
    );
    const open = matchMedia("(min-width: 60rem)").matches;
    const all = button("Select all", () => scan.selectShown(), { title: "Select all that are shown (Ctrl+A)", "aria-keyshortcuts": "Control+A" });
    return h("div", { class: "filters" }, h("details", { open }, h("summary", {}, "Sort and filter"), fields), h("div", { class: "row" }, this.found, all));
  }

  /** Shows the list anew; vignettes that are there already stay. */
  show() {
    if (!this.element.isConnected) return;
    const { scan } = this;
    this.order = scan.order();
    const mm = this.order.some((object) => object.esd_mm !== null && object.esd_mm !== undefined);
    this.sizeUnit.textContent = mm ? " mm" : " px";
    this.found.textContent = scan.loaded ? `${many(this.order.length, "object")}${this.order.length === scan.objects.size ? "" : ` of ${count(scan.objects.size)}`}` : "";
    this.classes();
    const focused = document.activeElement?.closest?.(".card");
    this.grid.replaceChildren(...this.groups(this.order.slice(0, this.most)));
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    for (const label of this.cards.keys()) if (!scan.objects.has(label)) this.cards.delete(label);
    this.mark();
  }

  classes() {
    const counts = this.scan.counts();
    const options = counts.filter(([name, number]) => number || name === this.scan.filter.taxon);
    this.taxon.replaceChildren(h("option", { value: "" }, "all classes"), ...options.map(([name, number]) => h("option", { value: name }, `${name} (${count(number)})`)));
    this.taxon.value = this.scan.filter.taxon;
  }

  groups(objects) {
    const cards = (some) => h("ul", { class: "cards" }, some.map((object) => this.card(object)));
    if (this.scan.filter.sort !== "taxon") return [cards(objects)];
    const taxa = grouped(objects);
    const totals = new Map(this.scan.counts());
    return [...taxa].map(([taxon, some]) =>
      h("section", {}, h("h2", {}, swatch(this.scan.colourOf(taxon)), taxon, h("span", { class: "soft" }, ` ${count(totals.get(taxon))}`)), cards(some)));
  }

  card(object) {
    const { label, taxon } = object;
    const made = this.cards.get(label) ?? h("li", {}, h("button", { type: "button", class: "card", "data-label": label }, h("img", { loading: "lazy", decoding: "async", alt: "" }), h("span", {})));
    this.cards.set(label, made);
    const card = made.firstChild;
    const [picture, words] = card.children;
    const source = this.scan.picture(label);
    if (picture.getAttribute("src") !== source) picture.setAttribute("src", source);
    const facts = `${diameterText(object)}, ${score(object.score)}`;
    card.setAttribute("aria-label", `${taxon}, object ${label}, ${facts}${object.corrected ? ", corrected" : ""}`);
    card.classList.toggle("corrected", object.corrected);
    const name = this.scan.filter.sort === "taxon" ? [] : [h("b", {}, swatch(this.scan.colourOf(taxon)), taxon)];
    words.replaceChildren(...name, facts);
    return made;
  }

  grow() {
    if (!this.order || this.most >= this.order.length) return;
    this.most += PART;
    this.show();
  }

  clicked(event) {
    const card = event.target.closest(".card");
    if (!card) return;
    const label = Number(card.dataset.label);
    const { scan } = this;
    if (event.shiftKey && this.anchor !== undefined) {
      const at = [this.anchor, label].map((each) => this.order.findIndex((object) => object.label === each)).sort((one, other) => one - other);
      const between = this.order.slice(Math.max(0, at[0]), at[1] + 1).map((object) => object.label);
      scan.select([...new Set([...scan.selected, ...between])], false);
    } else {
      scan.select([label], scan.several || event.ctrlKey || event.metaKey);
      this.anchor = label;
    }
  }

  mark() {
    for (const [label, { firstChild: card }] of this.cards) card.setAttribute("aria-pressed", String(this.scan.selected.has(label)));
  }

  /** Brings an object into sight. */
  lookAt(object) {
    const at = this.order?.findIndex((each) => each.label === object.label) ?? -1;
    if (at < 0) return;
    if (at >= this.most) {
      this.most = at + PART;
      this.show();
    }
    this.cards.get(object.label).firstChild.scrollIntoView({ block: "nearest" });
  }
}

function grouped(objects) {
  const groups = new Map();
  for (const object of objects) {
    if (!groups.has(object.taxon)) groups.set(object.taxon, []);
    groups.get(object.taxon).push(object);
  }
  return groups;
}
